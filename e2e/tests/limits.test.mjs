// Limits that a test must set low to meet: a gateway's connections, a user's requests and an address'; friendVerify, historyForNewMembers and logoutRevokes; and wrong secrets, after
// which nobody becomes an administrator for a minute. Run by from-source.sh.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Socket } from './sdk/lib/socket.mjs';
import { until } from './sdk/lib/wait.mjs';
import { at, call, login, ok, root, user } from './lib/api.mjs';
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
test('what costs much uses up what a user may ask, and nobody else\'s', async () => {
  await until('the user may ask again', async () => (await ask(alice)).status === 200, 5000);
  const dear = () => fetch(`${at.api}/msg/search_own_msg`, {
    method: 'POST', headers: { operationID: 'o', token: alice.token }, body: JSON.stringify({ userID: alice.userID, keyword: 'x', count: 1 }),
  });
  const answers = await Promise.all(Array.from({ length: 10 }, dear));
  const passed = answers.filter((answer) => answer.status === 200).length;
  assert.ok(passed >= 1 && passed < 10, `${passed} of ten searches, each worth twenty requests`);
  assert.ok(answers.every((answer) => answer.status === 200 || answer.headers.get('retry-after') === '1'));
  assert.equal((await ask(bob)).status, 200);
  await until('the user is heard again', async () => (await ask(alice)).status === 200, 5000);
});
/** As a proxy on this host hands on what it got from there. */
const from = (...addresses) => ({ 'x-forwarded-for': addresses.join(', ') });
test('an address that asks too often gets 429 whatever tokens it shows, others and administrators go on', async () => {
  const guess = (headers) => fetch(`${at.api}/user/get_users_info`, { method: 'POST', headers: { operationID: 'o', token: 'x', ...headers }, body: '{}' });
  let refused;
  for (let i = 0; i < 20 && !refused; i++) {
    const made = from(`198.51.100.${i}`, '203.0.113.9'); // what it says of itself does not count
    refused = (await Promise.all(Array.from({ length: 60 }, () => guess(made)))).find((answer) => answer.status === 429);
  }
  assert.equal(refused.headers.get('retry-after'), '1');
  assert.equal((await refused.json()).errCode, 429);
  assert.equal((await guess(from('203.0.113.10'))).status, 200);
  assert.equal((await guess(from('2001:db8::1'))).status, 200);
  // A proxy alone is not counted: it may be everybody.
  assert.ok((await Promise.all(Array.from({ length: 150 }, () => guess({})))).every((answer) => answer.status === 200));
  const asRoot = () => fetch(`${at.api}/user/get_users_info`, { method: 'POST', headers: { operationID: 'o', token: root.token, ...from('203.0.113.11') }, body: '{"userIDs":[]}' });
  assert.equal((await asRoot()).status, 200);
  for (let i = 0; i < 4; i++) assert.ok((await Promise.all(Array.from({ length: 50 }, asRoot))).every((answer) => answer.status === 200), 'a back end');
  await until('it is heard again', async () => (await guess(from('203.0.113.9'))).status === 200, 5000);
});
test('handshakes of one address are few, those of another are not affected', async () => {
  const knock = async (address) => (await fetch(at.ws.replace('ws:', 'http:'), { headers: from(address) }).then((answer) => answer.json())).errCode;
  const codes = [];
  for (let i = 0; i < 200 && !codes.includes(429); i++) codes.push(await knock('203.0.113.9'));
  // What is asked lacks isBackground, which is an error of the server in the protocol.
  assert.ok(codes.includes(429) && codes[0] === 500, codes.join());
  assert.equal(await knock('203.0.113.10'), 500);
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
test('without historyForNewMembers who joins reads from then on', async () => {
  const { groupID } = (await ok(root, '/group/create_group', { ownerUserID: alice.userID, memberUserIDs: [], groupInfo: { groupName: 'g', groupType: 2 } })).groupInfo;
  const say = (content) => ok(root, '/msg/send_msg', { sendID: alice.userID, groupID, content: { content }, contentType: 101, sessionType: 3 });
  const read = async (who) => {
    const range = { conversationID: `sg_${groupID}`, begin: 1, end: 100, num: 100 };
    const { msgs } = await ok(root, '/msg/pull_msg_by_seq', { userID: who.userID, seqRanges: [range] });
    return (msgs?.[range.conversationID]?.Msgs ?? []).filter(({ contentType, status }) => contentType === 101 && status !== 4)
      .map(({ content }) => JSON.parse(Buffer.from(content, 'base64')).content);
  };
  await say('before');
  await until('it is stored', async () => (await read(alice)).includes('before'));
  await ok(root, '/group/invite_user_to_group', { groupID, invitedUserIDs: [bob.userID], reason: '' });
  await say('after');
  await until('he reads it', async () => (await read(bob)).includes('after'));
  assert.deepEqual(await read(bob), ['after']);
  assert.deepEqual(await read(alice), ['before', 'after']);
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
test('a user who is no administrator gives no further guesses at the secret', async () => {
  const attempt = (userID, secret) => call('/auth/get_admin_token', { userID, secret });
  for (let i = 0; i < 5; i++) assert.equal((await attempt(`nobody${i}`, `wrong ${i}`)).errCode, 1002);
  // Else the answer would tell that this one is right.
  assert.equal((await attempt('nobody6', at.secret)).errCode, 429);
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
