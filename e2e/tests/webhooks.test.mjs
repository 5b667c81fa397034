import assert from 'node:assert/strict';
import { createHmac, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { sleep, until } from './sdk/lib/wait.mjs';
import { as, at, login, ok, root, user } from './lib/api.mjs';
import { kill } from './lib/database.mjs';
import { save, see } from './lib/shown.mjs';

const recorder = process.env.OPENIM_RECORDER ?? `${at.api}/hook-recorder`;
const GO_ON = { actionCode: 0, errCode: 0, errMsg: '', errDlt: '', nextCode: 0 };
const VETO = { ...GO_ON, errCode: 7777, errMsg: 'not today', errDlt: 'ask later', nextCode: 1 };
const hooks = readFileSync(new URL('../../config/webhooks.yaml', import.meta.url), 'utf8').match(/^[a-zA-Z]+(?=: \{enable)/gm);
// Upstream never calls it either.
const silent = new Set(['afterUserKickOff']);
const seen = new Set();

let alice, bob, carol, groupID;
const recorded = async () => (await fetch(`${recorder}/recorded`)).json();
async function answer(command, body, extra = {}) {
  const told = await fetch(`${recorder}/answers/${command}`, { method: 'PUT', body: JSON.stringify({ status: 200, body, ...extra }) });
  assert.ok(told.ok);
}
/** The newest call of a hook whose body fits. */
async function called(hook, command, fits = () => true) {
  const found = await until(`${hook} was called`, async () => (await recorded()).findLast((call) => call.command === command && fits(call.body)), 20_000);
  seen.add(hook);
  see('hooks', hook);
  return found;
}
/** Runs with a veto in place: the call must fail with the integrator's own code, and do nothing. */
async function vetoed(hook, command, who, path, body) {
  await answer(command, VETO);
  try {
    const got = await as(who, path, body);
    assert.equal(got.errCode, 7777, `${path}: ${JSON.stringify(got)}`);
    assert.ok(got.errDlt.includes('not today') && got.errDlt.includes('ask later'), got.errDlt);
  } finally {
    await answer(command, GO_ON);
  }
  await called(hook, command);
}
const text = (content) => ({ content: { content }, contentType: 101 });
async function frame(sender, body) {
  // An ordinary user sends by WebSocket; MsgData by hand: sendID 1, recvID 2, groupID 3, clientMsgID 4, sessionType 9, contentType 11, content 12.
  const query = `sendID=${sender.userID}&token=${sender.token}&platformID=2&operationID=o&isBackground=false&isMsgResp=true&sdkType=js`;
  const socket = new WebSocket(`${at.ws}?${query}`);
  socket.binaryType = 'arraybuffer';
  const frames = [];
  socket.addEventListener('message', ({ data }) => frames.push(data));
  await until('connected', () => frames[0], 10_000);
  const bytes = (field, value) => { const data = Buffer.from(value); return Buffer.concat([Buffer.from([(field << 3) | 2, data.length]), data]); };
  const message = Buffer.concat([
    bytes(1, sender.userID), ...(body.recvID ? [bytes(2, body.recvID)] : []), ...(body.groupID ? [bytes(3, body.groupID)] : []),
    bytes(4, randomUUID()), Buffer.from([9 << 3, body.groupID ? 3 : 1]), Buffer.from([11 << 3, 101]), bytes(12, JSON.stringify({ content: body.text })),
  ]);
  socket.send(Buffer.from(JSON.stringify({ reqIdentifier: 1003, token: '', sendID: sender.userID, operationID: body.operationID ?? randomUUID(), msgIncr: '1', data: message.toString('base64') })));
  const got = await until('an answer', () => frames.find((data) => typeof data !== 'string' && JSON.parse(Buffer.from(data)).reqIdentifier === 1003), 10_000);
  socket.close();
  return JSON.parse(Buffer.from(got));
}

before(async () => {
  await login();
  await until('the receiver is there', async () => (await fetch(`${recorder}/recorded`)).ok, 20_000);
  [alice, bob, carol] = [await user('alice'), await user('bob'), await user('carol')];
});

after(() => save('webhooks'));

test('every hook is on', async () => {
  const { webhooks } = JSON.parse(await ok(root, '/config/get_config', { configName: 'config.yaml' }));
  assert.deepEqual(hooks.filter((hook) => !webhooks[hook]?.enable), []);
});

describe('users', () => {
  test('registration may be vetoed and changed', async () => {
    const userID = `n${randomUUID().slice(0, 8)}`;
    const users = [{ userID, nickname: 'plain' }];
    await vetoed('beforeUserRegister', 'callbackBeforeUserRegisterCommand', root, '/user/user_register', { users });
    await answer('callbackBeforeUserRegisterCommand', { ...GO_ON, users: [{ userID, nickname: 'changed' }] });
    await ok(root, '/user/user_register', { users });
    await answer('callbackBeforeUserRegisterCommand', GO_ON);
    assert.equal((await ok(alice, '/user/get_users_info', { userIDs: [userID] })).usersInfo[0].nickname, 'changed');
    const { body } = await called('afterUserRegister', 'callbackAfterUserRegisterCommand', ({ users: [first] }) => first.userID === userID);
    assert.deepEqual([body.callbackCommand, body.users[0].nickname], ['callbackAfterUserRegisterCommand', 'changed']);
  });
  test('profiles', async () => {
    await answer('callbackBeforeUpdateUserInfoExCommand', { ...GO_ON, nickName: 'Clean' });
    await ok(bob, '/user/update_user_info_ex', { userInfo: { userID: bob.userID, nickname: 'Rude' } });
    await answer('callbackBeforeUpdateUserInfoExCommand', GO_ON);
    const { body } = await called('beforeUpdateUserInfoEx', 'callbackBeforeUpdateUserInfoExCommand');
    assert.deepEqual([body.userID, body.nickName, body.faceURL], [bob.userID, 'Rude', null]);
    assert.equal((await called('afterUpdateUserInfoEx', 'callbackAfterUpdateUserInfoExCommand')).body.nickName, 'Clean');
    await ok(bob, '/user/update_user_info', { userInfo: { userID: bob.userID, nickname: 'Bob' } });
    await called('beforeUpdateUserInfo', 'callbackBeforeUpdateUserInfoCommand');
    assert.equal((await called('afterUpdateUserInfo', 'callbackAfterUpdateUserInfoCommand')).body.nickName, 'Bob');
  });
});

describe('friends', () => {
  test('applications, answers, remarks, black lists', async () => {
    const apply = { fromUserID: alice.userID, toUserID: bob.userID, reqMsg: 'hi', ex: 'x' };
    await vetoed('beforeAddFriend', 'callbackBeforeAddFriendCommand', alice, '/friend/add_friend', apply);
    await ok(alice, '/friend/add_friend', apply);
    assert.equal((await called('afterAddFriend', 'callbackAfterAddFriendCommand')).body.reqMsg, 'hi');
    const agree = { fromUserID: alice.userID, toUserID: bob.userID, handleResult: 1, handleMsg: 'ok' };
    await vetoed('beforeAddFriendAgree', 'callbackBeforeAddFriendAgreeCommand', bob, '/friend/add_friend_response', agree);
    await ok(bob, '/friend/add_friend_response', agree);
    const { body } = await called('afterAddFriendAgree', 'callbackAfterAddFriendAgreeCommand');
    assert.deepEqual([body.fromUserID, body.blackUserID, body.HandleResult], [alice.userID, bob.userID, 1]);
    await answer('callbackBeforeSetFriendRemarkCommand', { ...GO_ON, remark: 'Bobby' });
    await ok(alice, '/friend/set_friend_remark', { ownerUserID: alice.userID, friendUserID: bob.userID, remark: 'b' });
    await called('beforeSetFriendRemark', 'callbackBeforeSetFriendRemarkCommand');
    assert.equal((await called('afterSetFriendRemark', 'callbackAfterSetFriendRemarkCommand')).body.remark, 'Bobby');
    await vetoed('beforeImportFriends', 'callbackBeforeImportFriendsCommand', root, '/friend/import_friend', { ownerUserID: alice.userID, friendUserIDs: [carol.userID] });
    await ok(root, '/friend/import_friend', { ownerUserID: alice.userID, friendUserIDs: [carol.userID] });
    assert.deepEqual((await called('afterImportFriends', 'callbackAfterImportFriendsCommand')).body.friendUserIDs, [carol.userID]);
    const black = { ownerUserID: alice.userID, blackUserID: carol.userID };
    await vetoed('beforeAddBlack', 'callbackBeforeAddBlackCommand', alice, '/friend/add_black', black);
    await ok(alice, '/friend/add_black', black);
    await ok(alice, '/friend/remove_black', black);
    await called('afterRemoveBlack', 'callbackAfterRemoveBlackCommand');
    await ok(alice, '/friend/delete_friend', { ownerUserID: alice.userID, friendUserID: carol.userID });
    await called('afterDeleteFriend', 'callbackAfterDeleteFriendCommand');
  });
});

describe('groups', () => {
  test('what a hook changes is bounded like what users write', async () => {
    const create = async () => (await as(alice, '/group/create_group', { ownerUserID: alice.userID, memberUserIDs: [bob.userID], groupInfo: { groupType: 2, groupName: 'mine' } }));
    for (const [command, field, change] of [
      ['callbackBeforeCreateGroupCommand', 'groupName', { groupName: 'n'.repeat(1025) }],
      ['callbackBeforeMembersJoinGroupCommand', 'nickname', { memberCallbackList: [{ userID: bob.userID, nickname: 'n'.repeat(1025) }] }],
      ['callbackBeforeCreateGroupChatConversationsCommand', 'ex', { ex: 'x'.repeat((64 << 10) + 1) }],
    ]) {
      await answer(command, { ...GO_ON, ...change });
      const refused = await create();
      await answer(command, GO_ON);
      assert.deepEqual([refused.errCode, refused.errDlt.includes(field)], [1001, true], JSON.stringify(refused));
    }
  });
  test('creation may be changed', async () => {
    const create = { ownerUserID: alice.userID, memberUserIDs: [bob.userID], groupInfo: { groupType: 2, groupName: 'g', needVerification: 2 } };
    await vetoed('beforeCreateGroup', 'callbackBeforeCreateGroupCommand', alice, '/group/create_group', create);
    await answer('callbackBeforeCreateGroupCommand', { ...GO_ON, groupName: 'named by the integrator' });
    await answer('callbackBeforeMembersJoinGroupCommand', { ...GO_ON, memberCallbackList: [{ userID: bob.userID, nickname: 'B.' }, { nickname: 'nobody' }] });
    const data = await ok(alice, '/group/create_group', create);
    await answer('callbackBeforeCreateGroupCommand', GO_ON);
    await answer('callbackBeforeMembersJoinGroupCommand', GO_ON);
    ({ groupID } = data.groupInfo);
    assert.equal(data.groupInfo.groupName, 'named by the integrator');
    const { members } = await ok(alice, '/group/get_group_members_info', { groupID, userIDs: [bob.userID] });
    assert.equal(members[0].nickname, 'B.');
    await called('beforeMemberJoinGroup', 'callbackBeforeMembersJoinGroupCommand', (body) => body.groupID === groupID);
    assert.equal((await called('afterCreateGroup', 'callbackAfterCreateGroupCommand')).body.initMemberList.length, 2);
    await called('beforeCreateGroupChatConversations', 'callbackBeforeCreateGroupChatConversationsCommand');
    assert.equal((await called('afterCreateGroupChatConversations', 'callbackAfterCreateGroupChatConversationsCommand')).body.groupId, groupID);
  });
  test('members, settings, endings', async () => {
    const join = { groupID, joinSource: 3, reqMessage: 'please', inviterUserID: carol.userID };
    await vetoed('beforeApplyJoinGroup', 'callbackBeforeJoinGroupCommand', carol, '/group/join_group', join);
    await ok(carol, '/group/join_group', join);
    assert.equal((await called('afterJoinGroup', 'callbackAfterJoinGroupCommand')).body.reqMessage, 'please');
    const nickname = { members: [{ groupID, userID: bob.userID, nickname: 'rude' }] };
    await answer('callbackBeforeSetGroupMemberInfoCommand', { ...GO_ON, nickName: 'clean' });
    await ok(bob, '/group/set_group_member_info', nickname);
    await called('beforeSetGroupMemberInfo', 'callbackBeforeSetGroupMemberInfoCommand');
    assert.equal((await called('afterSetGroupMemberInfo', 'callbackAfterSetGroupMemberInfoCommand')).body.nickName, 'clean');
    await vetoed('beforeSetGroupInfoEx', 'callbackBeforeSetGroupInfoExCommand', alice, '/group/set_group_info_ex', { groupID, groupName: 'x' });
    await ok(alice, '/group/set_group_info_ex', { groupID, introduction: 'i' });
    const { body } = await called('afterSetGroupInfoEx', 'callbackAfterSetGroupInfoExCommand');
    assert.deepEqual([body.introduction, body.groupName], ['i', null]);
    await vetoed('beforeSetGroupInfo', 'callbackBeforeSetGroupInfoCommand', alice, '/group/set_group_info', { groupInfoForSet: { groupID, groupName: 'x' } });
    await ok(alice, '/group/set_group_info', { groupInfoForSet: { groupID, groupName: 'y' } });
    assert.equal((await called('afterSetGroupInfo', 'callbackAfterSetGroupInfoCommand')).body.groupName, 'y');
    await ok(carol, '/group/quit_group', { groupID, userID: carol.userID });
    await called('afterQuitGroup', 'callbackAfterQuitGroupCommand', ({ userID }) => userID === carol.userID);
    await vetoed('beforeInviteUserToGroup', 'callbackBeforeInviteJoinGroupCommand', alice, '/group/invite_user_to_group', { groupID, invitedUserIDs: [carol.userID] });
    await ok(alice, '/group/invite_user_to_group', { groupID, invitedUserIDs: [carol.userID] });
    await ok(alice, '/group/kick_group', { groupID, kickedUserIDs: [carol.userID], reason: 'r' });
    assert.deepEqual((await called('afterKickGroupMember', 'callbackAfterKickGroupCommand')).body.kickedUserIDs, [carol.userID]);
  });
});

describe('messages', () => {
  test('ordinary users: a veto, then all the calls around a message', async () => {
    await answer('callbackBeforeSendSingleMsgCommand', VETO);
    const refused = await frame(bob, { recvID: alice.userID, text: 'spam' });
    await answer('callbackBeforeSendSingleMsgCommand', GO_ON);
    assert.equal(refused.errCode, 7777, JSON.stringify(refused));
    assert.equal((await frame(bob, { recvID: alice.userID, text: 'hello' })).errCode, 0);
    const { body, text: raw, signature, operationID } = await called('beforeSendSingleMsg', 'callbackBeforeSendSingleMsgCommand', ({ content }) => content.includes('hello'));
    assert.deepEqual([body.sendID, body.recvID, body.content, body.sessionType, body.contentType], [bob.userID, alice.userID, '{"content":"hello"}', 1, 101]);
    assert.equal(signature, `sha256=${createHmac('sha256', 'a-signing-secret').update(raw).digest('hex')}`);
    assert.ok(operationID);
    const sent = await called('afterSendSingleMsg', 'callbackAfterSendSingleMsgCommand', ({ content }) => content.includes('hello'));
    const whole = createHmac('sha256', 'a-signing-secret').update(`${sent.timestamp}.${sent.query}.${sent.text}`).digest('hex');
    assert.equal(sent.signedAll, `sha256=${whole}`);
    assert.ok(Math.abs(Date.now() / 1000 - Number(sent.timestamp)) < 60, sent.timestamp);
    const key = JSON.parse(Buffer.from(new URLSearchParams(sent.query).get('key'), 'base64'));
    assert.deepEqual(key, { sendID: bob.userID, recvID: alice.userID, groupID: '' });
    assert.equal((await called('afterMsgSaveDB', 'callbackAfterMsgSaveDBCommand', ({ content }) => content.includes('hello'))).body.seq > 0, true);
    await called('beforeOnlinePush', 'callbackBeforeOnlinePushCommand', ({ content }) => content.includes('hello'));
    await called('afterUserOnline', 'callbackAfterUserOnlineCommand', ({ userID }) => userID === bob.userID);
    await called('afterUserOffline', 'callbackAfterUserOfflineCommand', ({ userID }) => userID === bob.userID);
  });
  test('a first message makes conversations that the integrator may set', async () => {
    const dave = await user('dave');
    await answer('callbackBeforeCreateSingleChatConversationsCommand', { ...GO_ON, ex: 'set' });
    await ok(root, '/msg/send_msg', { sendID: alice.userID, recvID: dave.userID, sessionType: 1, ...text('first') });
    await called('afterCreateSingleChatConversations', 'callbackAfterCreateSingleChatConversationsCommand', ({ ownerUserId }) => ownerUserId === dave.userID);
    await called('beforeCreateSingleChatConversations', 'callbackBeforeCreateSingleChatConversationsCommand');
    const [row] = (await ok(dave, '/conversation/get_all_conversations', { ownerUserID: dave.userID })).conversations;
    assert.equal(row.ex, 'set');
  });
  test('content may be changed, and the sender hears of it', async () => {
    await answer('callbackBeforeMsgModifyCommand', { ...GO_ON, content: '{"content":"***"}', ex: 'moderated' });
    const data = await ok(root, '/msg/send_msg', { sendID: alice.userID, groupID, sessionType: 3, ...text('rude word') });
    await answer('callbackBeforeMsgModifyCommand', GO_ON);
    assert.deepEqual(data.modify, { content: '{"content":"***"}', ex: 'moderated' });
    await called('beforeMsgModify', 'callbackBeforeMsgModifyCommand', ({ content }) => content.includes('rude word'));
    assert.equal((await called('beforeSendGroupMsg', 'callbackBeforeSendGroupMsgCommand')).body.groupID, groupID);
    assert.equal((await called('afterSendGroupMsg', 'callbackAfterSendGroupMsgCommand')).body.content, '{"content":"***"}');
    await called('beforeGroupOnlinePush', 'callbackBeforeGroupOnlinePushCommand', ({ content }) => content.includes('***'));
  });
  test('reading and revoking', async () => {
    const single = `si_${[alice.userID, bob.userID].sort().join('_')}`;
    const newest = async (who, id) => (await ok(who, '/msg/newest_seq', { userID: who.userID })).maxSeqs[id];
    const seq = await newest(alice, single);
    await ok(alice, '/msg/mark_conversation_as_read', { userID: alice.userID, conversationID: single, hasReadSeq: seq, seqs: [seq] });
    assert.deepEqual((await called('afterSingleMsgRead', 'callbackAfterSingleMsgReadCommand')).body.Seqs, [seq]);
    const group = await newest(bob, `sg_${groupID}`);
    await ok(bob, '/msg/mark_conversation_as_read', { userID: bob.userID, conversationID: `sg_${groupID}`, hasReadSeq: group, seqs: [] });
    assert.equal((await called('afterGroupMsgRead', 'callbackAfterGroupMsgReadCommand')).body.unreadMsgNum, group);
    await ok(bob, '/msg/revoke_msg', { userID: bob.userID, conversationID: single, seq });
    assert.equal((await called('afterRevokeMsg', 'callbackBeforeAfterMsgCommand')).body.seq, seq);
  });
  test('failing closed: a veto without a code, no JSON, too late', async () => {
    const send = () => as(root, '/msg/send_msg', { sendID: alice.userID, groupID, sessionType: 3, ...text('x') });
    await answer('callbackBeforeSendGroupMsgCommand', { ...GO_ON, nextCode: 1 });
    assert.equal((await send()).errCode, 80000);
    await answer('callbackBeforeSendGroupMsgCommand', 'not an object');
    assert.equal((await send()).errCode, 90007);
    await answer('callbackBeforeSendGroupMsgCommand', GO_ON, { delayMs: 6000 });
    assert.equal((await send()).errCode, 90004);
    await answer('callbackBeforeSendGroupMsgCommand', GO_ON);
    assert.equal((await send()).errCode, 0);
  });
  test('failing closed: only 2xx is an answer, whatever the body says', async () => {
    const send = () => as(root, '/msg/send_msg', { sendID: alice.userID, groupID, sessionType: 3, ...text('x') });
    for (const status of [301, 401, 404, 413, 500, 503]) {
      await answer('callbackBeforeSendGroupMsgCommand', GO_ON, { status });
      assert.equal((await send()).errCode, 90004, `${status}`);
    }
    await answer('callbackBeforeSendGroupMsgCommand', GO_ON, { status: 201 });
    assert.equal((await send()).errCode, 0);
    await answer('callbackBeforeSendGroupMsgCommand', GO_ON);
  });
  test('an after hook that a proxy answers is delivered again', async () => {
    const tag = randomUUID();
    const times = async () => (await recorded()).filter((call) => call.command === 'callbackAfterSendSingleMsgCommand' && call.text.includes(tag)).length;
    await answer('callbackAfterSendSingleMsgCommand', GO_ON, { status: 503 });
    await ok(root, '/msg/send_msg', { sendID: alice.userID, recvID: bob.userID, sessionType: 1, ...text(tag) });
    await until('it is tried again', async () => await times() > 1, 20_000);
    await answer('callbackAfterSendSingleMsgCommand', GO_ON);
    const next = randomUUID();
    await ok(root, '/msg/send_msg', { sendID: alice.userID, recvID: bob.userID, sessionType: 1, ...text(next) });
    await called('afterSendSingleMsg', 'callbackAfterSendSingleMsgCommand', ({ content }) => content.includes(next));
  });
  test('a hook that refuses one record gets the next ones', async () => {
    const [bad, good] = [randomUUID(), randomUUID()];
    await answer('callbackAfterSendSingleMsgCommand', GO_ON, { status: 413 });
    for (const content of [bad, good]) {
      await ok(root, '/msg/send_msg', { sendID: alice.userID, recvID: bob.userID, sessionType: 1, ...text(content) });
    }
    // Half a minute for each.
    await until('the next one', async () => (await recorded()).some(({ text }) => text.includes(good) && text.includes('callbackAfterSendSingleMsgCommand')), 60_000);
    await answer('callbackAfterSendSingleMsgCommand', GO_ON);
  });
  test('whatever operation id a client sends, a veto holds', async () => {
    await answer('callbackBeforeSendSingleMsgCommand', VETO);
    for (const operationID of ['\n', '\u007f', 'ä', 'x'.repeat(1000)]) {
      const refused = await frame(bob, { recvID: alice.userID, text: 'spam', operationID });
      assert.notEqual(refused.errCode, 0, JSON.stringify(refused));
    }
    await answer('callbackBeforeSendSingleMsgCommand', GO_ON);
  });
  test('after hooks follow what is stored, whoever hangs up', async () => {
    const [erin, tag, tries] = [await user('erin'), randomUUID(), 200];
    const query = `sendID=${erin.userID}&token=${erin.token}&platformID=2&operationID=o&isBackground=false&isMsgResp=true&sdkType=js`;
    const bytes = (field, value) => { const data = Buffer.from(value); return Buffer.concat([Buffer.from([(field << 3) | 2, data.length]), data]); };
    for (let i = 0; i < tries; i++) {
      const socket = new WebSocket(`${at.ws}?${query}`);
      await new Promise((resolve) => {
        socket.addEventListener('open', () => {
          const message = Buffer.concat([
            bytes(1, erin.userID), bytes(2, alice.userID), bytes(4, randomUUID()), Buffer.from([9 << 3, 1]), Buffer.from([11 << 3, 101]), bytes(12, JSON.stringify({ content: `${tag} ${i}` })),
          ]);
          socket.send(Buffer.from(JSON.stringify({ reqIdentifier: 1003, token: '', sendID: erin.userID, operationID: randomUUID(), msgIncr: '1', data: message.toString('base64') })));
          socket.close();
          resolve();
        });
        socket.addEventListener('error', resolve);
      });
    }
    const single = `si_${[alice.userID, erin.userID].sort().join('_')}`;
    const stored = async () => {
      const { maxSeqs } = await ok(alice, '/msg/newest_seq', { userID: alice.userID });
      const end = maxSeqs[single] ?? 0;
      if (end === 0) return [];
      const { msgs } = await ok(alice, '/msg/pull_msg_by_seq', { userID: alice.userID, seqRanges: [{ conversationID: single, begin: 1, end, num: end }] });
      return (msgs[single]?.Msgs ?? []).map(({ content }) => JSON.parse(Buffer.from(content, 'base64')).content);
    };
    const told = async () => {
      const calls = (await recorded()).filter(({ command, text }) => command === 'callbackAfterSendSingleMsgCommand' && text.includes(tag));
      return [...new Set(calls.map(({ body }) => JSON.parse(body.content).content))];
    };
    // What was on its way is stored or not; nothing more comes when two looks are alike.
    let before = -1;
    await until('all of it is stored', async () => { const now = (await stored()).length; const same = now > 0 && now === before; before = now; if (!same) await sleep(3000); return same; }, 60_000);
    const expected = (await stored()).sort();
    await until('the hooks', async () => (await told()).length >= expected.length, 60_000);
    assert.deepEqual((await told()).sort(), expected);
  });
  test('after hooks survive the death of who delivers them', async () => {
    // The receiver is too slow for the time-out: deliveries queue up. Then push, which delivers them, is killed.
    await answer('callbackAfterSendSingleMsgCommand', GO_ON, { delayMs: 6000 });
    const tag = randomUUID();
    for (let i = 0; i < 5; i++) {
      await ok(root, '/msg/send_msg', { sendID: alice.userID, recvID: bob.userID, sessionType: 1, ...text(`${tag} ${i}`) });
    }
    kill('push');
    await answer('callbackAfterSendSingleMsgCommand', GO_ON);
    for (let i = 0; i < 5; i++) {
      await until(`hook ${i}`, async () => (await recorded()).some((call) => call.command === 'callbackAfterSendSingleMsgCommand' && call.text.includes(`${tag} ${i}`)), 60_000);
    }
  });
});

describe('offline push', () => {
  const pushed = (fits) => called('jpush', 'jpush', fits);
  test('who is on no phone is notified by the vendor', async () => {
    const tag = randomUUID();
    await ok(root, '/msg/send_msg', {
      sendID: alice.userID, recvID: bob.userID, sessionType: 1, ...text(tag), offlinePushInfo: { title: 'Alice', desc: tag, ex: '{"k":1}', iOSPushSound: 'ping', iOSBadgeCount: true },
    });
    const { body } = await pushed(({ notification }) => notification.alert === tag);
    assert.deepEqual([body.audience.alias, body.notification.android.title, body.notification.ios.sound], [[bob.userID], 'Alice', 'ping']);
    assert.equal((await called('beforeOfflinePush', 'callbackBeforeOfflinePushCommand', ({ desc }) => desc === tag)).body.title, 'Alice');
  });
  test('a veto, other receivers, no wish to be disturbed, and those who are there', async () => {
    const tag = randomUUID();
    const send = (name, extra = {}) => ok(root, '/msg/send_msg', {
      sendID: alice.userID, groupID, sessionType: 3, ...text(name), offlinePushInfo: { title: 't', desc: `${tag} ${name}`, ex: '', iOSPushSound: '', iOSBadgeCount: false }, ...extra,
    });
    await answer('callbackBeforeOfflinePushCommand', VETO);
    await send('vetoed');
    await called('beforeOfflinePush', 'callbackBeforeOfflinePushCommand', ({ desc }) => desc === `${tag} vetoed`);
    await answer('callbackBeforeOfflinePushCommand', { ...GO_ON, userIDList: [carol.userID], offlinePushInfo: { title: 'changed', desc: `${tag} changed`, ex: '', iOSPushSound: '', iOSBadgeCount: false } });
    await send('to others');
    const { body } = await pushed(({ notification }) => notification.alert === `${tag} changed`);
    assert.deepEqual([body.audience.alias, body.notification.android.title], [[carol.userID], 'changed']);
    await answer('callbackBeforeOfflinePushCommand', GO_ON);
    await send('not wanted', { notOfflinePush: true });
    await ok(bob, '/conversation/set_conversations', { userIDs: [bob.userID], conversation: { conversationType: 3, groupID, conversationID: `sg_${groupID}`, recvMsgOpt: 2 } });
    await send('do not disturb');
    // Nothing tells that nobody was told: push is given time to look at the setting before it changes back.
    await sleep(2000);
    await ok(bob, '/conversation/set_conversations', { userIDs: [bob.userID], conversation: { conversationType: 3, groupID, conversationID: `sg_${groupID}`, recvMsgOpt: 0 } });
    const query = `sendID=${bob.userID}&token=${bob.token}&platformID=2&operationID=o&isBackground=false&isMsgResp=true&sdkType=js`;
    // As the route table sees it, because that is what push asks.
    const online = async () => (await ok(bob, '/user/get_users_status', { userID: bob.userID, userIDs: [bob.userID] })).statusList[0].status;
    const phone = new WebSocket(`${at.ws}?${query}`);
    phone.binaryType = 'arraybuffer';
    const frames = [];
    phone.addEventListener('message', ({ data }) => { if (typeof data !== 'string') frames.push(JSON.parse(Buffer.from(data))); });
    await until('the phone is connected', async () => await online() === 1, 10_000);
    await send('on the phone');
    await until('it is on the phone', () => frames.some(({ data }) => Buffer.from(data ?? '', 'base64').includes('on the phone')), 20_000);
    phone.close();
    await until('the phone is gone', async () => await online() === 0, 10_000);
    await send('last');
    // One partition keeps the order of a group: what was to come is there when the last one is.
    await pushed(({ notification }) => notification.alert === `${tag} last`);
    const alerts = (await recorded()).filter(({ command }) => command === 'jpush').map(({ body: { notification } }) => notification.alert);
    assert.deepEqual(alerts.filter((alert) => alert.startsWith(tag)), [`${tag} changed`, `${tag} last`]);
  });
});

describe('endings', () => {
  test('transfer and dismissal', async () => {
    await ok(alice, '/group/transfer_group', { groupID, oldOwnerUserID: alice.userID, newOwnerUserID: bob.userID });
    assert.equal((await called('afterTransferGroupOwner', 'callbackAfterTransferGroupOwnerCommand')).body.newOwnerUserID, bob.userID);
    await ok(bob, '/group/dismiss_group', { groupID });
    const { body } = await called('afterDismissGroup', 'callbackAfterDisMissGroupCommand');
    assert.deepEqual([body.ownerID, body.groupType, body.membersID.sort()], [bob.userID, '2', [alice.userID, bob.userID].sort()]);
  });
  test('every hook was called but those that nobody calls', () => {
    assert.deepEqual(hooks.filter((hook) => !seen.has(hook)), [...silent].filter((hook) => hooks.includes(hook)));
  });
});
