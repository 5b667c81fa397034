import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Socket, decode, encode } from './sdk/lib/socket.mjs';
import { until } from './sdk/lib/wait.mjs';
import { admin, as, at, call, login, ok, root, user } from './lib/api.mjs';
import { save, see } from './lib/shown.mjs';

after(() => save('rest'));
before(async () => {
  // Users' tokens live as long as the configuration says, administrators' a day.
  assert.equal((await login()).expireTimeSeconds, 86400);
});

test('the envelope is complete and success without fields has no data', async () => {
  const userID = `e${randomUUID().slice(0, 8)}`;
  const answer = await admin('/user/user_register', { users: [{ userID, nickname: 'e' }] });
  assert.deepEqual(answer, { errCode: 0, errMsg: '', errDlt: '' });
  const again = await admin('/user/user_register', { users: [{ userID, nickname: 'e' }] });
  assert.equal(again.errCode, 1102);
});

test('what is missing or wrong is named', async () => {
  const cases = [
    ['/user/get_users_info', '{', 1001, 'request body'],
    ['/user/get_users_info', '', 1001, 'request body'],
    ['/user/get_users_info', '{"userIDs": 7}', 1001, 'request body'],
    ['/user/user_register', { users: [] }, 1001, 'users'],
    ['/user/user_register', { users: [{ userID: 'a:b', nickname: 'x' }] }, 1001, 'users.userID'],
    ['/user/user_register', { users: [{ userID: 'abc', nickname: '' }] }, 1001, 'users.nickname'],
    ['/auth/get_user_token', { userID: 'nobody-at-all', platformID: 2 }, 1101, 'nobody-at-all'],
    ['/auth/get_user_token', { userID: 'x', platformID: 13 }, 1001, 'platformID'],
    ['/friend/get_friend_list', { userID: 'x' }, 1001, 'pagination'],
    ['/friend/get_friend_list', { userID: 'x', pagination: { pageNumber: 0, showNumber: 10 } }, 1001, 'pageNumber'],
    ['/group/create_group', { ownerUserID: 'x' }, 1001, 'groupInfo'],
    ['/msg/send_msg', { sendID: 'a', recvID: 'b', content: {}, contentType: 101, sessionType: 1 }, 1001, 'content.content'],
  ];
  for (const [path, body, code, text] of cases) {
    const answer = await admin(path, body);
    assert.equal(answer.errCode, code, `${path} ${JSON.stringify(body)}: ${JSON.stringify(answer)}`);
    assert.ok(answer.errDlt.includes(text), `${path}: ${answer.errDlt}`);
  }
});

test('headers are required, tokens are checked', async () => {
  const without = await fetch(`${at.api}/user/get_users_info`, { method: 'POST', body: '{}' });
  const envelope = await without.json();
  assert.equal(without.status, 200);
  assert.deepEqual(envelope, { errCode: 1001, errMsg: 'ArgsError', errDlt: 'header must have operationID' });
  assert.equal((await call('/user/get_users_info', {})).errDlt, 'header must have token');
  assert.equal((await call('/user/get_users_info', {}, { token: 'rubbish' })).errCode, 1503);
  const alice = await user('alice');
  const [head, payload, signature] = alice.token.split('.');
  assert.equal((await call('/user/get_users_info', {}, { token: `${head}.${payload}.${signature.slice(0, -4)}AAAA` })).errCode, 1505);
  assert.equal((await call('/auth/get_admin_token', { userID: at.adminUserID, secret: 'openIM123' })).errCode, 1002);
  assert.equal((await call('/auth/get_admin_token', { userID: 'somebody', secret: at.secret })).errCode, 1001);
  // What signs tokens opens nothing from outside where back ends have a secret of their own.
  if (at.clusterSecret !== at.secret) {
    assert.equal((await call('/auth/get_admin_token', { userID: at.adminUserID, secret: at.clusterSecret })).errCode, 1002);
  }
  const login = await call('/auth/get_admin_token', { userID: at.adminUserID, secret: at.secret });
  assert.ok(login.data.expireTimeSeconds <= 86_400, 'tokens of administrators live a day');
});

test('a user is only itself', async () => {
  const [alice, bob, eve] = [await user('alice'), await user('bob'), await user('eve')];
  const page = { pagination: { pageNumber: 1, showNumber: 10 } };
  const foreign = [
    ['/user/update_user_info_ex', { userInfo: { userID: bob.userID, nickname: 'x' } }],
    ['/user/set_global_msg_recv_opt', { userID: bob.userID, globalRecvMsgOpt: 1 }],
    ['/friend/get_friend_list', { userID: bob.userID, ...page }],
    ['/friend/add_friend', { fromUserID: bob.userID, toUserID: alice.userID }],
    ['/friend/add_friend_response', { fromUserID: alice.userID, toUserID: bob.userID, handleResult: 1 }],
    ['/friend/delete_friend', { ownerUserID: bob.userID, friendUserID: alice.userID }],
    ['/friend/add_black', { ownerUserID: bob.userID, blackUserID: alice.userID }],
    ['/friend/get_black_list', { userID: bob.userID, ...page }],
    ['/friend/get_incremental_friends', { userID: bob.userID }],
    ['/group/create_group', { ownerUserID: bob.userID, groupInfo: { groupType: 2 } }],
    ['/group/get_joined_group_list', { fromUserID: bob.userID, ...page }],
    ['/group/get_incremental_join_groups', { userID: bob.userID }],
    ['/conversation/get_all_conversations', { ownerUserID: bob.userID }],
    ['/conversation/get_owner_conversation', { userID: bob.userID, ...page }],
    ['/conversation/set_conversations', { userIDs: [bob.userID], conversation: { conversationType: 1, userID: eve.userID } }],
    ['/msg/newest_seq', { userID: bob.userID }],
    ['/msg/pull_msg_by_seq', { userID: bob.userID }],
    ['/msg/get_conversations_has_read_and_max_seq', { userID: bob.userID }],
    ['/msg/user_clear_all_msg', { userID: bob.userID }],
    ['/third/set_app_badge', { userID: bob.userID, appUnreadCount: 1 }],
    ['/third/fcm_update_token', { account: bob.userID, fcmToken: 'x', platformID: 2 }],
    ['/user/user_register', { users: [{ userID: 'x1', nickname: 'x' }] }],
    ['/auth/get_user_token', { userID: bob.userID, platformID: 2 }],
    ['/auth/force_logout', { userID: bob.userID, platformID: 2 }],
    ['/user/account_check', { checkUserIDs: [bob.userID] }],
    ['/user/get_all_users_uid', page],
    ['/user/get_users_online_status', { userIDs: [bob.userID] }],
    ['/friend/import_friend', { ownerUserID: alice.userID, friendUserIDs: [bob.userID] }],
    ['/msg/send_msg', { sendID: alice.userID, recvID: bob.userID, content: { content: 'x' }, contentType: 101, sessionType: 1 }],
  ];
  for (const [path, body] of foreign) {
    const answer = await as(alice, path, body);
    assert.equal(answer.errCode, 1002, `${path}: ${JSON.stringify(answer)}`);
  }
});

test('groups: only members read, only administrators change', async () => {
  const [owner, member, stranger] = [await user('owner'), await user('member'), await user('stranger')];
  const created = await as(owner, '/group/create_group', {
    ownerUserID: owner.userID, memberUserIDs: [member.userID], groupInfo: { groupName: 'g', groupType: 2 },
  });
  assert.equal(created.errCode, 0, JSON.stringify(created));
  const { groupID } = created.data.groupInfo;
  const page = { pagination: { pageNumber: 1, showNumber: 10 } };
  for (const [path, body] of [
    ['/group/get_group_member_list', { groupID, ...page }],
    ['/group/get_group_members_info', { groupID, userIDs: [owner.userID] }],
    ['/group/get_incremental_group_members', { groupID }],
    ['/group/get_full_group_member_user_ids', { groupID }],
    ['/group/invite_user_to_group', { groupID, invitedUserIDs: [stranger.userID] }],
    ['/group/set_group_info_ex', { groupID, groupName: 'mine' }],
    ['/group/kick_group', { groupID, kickedUserIDs: [member.userID] }],
    ['/group/dismiss_group', { groupID }],
    ['/group/transfer_group', { groupID, oldOwnerUserID: owner.userID, newOwnerUserID: stranger.userID }],
  ]) {
    const answer = await as(stranger, path, body);
    assert.equal(answer.errCode, 1002, `${path}: ${JSON.stringify(answer)}`);
  }
  assert.equal((await as(member, '/group/set_group_info_ex', { groupID, groupName: 'mine' })).errCode, 1002);
  const list = await as(member, '/group/get_group_member_list', { groupID, ...page });
  assert.deepEqual(list.data.members.map((m) => [m.userID, m.roleLevel]), [[owner.userID, 100], [member.userID, 20]]);
  assert.equal((await as(owner, '/group/quit_group', { groupID })).errCode, 1002);
  assert.equal((await as(owner, '/group/kick_group', { groupID, kickedUserIDs: [member.userID] })).errCode, 0);
  assert.equal((await as(member, '/group/get_group_member_list', { groupID, ...page })).errCode, 1002);
  // Asked for a group that is gone, the batch call still answers for it: a client would ask for ever.
  const batch = await as(member, '/group/get_incremental_group_members_batch', {
    userID: member.userID, reqList: [{ groupID, versionID: '', version: 0 }],
  });
  assert.ok(batch.data.respList[groupID]);
});

test('many who change the same at once are all served', async () => {
  const people = await Promise.all(Array.from({ length: 24 }, (_, n) => user(`crowd${n}-`)));
  const [owner, friend, ...crowd] = people;
  const [open, asked] = await Promise.all([2, 0].map(async (needVerification) => {
    const created = await ok(owner, '/group/create_group', {
      ownerUserID: owner.userID, memberUserIDs: [], groupInfo: { groupName: 'g', groupType: 2, needVerification },
    });
    return created.groupInfo.groupID;
  }));
  const join = (person, groupID) => ok(person, '/group/join_group', { groupID, reqMessage: '', joinSource: 3, inviterUserID: person.userID });
  // Each adds to the same list of members.
  await Promise.all(crowd.map((person) => join(person, open)));
  const { members } = await ok(owner, '/group/get_group_member_list', { groupID: open, pagination: { pageNumber: 1, showNumber: 100 } });
  assert.deepEqual(members.map((m) => m.userID).sort(), [owner, ...crowd].map((m) => m.userID).sort());
  // Each adds to the same user's friends, conversations and groups.
  await Promise.all(crowd.map((person) => ok(person, '/friend/add_friend', { fromUserID: person.userID, toUserID: friend.userID, reqMsg: '' })));
  await Promise.all(crowd.map((person) => ok(friend, '/friend/add_friend_response', { fromUserID: person.userID, toUserID: friend.userID, handleResult: 1, handleMsg: '' })));
  await Promise.all(crowd.map((person) => ok(friend, '/conversation/set_conversations', {
    userIDs: [friend.userID], conversation: { conversationID: `si_${[person.userID, friend.userID].sort().join('_')}`, conversationType: 1, userID: person.userID, isPinned: true },
  })));
  await Promise.all(crowd.map((person) => ok(root, '/group/create_group', { ownerUserID: person.userID, memberUserIDs: [friend.userID], groupInfo: { groupName: 'g', groupType: 2 } })));
  // Each makes the row that is not there yet.
  const [eager] = crowd;
  const times = (work) => Array.from({ length: 12 }, (_, n) => work(n));
  await Promise.all(times(() => join(eager, asked)));
  await Promise.all(times(() => ok(owner, '/friend/add_friend', { fromUserID: owner.userID, toUserID: friend.userID, reqMsg: '' })));
  await Promise.all(times((n) => ok(root, '/user/set_user_client_config', { userID: owner.userID, configs: { size: `${n}` } })));
  await Promise.all(times(() => ok(owner, '/third/fcm_update_token', { platformID: 2, fcmToken: 't', account: owner.userID, expireTime: 0 })));
  await Promise.all(times((n) => ok(owner, '/third/set_app_badge', { userID: owner.userID, appUnreadCount: n })));
  // Whoever is invited by several becomes a member once, and the others are told so.
  const invited = await Promise.all(crowd.slice(0, 8).map((person) => as(person, '/group/invite_user_to_group', { groupID: open, invitedUserIDs: [friend.userID] })));
  assert.deepEqual([...new Set(invited.map((answer) => answer.errCode))].sort(), [0, 1001], JSON.stringify(invited));
  assert.equal(invited.filter((answer) => answer.errCode === 0).length, 1);
  const conversationID = `sg_${open}`;
  await Promise.all(crowd.flatMap((person) => [
    ok(person, '/conversation/set_conversations', { userIDs: [person.userID], conversation: { conversationID, conversationType: 3, groupID: open, isPinned: true } }),
    ok(person, '/conversation/set_conversations', { userIDs: [person.userID], conversation: { conversationID, conversationType: 3, groupID: open, recvMsgOpt: 2 } }),
  ]));
  for (const person of crowd) {
    const { conversation } = await ok(person, '/conversation/get_conversation', { ownerUserID: person.userID, conversationID });
    assert.deepEqual([conversation.isPinned, conversation.recvMsgOpt], [true, 2]);
  }
});

test('incremental sync says full, then nothing, then exactly the change', async () => {
  const [alice, bob] = [await user('alice'), await user('bob')];
  const ask = async (known = {}) => (await as(alice, '/friend/get_incremental_friends', { userID: alice.userID, ...known })).data;
  const first = await ask({ versionID: '', version: 0 });
  assert.equal(first.full, true);
  assert.match(first.versionID, /^[0-9a-f]{24}$/);
  assert.ok(first.version > 0);
  const known = { versionID: first.versionID, version: first.version };
  const same = await ask(known);
  assert.deepEqual([same.full, same.insert, same.delete, same.update, same.sortVersion], [false, null, null, null, 0]);
  await as(alice, '/friend/add_friend', { fromUserID: alice.userID, toUserID: bob.userID });
  await as(bob, '/friend/add_friend_response', { fromUserID: alice.userID, toUserID: bob.userID, handleResult: 1 });
  const changed = await ask(known);
  assert.equal(changed.version, first.version + 1);
  assert.deepEqual(changed.insert.map((friend) => friend.friendUser.userID), [bob.userID]);
  const ids = await as(alice, '/friend/get_full_friend_user_ids', { userID: alice.userID, idHash: 0 });
  assert.deepEqual(ids.data.userIDs, [bob.userID]);
  assert.equal((await as(alice, '/friend/add_friend', { fromUserID: alice.userID, toUserID: bob.userID })).errCode, 1304);
  assert.equal((await as(alice, '/friend/add_friend', { fromUserID: alice.userID, toUserID: alice.userID })).errCode, 1301);
});

test('browsers may call from anywhere, answers are compressed, unknown routes are 404', async () => {
  const preflight = await fetch(`${at.api}/user/get_users_info`, {
    method: 'OPTIONS', headers: { origin: 'http://example.org', 'access-control-request-headers': 'operationid,token,content-type' },
  });
  assert.equal(preflight.status, 200);
  assert.equal(preflight.headers.get('access-control-allow-origin'), '*');
  assert.ok(preflight.headers.get('access-control-allow-headers').includes('operationid'));
  const missing = await fetch(`${at.api}/no/such/route`, { method: 'POST' });
  assert.equal(missing.status, 404);
  assert.equal(missing.headers.get('access-control-allow-origin'), '*');
  // Another method of a known path is an unknown route.
  const other = await fetch(`${at.api}/user/get_users_info`);
  assert.deepEqual([other.status, await other.text()], [404, '404 page not found']);
});

test('bodies are read as Go reads them: keys without case, nulls, repeats, half an emoji', async () => {
  const [alice, bob] = [await user('alice'), await user('bob')];
  for (const body of ['{"userIds":["ID"]}', '{"USERIDS":null,"userIDs":["ID"],"more":[{}]}', '{"userIDs":["x"],"userids":["ID"]}']) {
    const found = await as(alice, '/user/get_users_info', body.replace('"ID"', `"${bob.userID}"`));
    assert.deepEqual(found.data?.usersInfo?.map((who) => who.userID), [bob.userID], `${body} ${JSON.stringify(found)}`);
  }
  const half = `{"userInfo":{"userID":"${alice.userID}","nickname":"x\\ud83d","faceURL":null}}`;
  assert.equal((await as(alice, '/user/update_user_info', half)).errCode, 0);
  assert.equal((await as(bob, '/user/get_users_info', { userIDs: [alice.userID] })).data.usersInfo[0].nickname, 'x\ufffd');
  for (const body of ['[]', '{"userIDs":{}}', '{"userIDs":[5]}', '{"userIDs":["a"]} x']) {
    assert.equal((await as(alice, '/user/get_users_info', body)).errCode, 1001, body);
  }
  const sent = await admin('/msg/send_msg', {
    sendID: alice.userID, recvId: bob.userID, groupID: null, senderNickname: null, content: { content: 'hi' }, contentType: 101, sessionType: 1,
    isOnlineOnly: null, notOfflinePush: null, sendTime: null, offlinePushInfo: null, ex: null,
  });
  assert.equal(sent.errCode, 0, JSON.stringify(sent));
});

test('a list that is required may be empty but not missing, and reading drops repeats', async () => {
  const alice = await user('alice');
  for (const body of [{}, { userIDs: null }]) {
    const refused = await as(alice, '/user/get_users_info', body);
    assert.deepEqual([refused.errCode, refused.errDlt], [1001, 'userIDs is required']);
  }
  assert.equal((await as(alice, '/user/get_users_info', { userIDs: [] })).errCode, 0);
  const twice = await as(alice, '/user/get_users_info', { userIDs: [alice.userID, alice.userID, 'nobody'] });
  assert.deepEqual(twice.data?.usersInfo?.map((who) => who.userID), [alice.userID], JSON.stringify(twice));
});

test('repeats in a list are refused by the routes of which the contract says so, and taken by all others', async () => {
  const [alice, bob] = [await user('alice'), await user('bob')];
  const twice = [bob.userID, bob.userID];
  const chat = `si_${[alice.userID, bob.userID].sort().join('_')}`;
  await ok(root, '/friend/import_friend', { ownerUserID: alice.userID, friendUserIDs: [bob.userID] });
  const group = { groupName: 'g', groupType: 2 };
  const { groupInfo } = await ok(alice, '/group/create_group', { ownerUserID: alice.userID, memberUserIDs: [], groupInfo: group });
  const refusing = [
    [root, '/user/account_check', { checkUserIDs: twice }],
    [root, '/user/user_register', { users: [{ userID: 'r', nickname: 'r' }, { userID: 'r', nickname: 'r' }] }],
    [root, '/friend/import_friend', { ownerUserID: alice.userID, friendUserIDs: twice }],
    [alice, '/friend/get_designated_friends', { ownerUserID: alice.userID, friendUserIDs: twice }],
    [alice, '/friend/get_specified_friends_info', { ownerUserID: alice.userID, userIDList: twice }],
    [alice, '/friend/get_specified_blacks', { ownerUserID: alice.userID, userIDList: twice }],
    [alice, '/friend/update_friends', { ownerUserID: alice.userID, friendUserIDs: twice, isPinned: true }],
    [alice, '/group/create_group', { ownerUserID: alice.userID, memberUserIDs: twice, groupInfo: group }],
    [alice, '/group/invite_user_to_group', { groupID: groupInfo.groupID, invitedUserIDs: twice }],
    [alice, '/group/kick_group', { groupID: groupInfo.groupID, kickedUserIDs: twice }],
  ];
  for (const [who, path, body] of refusing) assert.equal((await as(who, path, body)).errCode, 1001, path);
  const seen = await Socket.open(at.ws, bob);
  const sent = await ok(root, '/msg/batch_send_msg', { sendID: alice.userID, recvIDs: twice, content: { content: 'once' }, contentType: 101, sessionType: 1 });
  assert.deepEqual(sent.results.map((result) => result.recvID), [bob.userID]);
  await until('the conversation is there', async () =>
    (await ok(alice, '/conversation/get_conversations', { ownerUserID: alice.userID, conversationIDs: [chat, chat] })).conversations?.length === 1);
  const taking = [
    [alice, '/user/subscribe_users_status', { userID: alice.userID, userIDs: twice, genre: 1 }],
    [alice, '/conversation/set_conversations', {
      userIDs: [alice.userID, alice.userID], conversation: { conversationID: chat, conversationType: 1, userID: bob.userID, isPinned: true },
    }],
    [alice, '/msg/clear_conversation_msg', { userID: alice.userID, conversationIDs: [chat, chat] }],
    [root, '/msg/delete_msg_physical', { conversationIDs: [chat, chat], timestamp: 86_400 }],
    [alice, '/conversation/delete_conversations', { ownerUserID: alice.userID, conversationIDs: [chat, chat], needDeleteTime: 0 }],
    [root, '/user/del_user_client_config', { userID: alice.userID, keys: ['k', 'k'] }],
  ];
  for (const [who, path, body] of taking) {
    const answer = await as(who, path, body);
    assert.equal(answer.errCode, 0, `${path} ${JSON.stringify(answer)}`);
  }
  seen.close();
});

test('the JavaScript SDK writes protobuf on /jssdk, and reads it from the data of the envelope', async () => {
  const [alice, bob] = [await user('alice'), await user('bob')];
  await ok(root, '/msg/send_msg', { sendID: alice.userID, recvID: bob.userID, content: { content: 'hi' }, contentType: 101, sessionType: 1 });
  const ask = async (path, body, contentType = 'application/x-protobuf') => (await fetch(at.api + path, {
    method: 'POST', headers: { operationID: randomUUID(), token: bob.token, 'content-type': contentType }, body,
  })).json();
  const active = encode('jssdk.GetActiveConversationsReq', { ownerUserID: bob.userID, count: 20 });
  const [found] = await until('the conversation is there', async () => {
    const answer = await ask('/jssdk/get_active_conversations', active);
    assert.equal(answer.errCode, 0, JSON.stringify(answer));
    const { conversations } = decode('jssdk.GetActiveConversationsResp', Buffer.from(answer.data, 'base64'));
    return conversations.length === 1 && conversations;
  });
  assert.equal(found.conversation.userID, alice.userID);
  assert.equal(found.lastMsg.clientMsgID.length > 0 && found.maxSeq, 1);
  const some = encode('jssdk.GetConversationsReq', { ownerUserID: bob.userID, conversationIDs: [found.conversation.conversationID] });
  const answer = await ask('/jssdk/get_conversations', some, 'application/protobuf');
  assert.equal(decode('jssdk.GetConversationsResp', Buffer.from(answer.data, 'base64')).unreadCount, 1);
  assert.equal((await ask('/jssdk/get_conversations', some, 'application/json')).errCode, 1001);
});

test('a bot logs in as platform 12, beside the same user elsewhere, and can be forced out', async () => {
  const who = await user('bot');
  const phone = await Socket.open(at.ws, who);
  const bot = { userID: who.userID, token: (await ok(root, '/auth/get_user_token', { userID: who.userID, platformID: 12 })).token };
  assert.equal((await ok(bot, '/auth/parse_token', { token: bot.token })).platformID, 12);
  const socket = await Socket.open(at.ws, bot, { platformID: 12 });
  const shown = await until('both are shown', async () => {
    const [status] = await ok(root, '/user/get_users_online_status', { userIDs: [who.userID] });
    return status.detailPlatformStatus?.length === 2 && status.detailPlatformStatus;
  });
  assert.deepEqual(shown.map((open) => open.platform).sort(), ['Android', 'Bot']);
  await ok(root, '/auth/force_logout', { userID: who.userID, platformID: 12 });
  const refused = await as(bot, '/user/get_users_info', { userIDs: [who.userID] });
  assert.equal(refused.errCode, 1506, JSON.stringify(refused));
  await until('the bot is out', () => socket.kicked);
  assert.ok(!phone.kicked && (await as(who, '/user/get_users_info', { userIDs: [who.userID] })).errCode === 0);
  phone.close();
});

test('data is there although all its maps are empty', async () => {
  const alice = await user('alice');
  const answer = await as(alice, '/user/get_user_client_config', { userID: alice.userID });
  assert.deepEqual(answer, { errCode: 0, errMsg: '', errDlt: '', data: {} });
});

test('an operation id has 1 to 128 bytes of visible ASCII', async () => {
  const alice = await user('alice');
  for (const operationID of ['x'.repeat(129), 'x'.repeat(10_000), 'a b', 'caf\u00e9']) {
    const answer = await as(alice, '/user/get_users_info', { userIDs: [] }, { operationID });
    assert.equal(answer.errCode, 1001, operationID);
    assert.match(answer.errDlt, /operationID.*128/);
  }
  assert.equal((await as(alice, '/user/get_users_info', { userIDs: [] }, { operationID: 'x'.repeat(128) })).errCode, 0);
});

test('what the description allows at its bound is accepted, and one more is refused', async () => {
  const [alice, bob] = [await user('alice'), await user('bob')];
  const described = await (await fetch(`${at.api}/openapi.json`)).json();
  const most = (properties, field) => {
    const schema = properties[field].anyOf?.[0] ?? properties[field];
    const bound = schema.maxLength ?? schema.maxItems ?? schema.maxProperties ?? schema.maximum;
    assert.ok(Number.isInteger(bound), `${field}: ${JSON.stringify(schema)}`);
    return bound;
  };
  const of = (type, field) => most(described.components.schemas[`openim.${type}`].properties, field);
  const byHand = (path, field) => most(described.paths[path].post.requestBody.content['application/json'].schema.properties, field);
  const text = (n) => 'x'.repeat(n);
  const ids = (n) => Array.from({ length: n }, (_, i) => `u${i}`);
  const seqs = (n) => ids(n).map((_, i) => i + 1);
  const pair = { fromUserID: alice.userID, toUserID: bob.userID };
  const sent = { sendID: alice.userID, recvID: bob.userID, content: { content: 'x' }, contentType: 101, sessionType: 1 };
  const own = { userID: alice.userID };
  const chat = { ...own, conversationID: `si_${[alice.userID, bob.userID].sort().join('_')}` };
  // The largest requests count as many: whoever has used up what he may ask in a second waits.
  const heard = (who, path, body) => until(`${path} is heard`, async () => {
    const answer = await as(who, path, body);
    return answer.errCode !== 429 && answer;
  }, 30_000);
  // The code at the bound where there is nothing to do is not that of a wrong request.
  for (const [bound, path, who, body, code = 0] of [
    [of('relation.applyToAddFriendReq', 'reqMsg'), '/friend/add_friend', alice, (n) => ({ ...pair, reqMsg: text(n) })],
    [of('relation.addBlackReq', 'ex'), '/friend/add_black', alice, (n) => ({ ownerUserID: alice.userID, blackUserID: bob.userID, ex: text(n) })],
    [of('sdkws.UserInfoWithEx', 'nickname'), '/user/update_user_info_ex', alice, (n) => ({ userInfo: { ...own, nickname: text(n) } })],
    [of('sdkws.UserInfoWithEx', 'ex'), '/user/update_user_info_ex', alice, (n) => ({ userInfo: { ...own, ex: text(n) } })],
    [of('user.getDesignateUsersReq', 'userIDs'), '/user/get_users_info', alice, (n) => ({ userIDs: ids(n) })],
    [of('msg.MarkMsgsAsReadReq', 'seqs'), '/msg/mark_msgs_as_read', alice, (n) => ({ ...chat, seqs: seqs(n) }), 1004],
    [of('msg.GetConversationsHasReadAndMaxSeqReq', 'conversationIDs'), '/msg/get_conversations_has_read_and_max_seq', alice, (n) => ({ ...own, conversationIDs: ids(n) })],
    [of('user.setUserClientConfigReq', 'configs'), '/user/set_user_client_config', root, (n) => ({ ...own, configs: Object.fromEntries(ids(n).map((id) => [id, 'v'])) })],
    [of('sdkws.RequestPagination', 'showNumber'), '/friend/get_friend_list', alice, (n) => ({ ...own, pagination: { pageNumber: 1, showNumber: n } })],
    [of('extension.SearchOwnMsgReq', 'count'), '/msg/search_own_msg', alice, (n) => ({ ...own, keyword: 'x', count: n })],
    [of('group.GetGroupsInfoReq', 'groupIDs'), '/group/get_groups_info', alice, (n) => ({ groupIDs: ids(n) })],
    [byHand('/msg/send_msg', 'senderNickname'), '/msg/send_msg', root, (n) => ({ ...sent, sendID: root.userID, senderNickname: text(n) })],
    [byHand('/user/get_users_online_status', 'userIDs'), '/user/get_users_online_status', root, (n) => ({ userIDs: ids(n) })],
  ]) {
    const accepted = await heard(who, path, body(bound));
    assert.equal(accepted.errCode, code, `${path} at ${bound}: ${JSON.stringify(accepted).slice(0, 300)}`);
    const refused = await heard(who, path, body(bound + 1));
    assert.equal(refused.errCode, 1001, `${path} above ${bound}: ${JSON.stringify(refused).slice(0, 300)}`);
  }
  // A message by socket.
  const line = await Socket.open(at.ws, alice);
  const options = (n) => Object.fromEntries(ids(n).map((id) => [id, true]));
  for (const [field, value] of [['senderNickname', text], ['atUserIDList', ids], ['options', options], ['clientMsgID', text]]) {
    const send = (n) => line.request('send', { ...sent, recvID: at.adminUserID, clientMsgID: randomUUID(), content: Buffer.from('{"content":"x"}'), [field]: value(n) });
    const bound = of('sdkws.MsgData', field);
    assert.equal((await send(bound)).errCode, 0, field);
    assert.equal((await send(bound + 1)).errCode, 1001, field);
  }
  line.close();
});

test('a token is refused once it was replaced', async () => {
  const alice = await user('alice');
  assert.equal((await as(alice, '/user/get_users_info', { userIDs: [alice.userID] })).errCode, 0);
  const fresh = (await admin('/auth/get_user_token', { userID: alice.userID, platformID: 2 })).data.token;
  assert.equal((await as(alice, '/user/get_users_info', { userIDs: [alice.userID] })).errCode, 1506, 'at once');
  assert.equal((await call('/user/get_users_info', { userIDs: [] }, { token: fresh })).errCode, 0);
});

// --- the WebSocket, with JSON frames, as sdkType=js clients use it

function open(user, extra = '') {
  const query = `sendID=${user.userID}&token=${user.token}&platformID=2&operationID=o&isBackground=false&isMsgResp=true&sdkType=js${extra}`;
  const socket = new WebSocket(`${at.ws}?${query}`);
  socket.binaryType = 'arraybuffer';
  const frames = [];
  let closed = false;
  socket.addEventListener('message', ({ data }) => frames.push(data));
  socket.addEventListener('close', () => { closed = true; });
  socket.addEventListener('error', () => { closed = true; });
  return { socket, frames, isClosed: () => closed, first: async () => {
    const envelope = JSON.parse(await until('first frame', () => frames[0], 10_000));
    see('errors', envelope.errCode);
    return envelope;
  } };
}
const request = (user, reqIdentifier, data = '') =>
  Buffer.from(JSON.stringify({ reqIdentifier, token: '', sendID: user.userID, operationID: 'op', msgIncr: 'm1', data }));

test('garbage ends its own connection and nothing else', async () => {
  const [alice, bob] = [await user('alice'), await user('bob')];
  const witness = open(bob);
  assert.equal((await witness.first()).errCode, 0);
  const frames = {
    'random bytes': Buffer.from([1, 2, 3, 255, 254, 0, 9]),
    'empty': Buffer.alloc(0),
    'another user': request({ userID: bob.userID }, 1001),
    'unknown command': request(alice, 4711),
    'oversized': Buffer.alloc(60_000, 'x'),
    'text': 'hello',
  };
  for (const [name, frame] of Object.entries(frames)) {
    const connection = open(alice);
    assert.equal((await connection.first()).errCode, 0, name);
    connection.socket.send(frame);
    await until(`${name}: closed`, connection.isClosed, 10_000);
  }
  for (const [name, frame] of Object.entries({
    'bomb': gzipSync(Buffer.alloc(20 << 20)), 'truncated': gzipSync(request(alice, 1001)).subarray(0, 20), 'plain': request(alice, 1001),
  })) {
    const connection = open(alice, '&compression=gzip');
    assert.equal((await connection.first()).errCode, 0, name);
    connection.socket.send(frame);
    await until(`${name}: closed`, connection.isClosed, 10_000);
  }
  const own = Buffer.concat([Buffer.from([0x0a, bob.userID.length]), Buffer.from(bob.userID)]).toString('base64');
  witness.socket.send(request(bob, 1001, own));
  const answer = await until('the witness is answered', () => witness.frames[1], 10_000);
  assert.equal(JSON.parse(Buffer.from(answer)).errCode, 0);
  witness.socket.close();
});

test('malformed protobuf and foreign ids get an error, the connection stays', async () => {
  const [alice, bob] = [await user('alice'), await user('bob')];
  const connection = open(alice);
  await connection.first();
  const send = async (command, data) => {
    const before = connection.frames.length;
    connection.socket.send(request(alice, command, data));
    const frame = await until('an answer', () => connection.frames[before], 10_000);
    return JSON.parse(Buffer.from(frame));
  };
  assert.equal((await send(1003, Buffer.from([0xff, 0xff]).toString('base64'))).errCode, 1001);
  const foreign = Buffer.concat([Buffer.from([0x0a, bob.userID.length]), Buffer.from(bob.userID)]).toString('base64');
  for (const command of [1001, 1002, 1005, 1006, 1007]) {
    const answer = await send(command, foreign);
    assert.equal(answer.errCode, 1002, `${command}: ${JSON.stringify(answer)}`);
    assert.deepEqual([answer.reqIdentifier, answer.msgIncr, answer.data], [command, 'm1', '']);
  }
  assert.notEqual((await send(1004, '')).errCode, 0);
  assert.equal(connection.isClosed(), false);
  connection.socket.close();
});

test('handshakes are refused as the contract says', async () => {
  const [alice, bob] = [await user('alice'), await user('bob')];
  const wrong = open({ userID: alice.userID, token: bob.token });
  assert.equal((await wrong.first()).errCode, 1502);
  await until('closed', wrong.isClosed, 10_000);
  assert.equal((await open({ userID: alice.userID, token: 'x' }).first()).errCode, 1503);
  const missing = await fetch(`${at.ws.replace('ws:', 'http:')}?sendID=a`);
  assert.equal(missing.status, 200);
  assert.equal((await missing.json()).errCode, 500); // isBackground is missing
  const noToken = await fetch(`${at.ws.replace('ws:', 'http:')}?sendID=a&isBackground=false&platformID=2&operationID=o`);
  assert.equal((await noToken.json()).errCode, 1602);
  see('errors', 1602);
  // Without isMsgResp the reason is in the body, and the status keeps it there on its way through proxies.
  const upgrade = (query) => new Promise((resolve, reject) => {
    const headers = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==' };
    const sent = httpRequest(`${at.ws.replace('ws:', 'http:')}?${new URLSearchParams(query)}`, { headers });
    sent.on('response', async (answer) => {
      const body = JSON.parse(Buffer.concat(await answer.toArray()).toString());
      resolve([answer.statusCode, body.errCode, answer.headers['content-type']]);
    });
    sent.on('upgrade', (_answer, socket) => { socket.destroy(); reject(new Error('it was let in')); });
    sent.on('error', reject);
    sent.end();
  });
  const asked = { sendID: alice.userID, token: alice.token, platformID: 2, operationID: 'o', isBackground: false };
  const json = 'application/json; charset=utf-8';
  assert.deepEqual(await upgrade({ ...asked, token: 'x' }), [401, 1503, json]);
  assert.deepEqual(await upgrade({ ...asked, token: bob.token }), [401, 1502, json]);
  assert.deepEqual(await upgrade({ ...asked, platformID: 13 }), [400, 1602, json]);
});

test('a ping in text is answered', async () => {
  const alice = await user('alice');
  const connection = open(alice);
  await connection.first();
  connection.socket.send(JSON.stringify({ type: 'ping', body: 'x' }));
  assert.deepEqual(JSON.parse(await until('pong', () => connection.frames[1], 10_000)), { type: 'pong', body: 'x' });
  connection.socket.close();
});

test('a list that is read for the first time by several requests at once has one version', async () => {
  const reads = ['/friend/get_full_friend_user_ids', '/group/get_full_join_group_ids', '/conversation/get_full_conversation_ids'];
  for (let round = 0; round < 30; round++) {
    const someone = await user('fresh');
    await Promise.all(reads.map(async (path) => {
      const answers = await Promise.all([1, 2, 3].map(() => ok(someone, path, { userID: someone.userID, idHash: 0 })));
      assert.equal(new Set(answers.map((answer) => `${answer.versionID} ${answer.version}`)).size, 1, `${path}: ${JSON.stringify(answers)}`);
    }));
  }
});
