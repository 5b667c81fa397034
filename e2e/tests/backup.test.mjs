// A backup into real object storage, and the way back: what was there is there, what came after is gone, and no seq is given out twice.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { before, test } from 'node:test';
import { LIMITED, until } from './sdk/lib/wait.mjs';
import { admin, at, call, login, ok, user } from './lib/api.mjs';

const { CLUSTER_NAMESPACE: namespace, CLUSTER_NAME: cluster, PLUGIN: plugin } = process.env;
const run = (program, ...words) => execFileSync(program, words, { ...LIMITED, env: { ...process.env, KUBECONFIG: at.kubeconfig }, stdio: ['ignore', 'pipe', 'pipe'] });
const openim = (...words) => run(plugin, '-n', namespace, ...words);
const kubectl = (...words) => run('kubectl', '-n', namespace, ...words);
const refused = (...words) => {
  try {
    openim(...words);
  } catch (error) {
    return error.stderr;
  }
  return assert.fail(`${words.join(' ')} was not refused`);
};
const backup = `test-${randomUUID().slice(0, 8)}`;

let alice, bob, conversation, sent;
const newest = async () => (await ok(bob, '/msg/newest_seq', { userID: bob.userID })).maxSeqs?.[conversation] ?? 0;
const say = async (content) => (await ok({ token: (await login()).token }, '/msg/send_msg', {
  sendID: alice.userID, recvID: bob.userID, sessionType: 1, contentType: 101, content: { content },
})).clientMsgID;
async function pull(begin, end) {
  const seqRanges = [{ conversationID: conversation, begin, end, num: 100 }];
  const { msgs } = await ok(bob, '/msg/pull_msg_by_seq', { userID: bob.userID, seqRanges });
  // A seq without a message is answered as a message that was deleted.
  return (msgs?.[conversation]?.Msgs ?? []).map(({ seq, clientMsgID }) => [seq, clientMsgID]).filter(([, id]) => id);
}
/** What was there before, and what came after the seqs that were left out. */
const pulled = async () => [...await pull(1, 50), ...await pull(1000, Math.max(1000, await newest()))];
const ready = () => {
  const { metadata, status } = JSON.parse(kubectl('get', 'openimcluster', cluster, '-o', 'json'));
  return status.observedGeneration === metadata.generation && status.conditions.find(({ type }) => type === 'Ready').status === 'True' &&
    status.components.every(({ desired, ready }) => desired > 0 && ready === desired);
};

before(async () => {
  await login();
  [alice, bob] = await Promise.all([user('alice'), user('bob')]);
  conversation = `si_${[alice.userID, bob.userID].sort().join('_')}`;
});

test('a backup is written while the services go on', async () => {
  sent = [];
  for (const content of ['one', 'two', 'three']) sent.push(await say(content));
  await until('three messages', async () => await newest() === 3, 20_000);
  assert.match(openim('backup', cluster, '--backup', backup), new RegExp(`backup ${backup}: \\d+ documents in \\d+ collections`));
  assert.match(refused('backup', cluster, '--backup', backup), /backup .* already exists: choose another name/);
});

test('the schedule writes backups, keeps the newest of its own, and reports them', async () => {
  const edit = (spec) => kubectl('patch', 'openimcluster', cluster, '--type', 'merge', '-p', JSON.stringify({ spec: { backup: spec } }));
  const status = () => JSON.parse(kubectl('get', 'openimcluster', cluster, '-o', 'json')).status.backup;
  // Once a year: only this test starts one.
  edit({ schedule: '0 0 1 1 *', keep: 1 });
  await until('the CronJob', () => kubectl('get', 'cronjobs', '-o', 'name').includes(`cronjob.batch/${cluster}-backup`), 60_000);
  const names = [];
  for (const number of [1, 2]) {
    kubectl('create', 'job', `scheduled-${number}-${backup}`, `--from=cronjob/${cluster}-backup`);
    await until('a backup in the status', () => ![undefined, ...names].includes(status()?.lastSuccess?.name), 120_000);
    names.push(status().lastSuccess.name);
  }
  const { lastSuccess, lastFailure, message, next } = status();
  assert.ok(lastSuccess.documents > 0 && lastSuccess.bytes > 0);
  assert.deepEqual([lastFailure, message], [undefined, undefined]);
  assert.match(next, /-01-01T00:00:00Z$/);
  assert.ok(names[0] < names[1]);
  assert.match(openim('status', cluster), new RegExp(`${names[1]}, \\d+ documents`));
  // The first one of the schedule is gone; the one that a person made is not.
  const known = refused('restore', cluster, 'lunch', '--replace');
  assert.match(known, new RegExp(`backup lunch not found; backups: .*${backup}`));
  assert.ok(known.includes(names[1]) && !known.includes(names[0]));
  edit(null);
  await until('no CronJob', () => !kubectl('get', 'cronjobs', '-o', 'name').includes(`${cluster}-backup`), 60_000);
  await until('the services serve', ready, 180_000);
});

test('who looks after the cluster is told that backups lie beside users\' files', () => {
  assert.match(openim('doctor', cluster), /backups share a bucket with users' files/);
});

test('what is in use is not overwritten unless that is asked for, and an unknown backup names the known ones', () => {
  assert.match(refused('restore', cluster, backup), /the database contains users or messages/);
  assert.match(refused('restore', cluster, 'lunch', '--replace'), new RegExp(`backup lunch not found; backups: .*${backup}`));
});

test('a restore brings back what was there, and no seq comes twice', async () => {
  await until('the services serve', ready, 120_000);
  await until('a message after the backup', () => say('four'), 30_000);
  await until('it is stored', async () => await newest() === 4, 20_000);
  assert.match(openim('restore', cluster, backup, '--replace'), new RegExp(`restored ${backup}: \\d+ documents`));
  await until('the services serve', ready, 180_000);
  // Who was logged in then may have been logged out since: nobody is let in by what a backup says.
  await login();
  for (const who of [alice, bob]) {
    assert.equal((await call('/user/get_users_info', { userIDs: [who.userID] }, { token: who.token })).errCode, 1507);
    who.token = (await admin('/auth/get_user_token', { userID: who.userID, platformID: 2 })).data.token;
  }
  assert.deepEqual(await pulled(), sent.map((id, index) => [index + 1, id]));
  const later = await say('five');
  await until('a message after the restore', async () => (await pulled()).length === 4, 30_000);
  const [seq, id] = (await pulled()).at(-1);
  assert.deepEqual([seq, id], [1004, later]);
  assert.equal((await admin('/user/get_users_info', { userIDs: [alice.userID] })).data.usersInfo.length, 1);
});
