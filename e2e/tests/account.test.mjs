// What a person does with an account, over the network: registers by a code that comes by mail, logs in, connects, finds a friend and writes to
// him; what an administrator does to him. Run by account.sh.
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { SMTPServer } from './sdk/node_modules/smtp-server/dist/esm/smtp-server.js';
import { Socket } from './sdk/lib/socket.mjs';
import { until } from './sdk/lib/wait.mjs';
import { as, at, call, login as adminLogin } from './lib/api.mjs';

const { OPENIM_CHAT: chat, OPENIM_CHAT_ADMIN: administration, OPENIM_ADMIN_PASSWORD: password, OPENIM_SMTP_PORT: port } = process.env;
const md5 = (text) => createHash('md5').update(text).digest('hex');
const mails = [];
const server = new SMTPServer({
  authOptional: true, disabledCommands: ['STARTTLS'],
  async onData(stream, session, taken) {
    let text = '';
    for await (const part of stream) text += part;
    mails.push({ to: session.envelope.rcptTo[0].address, from: session.envelope.mailFrom.address, text });
    taken();
  },
});

async function ask(base, path, body = {}, token = undefined) {
  const answer = await fetch(base + path, {
    method: 'POST', headers: { operationID: randomUUID(), 'content-type': 'application/json', ...(token ? { token } : {}) }, body: JSON.stringify(body),
  });
  assert.equal(answer.status, 200, path);
  assert.equal(answer.headers.get('access-control-allow-origin'), '*', 'pages can read it');
  return answer.json();
}
async function good(base, path, body, token) {
  const answer = await ask(base, path, body, token);
  assert.equal(answer.errCode, 0, `${path}: ${JSON.stringify(answer)}`);
  return answer.data;
}

/** A code, as it comes by mail. */
async function mailed(email, usedFor) {
  const before = mails.length;
  await good(chat, '/account/code/send', { usedFor, email });
  const mail = await until(`a mail for ${email}`, () => mails.slice(before).find((one) => one.to === email), 10_000);
  assert.equal(mail.from, 'codes@example.org');
  return /code is (\d{6})\./.exec(mail.text)[1];
}
/** As the web app registers: null for what is not given, and a token of an earlier session. */
async function register(name) {
  const email = `${name}@example.org`;
  const verifyCode = await mailed(email, 1);
  await good(chat, '/account/code/verify', { usedFor: 1, email, verifyCode, areaCode: null, phoneNumber: null });
  const user = { nickname: name, faceURL: '', email, password: md5(`password of ${name}`), areaCode: null, phoneNumber: null };
  const data = await good(chat, '/account/register', { verifyCode, autoLogin: true, platform: 5, user }, 'an old token');
  return { ...data, name, email, token: data.imToken };
}
const logIn = (who, platform = 5, secret = `password of ${who.name}`) => ask(chat, '/account/login', { email: who.email, password: md5(secret), platform });

let ann, ben, root;
before(async () => {
  await new Promise((listening) => { server.listen(Number(port), '127.0.0.1', listening); });
  await adminLogin();
  root = await good(administration, '/account/login', { account: 'admin', password: md5(password), version: '1' });
});
after(() => new Promise((closed) => { server.close(closed); }));

test('there is no default administrator and no code that is always right', async () => {
  for (const account of ['chatAdmin', 'admin']) {
    const answer = await ask(administration, '/account/login', { account, password: md5(account), version: '1' });
    assert.equal(answer.errCode, 20001, account);
  }
  const answer = await ask(chat, '/account/login', { email: 'nobody@example.org', verifyCode: '666666', platform: 5 });
  assert.equal(answer.errCode, 20007);
  assert.equal((await call('/user/get_users_info', { userIDs: [at.adminUserID] }, { token: root.imToken })).errCode, 0, 'level 100 works in the IM services too');
});

test('two people register by mail, find each other and are friends', async () => {
  [ann, ben] = [await register('ann'), await register('ben')];
  const search = { keyword: ben.email, pagination: { pageNumber: 1, showNumber: 1 } };
  const { users } = await good(chat, '/user/search/full', search, ann.chatToken);
  assert.deepEqual([users[0].userID, users[0].nickname], [ben.userID, 'ben']);
  const { users: [shown] } = await good(chat, '/user/find/full', { userIDs: [ben.userID] }, ann.chatToken);
  assert.deepEqual([shown.userID, shown.email, shown.phoneNumber], [ben.userID, '', ''], 'how to reach him is his own');
  assert.equal((await as(ann, '/friend/add_friend', { fromUserID: ann.userID, toUserID: ben.userID, reqMsg: 'hello' })).errCode, 0);
  assert.equal((await as(ben, '/friend/add_friend_response', { fromUserID: ann.userID, toUserID: ben.userID, handleResult: 1 })).errCode, 0);
  const friends = await good(chat, '/friend/search', { keyword: 'be', pagination: { pageNumber: 1, showNumber: 10 } }, ann.chatToken);
  assert.deepEqual(friends.users.map((friend) => friend.userID), [ben.userID]);
});

test('a change of the profile is seen in the IM services', async () => {
  await good(chat, '/user/update', { userID: ann.userID, nickname: 'Ann B.', faceURL: 'https://example.org/ann.png' }, ann.chatToken);
  const { data } = await as(ben, '/user/get_users_info', { userIDs: [ann.userID] });
  assert.deepEqual([data.usersInfo[0].nickname, data.usersInfo[0].faceURL], ['Ann B.', 'https://example.org/ann.png']);
});

test('a login answers a token that a socket takes', async () => {
  const { data } = await logIn(ann, 2);
  const socket = await Socket.open(at.ws, { userID: data.userID, token: data.imToken }, { platformID: 2 });
  assert.equal(socket.closed, false);
  socket.line.close();
  const verifyCode = await mailed(ann.email, 3);
  const byCode = { email: ann.email, verifyCode, platform: 5 };
  assert.equal((await good(chat, '/account/login', byCode)).userID, ann.userID);
  assert.equal((await ask(chat, '/account/login', byCode)).errCode, 20007, 'a code is used once');
});

test('wrong codes are counted, at the same time too, and the right one does not help any more', async () => {
  const verifyCode = await mailed(ben.email, 3);
  const wrong = verifyCode === '000000' ? '111111' : '000000';
  const guess = (code) => ask(chat, '/account/code/verify', { usedFor: 3, email: ben.email, verifyCode: code });
  const answers = await Promise.all(Array.from({ length: 12 }, () => guess(wrong)));
  assert.equal(answers.filter((answer) => answer.errCode === 20006).length, 5);
  assert.equal((await guess(verifyCode)).errCode, 20008);
});

test('a ban cuts off at once: socket, tokens and login', async () => {
  const { data } = await logIn(ben);
  const socket = await Socket.open(at.ws, { userID: ben.userID, token: data.imToken }, { platformID: 5 });
  await good(administration, '/block/add', { userID: ben.userID, reason: 'spam' }, root.adminToken);
  await until('the socket is closed', () => socket.kicked || socket.closed, 5000);
  assert.equal((await call('/user/get_users_info', { userIDs: [ben.userID] }, { token: data.imToken })).errCode, 1506);
  assert.equal((await ask(chat, '/applet/find', {}, data.chatToken)).errCode, 1501);
  const refused = await logIn(ben);
  assert.deepEqual([refused.errCode, refused.errDlt], [20012, 'spam']);
  await good(administration, '/block/del', { userIDs: [ben.userID] }, root.adminToken);
  assert.equal((await logIn(ben)).errCode, 0);
});

test('who registers gets the default friend and is in the default group', async () => {
  const group = await as({ token: root.imToken }, '/group/create_group', {
    ownerUserID: ann.userID, memberUserIDs: [], adminUserIDs: [], groupInfo: { groupName: 'everybody', groupType: 2 },
  });
  assert.equal(group.errCode, 0, JSON.stringify(group));
  const { groupID } = group.data.groupInfo;
  await good(administration, '/default/user/add', { userIDs: [ann.userID] }, root.adminToken);
  await good(administration, '/default/group/add', { groupIDs: [groupID] }, root.adminToken);
  const carl = await register('carl');
  const friends = await as(carl, '/friend/get_friend_id', { userID: carl.userID });
  assert.deepEqual(friends.data.friendIDs, [ann.userID]);
  const joined = await as(carl, '/group/get_joined_group_list', { fromUserID: carl.userID, pagination: { pageNumber: 1, showNumber: 10 } });
  assert.deepEqual(joined.data.groups.map((one) => one.groupID), [groupID]);
});

test('a new password ends what the old one opened', async () => {
  const { data } = await logIn(ann);
  const socket = await Socket.open(at.ws, { userID: ann.userID, token: data.imToken }, { platformID: 5 });
  const verifyCode = await mailed(ann.email, 2);
  await good(chat, '/account/password/reset', { email: ann.email, verifyCode, password: md5('new') });
  await until('the socket is closed', () => socket.kicked || socket.closed, 5000);
  assert.equal((await logIn(ann)).errCode, 20001);
  assert.equal((await logIn(ann, 5, 'new')).errCode, 0);
});
