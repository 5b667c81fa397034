// Limits that a test must set low to meet: a gateway's connections, a user's requests; friendVerify and logoutRevokes; and wrong secrets, after
// which nobody becomes an administrator for a minute. Run by from-source.sh.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Socket } from '../sdk/lib/socket.mjs';
import { until } from '../sdk/lib/wait.mjs';
import { at, call, login, root, user } from './lib/api.mjs';
import { save, see } from './lib/shown.mjs';

let alice, bob;
before(async () => {
  await login();
  [alice, bob] = [await user('alice'), await user('bob')];
});
after(() => save('limits'));
const ask = (who) => fetch(`${at.api}/user/get_users_info`, {
  method: 'POST', headers: { operationID: 'o', token: who.token, origin: 'http://app.example' }, body: JSON.stringify({ userIDs: [] }),
});

test('a user who asks too often gets 429, others and administrators go on', async () => {
  const burst = async (who) => Promise.all(Array.from({ length: 120 }, () => ask(who)));
  let passed = 0;
  // A machine that is slow enough stays within the limit the first time.
  const one = await until('some are refused', async () => {
    const answers = await burst(alice);
    passed += answers.filter((answer) => answer.status === 200).length;
    return answers.find((answer) => answer.status === 429);
  });
  assert.ok(passed >= 50, `${passed} passed`);
  assert.deepEqual([one.headers.get('retry-after'), one.headers.get('access-control-allow-origin')], ['1', '*']);
  const envelope = await one.json();
  assert.deepEqual([envelope.errCode, envelope.errMsg], [429, 'too many requests, please try again later']);
  see('errors', 429);
  assert.equal((await ask(bob)).status, 200);
  assert.ok((await burst(root)).every((answer) => answer.status === 200));
  await until('the user is heard again', async () => (await ask(alice)).status === 200, 5000);
});
/** A connection as soon as there is room: others that were closed may not be gone yet. */
const admitted = (who) => until(`${who.userID} is let in`, () => Socket.open(at.ws, who).catch(() => undefined));
test('a gateway that is full says so and serves on when one has left', async () => {
  const crowd = [];
  const refused = async () => {
    const query = `sendID=${bob.userID}&token=${bob.token}&platformID=2&operationID=o&isBackground=false`;
    return (await fetch(`${at.ws.replace('ws:', 'http:')}?${query}`).then((answer) => answer.json()).catch(() => ({}))).errCode;
  };
  while (crowd.length < 40 && await refused() !== 1601) crowd.push(await Socket.open(at.ws, await user('c')));
  assert.ok(crowd.length > 0 && crowd.length <= 20, `${crowd.length} connections`);
  assert.equal(await refused(), 1601);
  see('errors', 1601);
  crowd.pop().close();
  crowd.push(await admitted(bob));
  for (const line of crowd) line.close();
});
test('with friendVerify a stranger is refused', async () => {
  const line = await admitted(alice);
  const send = () => line.request('send', { sendID: alice.userID, recvID: bob.userID, clientMsgID: `${Math.random()}`, contentType: 101, sessionType: 1, content: Buffer.from('{}') });
  const answer = await until('the setting is taken over', async () => { const got = await send(); return got.errCode !== 0 && got; });
  assert.equal(answer.errCode, 1303);
  see('errors', 1303);
  line.close();
});
test('with logoutRevokes a token ends with the logout, on all its connections', async () => {
  const carol = await user('carol');
  const [line, same] = [await admitted(carol), await admitted(carol)];
  assert.equal((await (await ask(carol)).json()).errCode, 0);
  await line.must('logout', { userID: carol.userID, platformID: 2 });
  assert.equal((await (await ask(carol)).json()).errCode, 1506, 'the next call is refused');
  await until('both are closed', () => line.closed && same.closed);
  assert.equal(line.kicked, false);
  await assert.rejects(Socket.open(at.ws, carol), ({ answer }) => answer.errCode === 1506);
});
test('after five wrong secrets in a minute not even the right one is tried', async () => {
  const attempt = (secret) => call('/auth/get_admin_token', { userID: at.adminUserID, secret });
  for (let i = 0; i < 5; i++) assert.equal((await attempt(`wrong ${i}`)).errCode, 1002);
  const answer = await fetch(`${at.api}/auth/get_admin_token`, {
    method: 'POST', headers: { operationID: 'o' }, body: JSON.stringify({ userID: at.adminUserID, secret: at.secret }),
  });
  const seconds = Number(answer.headers.get('retry-after'));
  assert.ok(answer.status === 429 && seconds > 1 && seconds <= 60, `${answer.status}, again in ${seconds}`);
  assert.equal((await answer.json()).errCode, 429);
});
