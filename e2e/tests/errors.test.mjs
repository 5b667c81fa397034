// Error codes that are not met elsewhere: each by what causes it.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Socket } from './sdk/lib/socket.mjs';
import { as, at, call, login, ok, root, user } from './lib/api.mjs';
import { save, see } from './lib/shown.mjs';

let alice, bob, carol, groupID;
before(async () => {
  await login();
  [alice, bob, carol] = await Promise.all(['alice', 'bob', 'carol'].map(user));
  const made = await ok(alice, '/group/create_group', { ownerUserID: alice.userID, memberUserIDs: [bob.userID], groupInfo: { groupName: 'g', groupType: 2, needVerification: 1 } });
  ({ groupID } = made.groupInfo);
});
after(() => save('errors'));
async function fails(code, who, path, body) {
  const answer = await as(who, path, body);
  assert.equal(answer.errCode, code, `${path}: ${JSON.stringify(answer)}`);
}
async function sends(code, who, to) {
  const line = await Socket.open(at.ws, who);
  const answer = await line.request('send', {
    sendID: who.userID, clientMsgID: `${Math.random()}`, contentType: 101, sessionType: to.groupID ? 3 : 1, content: Buffer.from('{"content":"x"}'), ...to,
  });
  line.close();
  assert.equal(answer.errCode, code, JSON.stringify(answer));
  see('errors', code);
}
/** A token as the auth service signs them. */
function signed(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${text}.${createHmac('sha256', at.clusterSecret).update(text).digest('base64url')}`;
}

test('tokens: expired, not valid yet, signed well but never issued', async () => {
  const now = Math.floor(Date.now() / 1000);
  const own = { UserID: alice.userID, PlatformID: 2 };
  for (const [code, claims] of [
    [1501, { ...own, iat: now - 200, nbf: now - 200, exp: now - 100 }], [1504, { ...own, iat: now, nbf: now + 1000, exp: now + 2000 }],
    [1507, { UserID: carol.userID, PlatformID: 7, iat: now - 9, nbf: now - 9, exp: now + 1000 }],
  ]) {
    const answer = await call('/user/get_users_info', { userIDs: [] }, { token: signed(claims) });
    assert.equal(answer.errCode, code, JSON.stringify(answer));
  }
});
test('friends: oneself, who is one already, what was answered already, who blocks', async () => {
  const pair = { fromUserID: alice.userID, toUserID: bob.userID };
  await fails(1301, alice, '/friend/add_friend', { fromUserID: alice.userID, toUserID: alice.userID, reqMsg: '' });
  await ok(alice, '/friend/add_friend', { ...pair, reqMsg: 'x' });
  await ok(bob, '/friend/add_friend_response', { ...pair, handleResult: 1, handleMsg: '' });
  // The contract has it so: agreeing again is 1001, refusing afterwards 1305.
  await fails(1001, bob, '/friend/add_friend_response', { ...pair, handleResult: 1, handleMsg: '' });
  await fails(1305, bob, '/friend/add_friend_response', { ...pair, handleResult: -1, handleMsg: '' });
  await fails(1304, alice, '/friend/add_friend', { ...pair, reqMsg: 'x' });
  await ok(bob, '/friend/add_black', { ownerUserID: bob.userID, blackUserID: carol.userID });
  await sends(1302, carol, { recvID: bob.userID });
  // Burn-after-reading would be set on the other side too.
  const conversation = { conversationID: `si_${[bob.userID, carol.userID].sort().join('_')}`, conversationType: 1, userID: bob.userID, isPrivateChat: true };
  await fails(1302, carol, '/conversation/set_conversations', { userIDs: [carol.userID], conversation });
  // Friend requests are not blocked.
  await ok(carol, '/friend/add_friend', { fromUserID: carol.userID, toUserID: bob.userID, reqMsg: 'x' });
});
test('groups: an id that is taken, who is not in it, what was answered already, who is muted, one that is dismissed', async () => {
  await fails(1202, alice, '/group/create_group', { ownerUserID: alice.userID, memberUserIDs: [bob.userID], groupInfo: { groupID, groupName: 'g', groupType: 2 } });
  await sends(1203, carol, { groupID });
  await ok(carol, '/group/join_group', { groupID, reqMessage: 'x', joinSource: 3, inviterUserID: carol.userID });
  const answer = { groupID, fromUserID: carol.userID, handledMsg: '', handleResult: -1 };
  await ok(alice, '/group/group_application_response', answer);
  await fails(1206, alice, '/group/group_application_response', answer);
  await ok(alice, '/group/mute_group_member', { groupID, userID: bob.userID, mutedSeconds: 60 });
  await sends(1402, bob, { groupID });
  await ok(alice, '/group/cancel_mute_group_member', { groupID, userID: bob.userID });
  await ok(alice, '/group/mute_group', { groupID });
  await sends(1403, bob, { groupID });
  await ok(alice, '/group/dismiss_group', { groupID });
  await sends(1204, alice, { groupID });
});
test('a message is revoked once', async () => {
  const line = await Socket.open(at.ws, bob);
  await ok(root, '/msg/send_msg', { sendID: alice.userID, recvID: bob.userID, content: { content: 'x' }, contentType: 101, sessionType: 1 });
  const { seq, conversationID } = await line.message('it', (item) => item.contentType === 101);
  line.close();
  await ok(alice, '/msg/revoke_msg', { userID: alice.userID, conversationID, seq });
  // Whoever got no answer asks again: it is done, and told again.
  await ok(alice, '/msg/revoke_msg', { userID: alice.userID, conversationID, seq });
  await fails(1404, root, '/msg/revoke_msg', { userID: root.userID, conversationID, seq });
});
