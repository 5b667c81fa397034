// The routes about the cluster itself: where Prometheus finds the pods, what is configured, and that REST changes none of it. They tell who comes through the
// ingress from who does not: they are asked through it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { admin, at, call, login, ok, root, user } from './lib/api.mjs';
import { routes, save, show } from './lib/shown.mjs';

const route = (path, work) => test(`${path} works`, async () => { await work(path); show(path, 'works'); });
let eve;
before(async () => {
  await login();
  eve = await user('eve');
});
after(() => save('operations'));

route('/third/prometheus', async (path) => {
  const answer = await fetch(at.api + path, { redirect: 'manual', headers: { token: root.token, operationID: 'o' } });
  assert.equal(answer.status, 404);
  assert.ok((await answer.text()).includes('grafanaURL'));
  await fromOutside(path);
});
/** What the ingress brings is from outside: it needs an administrator's token. */
const fromOutside = async (path) => {
  for (const [headers, code] of [[{}, 1001], [{ token: eve.token }, 1002]]) assert.equal((await call(path, {}, headers, 'GET')).errCode, code);
};
for (const { path } of routes.filter((item) => item.path.startsWith('/prometheus_discovery/'))) {
  route(path, async () => {
    const [{ targets, labels }] = await call(path, {}, { token: root.token }, 'GET');
    await fromOutside(path);
    assert.ok(targets.length >= 1 && targets.every((target) => /^[\d.]+:12000$/.test(target)), JSON.stringify(targets));
    assert.equal(labels.service, path.split('/').at(-1));
  });
}
route('/config/get_config_list', async (path) => {
  assert.deepEqual((await ok(root, path)).configNames, ['config.yaml']);
});
route('/config/get_config', async (path) => {
  const shownConfig = JSON.parse(await ok(root, path, { configName: 'config.yaml' }));
  assert.equal(shownConfig.api.openImApiPort, 10002);
  for (const secret of [at.secret, at.clusterSecret]) assert.ok(!JSON.stringify(shownConfig).includes(secret));
});
route('/config/get_enable_config_manager', async (path) => {
  assert.equal((await ok(root, path)).enable, false);
});
for (const path of ['/config/set_config', '/config/reset_config', '/config/set_enable_config_manager', '/restart']) {
  route(path, async () => {
    const answer = await admin(path, {});
    assert.equal(answer.errCode, 500);
    assert.ok(answer.errDlt.includes('OpenIMCluster'), answer.errDlt);
  });
}
