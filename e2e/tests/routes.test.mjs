// Every route of the contract: what it does through the real stack, without a token, without its arguments, for somebody else.
// `make contract` prints what was shown. The routes of the object storage work in objects.test.mjs, those about the cluster in operations.test.mjs.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { sleep, until } from './sdk/lib/wait.mjs';
import { admin, as, at, call, least, login, ok, root, user } from './lib/api.mjs';
import { routes, save, show } from './lib/shown.mjs';

/** A test of what a route does. */
const route = (path, work) => test(`${path} works`, async () => { await work(path); show(path, 'works'); });
/** A call on what belongs to somebody else must be refused. */
async function foreign(who, path, body, code = 1002) {
  const answer = await as(who, path, body);
  assert.equal(answer.errCode, code, `${path} ${JSON.stringify(body)}: ${JSON.stringify(answer)}`);
  show(path, 'foreign');
}
const page = { pagination: { pageNumber: 1, showNumber: 100 } };
const now = () => Date.now();
const DAY = 86_400_000;

let alice, bob, carol, dora, eve, groupID, single, group;
const members = async () => (await ok(alice, '/group/get_group_member_list', { groupID, ...page })).members;
const role = async (who) => (await members()).find((member) => member.userID === who.userID)?.roleLevel;

/** Sends as the administrator on behalf of a user; waits until the message is stored. */
async function say(from, to, text, extra = {}) {
  const target = to === groupID ? { groupID, sessionType: 3 } : { recvID: to, sessionType: 1 };
  const sent = await ok(root, '/msg/send_msg', { sendID: from.userID, content: { content: text }, contentType: 101, ...target, ...extra });
  const conversation = to === groupID ? group : `si_${[from.userID, to].sort().join('_')}`;
  await until(`${text} is stored`, async () => (await pulled(from, conversation)).some((m) => m.clientMsgID === sent.clientMsgID), 20_000);
  return sent;
}
async function newest(who, conversation) {
  return (await ok(who, '/msg/newest_seq', { userID: who.userID })).maxSeqs[conversation] ?? 0;
}
async function pulled(who, conversation) {
  const end = await newest(who, conversation);
  if (end === 0) return [];
  const answer = await ok(who, '/msg/pull_msg_by_seq', { userID: who.userID, seqRanges: [{ conversationID: conversation, begin: 1, end, num: 1000 }] });
  return answer?.msgs?.[conversation]?.Msgs ?? [];
}
const text = (message) => Buffer.from(message.content ?? '', 'base64').toString();

before(async () => {
  await login();
  [alice, bob, carol, dora, eve] = await Promise.all(['alice', 'bob', 'carol', 'dora', 'eve'].map(user));
  single = `si_${[alice.userID, dora.userID].sort().join('_')}`;
});
after(() => save('routes'));

// An empty list of users is an empty answer; these calls take no body.
const emptyIsFine = new Set(['/user/get_users_info']);
const bodyless = new Set(['/config/get_config_list', '/config/get_enable_config_manager']);
describe('every route', () => {
  for (const { method, path, token, admin: adminOnly, requires } of routes) {
    if (token) {
      test(`${path} without a token`, async () => {
        const answer = await call(path, {}, {}, method);
        assert.deepEqual([answer.errCode, answer.errDlt], [1001, 'header must have token'], JSON.stringify(answer));
        show(path, 'no token');
      });
    }
    if (adminOnly) {
      test(`${path} is for administrators`, async () => { await foreign(eve, path, least(path)); });
    }
    if (method === 'POST' && requires && !emptyIsFine.has(path)) {
      test(`${path} names what is missing`, async () => {
        const answer = await admin(path, {});
        assert.equal(answer.errCode, 1001, JSON.stringify(answer));
        assert.match(answer.errDlt, /is required|must|userID|pagination|exactly one/, answer.errDlt);
        show(path, 'missing');
      });
    }
    if (method === 'POST' && !bodyless.has(path)) {
      test(`${path} refuses what is not an object`, async () => {
        const answer = await admin(path, '[1');
        assert.notEqual(answer.errCode, 0, JSON.stringify(answer));
      });
    }
  }
});

describe('auth', () => {
  route('/auth/get_admin_token', async (path) => {
    const answer = await call(path, { userID: at.adminUserID, secret: at.secret });
    assert.equal(answer.errCode, 0);
    assert.equal((await call(path, { userID: at.adminUserID, secret: 'x' })).errCode, 1002);
  });
  route('/auth/get_user_token', async (path) => {
    const answer = await ok(root, path, { userID: carol.userID, platformID: 1 });
    assert.ok(answer.token && answer.expireTimeSeconds > 0);
  });
  route('/auth/parse_token', async (path) => {
    const data = await ok(root, path, { token: alice.token });
    assert.deepEqual([data.userID, data.platformID], [alice.userID, 2]);
  });
  route('/auth/force_logout', async (path) => {
    const { token } = await ok(root, '/auth/get_user_token', { userID: carol.userID, platformID: 3 });
    await ok(root, path, { userID: carol.userID, platformID: 3 });
    assert.equal((await call('/user/get_users_info', { userIDs: [carol.userID] }, { token })).errCode, 1506);
  });
});

describe('user', () => {
  route('/user/user_register', async (path) => {
    const userID = `r${randomUUID().slice(0, 8)}`;
    await ok(root, path, { users: [{ userID, nickname: 'r', faceURL: 'f', ex: 'x' }] });
    const [info] = (await ok(alice, '/user/get_users_info', { userIDs: [userID] })).usersInfo;
    assert.deepEqual([info.nickname, info.faceURL, info.ex], ['r', 'f', 'x']);
  });
  route('/user/update_user_info', async (path) => {
    await ok(bob, path, { userInfo: { userID: bob.userID, nickname: 'Bob' } });
    await foreign(eve, path, { userInfo: { userID: bob.userID, nickname: 'x' } });
  });
  route('/user/update_user_info_ex', async (path) => {
    await ok(bob, path, { userInfo: { userID: bob.userID, nickname: 'Bobby', ex: '' } });
    assert.equal((await ok(alice, '/user/get_users_info', { userIDs: [bob.userID] })).usersInfo[0].nickname, 'Bobby');
    await foreign(eve, path, { userInfo: { userID: bob.userID, nickname: 'x' } });
  });
  route('/user/get_users_info', async (path) => {
    const { usersInfo } = await ok(alice, path, { userIDs: [bob.userID, 'nobody-at-all', alice.userID] });
    assert.deepEqual(usersInfo.map((info) => info.userID), [bob.userID, alice.userID]);
  });
  route('/user/set_global_msg_recv_opt', async (path) => {
    await ok(carol, path, { userID: carol.userID, globalRecvMsgOpt: 2 });
    await ok(carol, path, { userID: carol.userID, globalRecvMsgOpt: 0 });
    await foreign(eve, path, { userID: carol.userID, globalRecvMsgOpt: 1 });
  });
  route('/user/get_all_users_uid', async (path) => {
    const data = await ok(root, path, page);
    assert.ok(data.total >= 4 && data.userIDs.length > 0);
  });
  route('/user/account_check', async (path) => {
    const { results } = await ok(root, path, { checkUserIDs: [alice.userID, 'nobody-at-all'] });
    assert.deepEqual(results.map((item) => item.accountStatus), [1, 0]);
  });
  route('/user/get_users', async (path) => {
    const data = await ok(root, path, { ...page, userID: alice.userID.slice(2) });
    assert.deepEqual(data.users.map((info) => info.userID), [alice.userID]);
    const none = await ok(root, path, { ...page, userID: '.*' });
    assert.equal(none.total, 0, 'a text is taken literally');
    await foreign(eve, path, page);
  });
  route('/user/get_users_online_status', async (path) => {
    assert.equal((await ok(root, path, { userIDs: [alice.userID] }))[0].status, 0);
  });
  route('/user/get_users_online_token_detail', async (path) => {
    assert.equal((await ok(root, path, { userIDs: [alice.userID] }))[0].userID, alice.userID);
  });
  route('/user/get_users_status', async (path) => {
    const { statusList } = await ok(alice, path, { userID: alice.userID, userIDs: [bob.userID] });
    assert.deepEqual([statusList[0].userID, statusList[0].status], [bob.userID, 0]);
  });
  route('/user/subscribe_users_status', async (path) => {
    await ok(alice, path, { userID: alice.userID, userIDs: [bob.userID], genre: 1 });
    await foreign(eve, path, { userID: alice.userID, userIDs: [bob.userID], genre: 1 });
  });
  route('/user/get_subscribe_users_status', async (path) => {
    await ok(alice, path, { userID: alice.userID });
    await foreign(eve, path, { userID: alice.userID });
  });
  const item = () => ({ userID: alice.userID, type: 7, uuid: 'u1' });
  route('/user/process_user_command_add', async (path) => {
    await ok(alice, path, { ...item(), value: 'v', ex: 'e' });
    assert.equal((await as(alice, path, { ...item(), value: 'again' })).errCode, 1001);
    await foreign(eve, path, { ...item(), value: 'v' });
  });
  route('/user/process_user_command_update', async (path) => {
    await ok(alice, path, { ...item(), value: 'w' });
    assert.equal((await as(alice, path, { ...item(), uuid: 'none', value: 'w' })).errCode, 1004);
    await foreign(eve, path, { ...item(), value: 'v' });
  });
  route('/user/process_user_command_get', async (path) => {
    const [found] = (await ok(alice, path, { userID: alice.userID, type: 7 })).CommandResp;
    assert.deepEqual([found.uuid, found.value, found.ex], ['u1', 'w', 'e']);
    await foreign(eve, path, { userID: alice.userID, type: 7 });
  });
  route('/user/process_user_command_get_all', async (path) => {
    assert.equal((await ok(alice, path, { userID: alice.userID })).CommandResp.length, 1);
    await foreign(eve, path, { userID: alice.userID });
  });
  route('/user/process_user_command_delete', async (path) => {
    await foreign(eve, path, item());
    await ok(alice, path, item());
    assert.equal((await as(alice, path, item())).errCode, 1004);
  });
  let account;
  route('/user/add_notification_account', async (path) => {
    account = await ok(root, path, { nickName: 'News', faceURL: 'n', appMangerLevel: 3 });
    assert.match(account.userID, /^\d{10}$/);
    assert.equal((await admin(path, { nickName: 'News', appMangerLevel: 1 })).errCode, 1001);
    assert.equal((await admin(path, { userID: alice.userID, nickName: 'x', appMangerLevel: 3 })).errCode, 1001);
  });
  route('/user/update_notification_account', async (path) => {
    await ok(root, path, { userID: account.userID, nickName: 'Late News' });
    assert.equal((await admin(path, { userID: alice.userID, nickName: 'x' })).errCode, 1101);
  });
  route('/user/search_notification_account', async (path) => {
    const data = await ok(root, path, { keyword: account.userID, ...page });
    assert.deepEqual([data.total, data.notificationAccounts[0].nickName], [1, 'Late News']);
    assert.equal((await ok(root, path, { keyword: alice.userID, ...page })).total, 0);
  });
  route('/user/set_user_client_config', async (path) => {
    await ok(root, path, { userID: alice.userID, configs: { theme: 'dark', size: '3' } });
    await ok(root, path, { userID: alice.userID, configs: { theme: 'light' } });
  });
  route('/user/get_user_client_config', async (path) => {
    assert.deepEqual((await ok(alice, path, { userID: alice.userID })).configs, { theme: 'light', size: '3' });
    await foreign(eve, path, { userID: alice.userID });
  });
  route('/user/page_user_client_config', async (path) => {
    const data = await ok(root, path, { userID: alice.userID, key: '', ...page });
    assert.deepEqual([data.total, data.configs.map((entry) => entry.key)], [2, ['size', 'theme']]);
  });
  route('/user/del_user_client_config', async (path) => {
    await ok(root, path, { userID: alice.userID, keys: ['size'] });
    assert.deepEqual((await ok(alice, '/user/get_user_client_config', { userID: alice.userID })).configs, { theme: 'light' });
  });
});

describe('friend', () => {
  const befriend = { get from() { return { fromUserID: alice.userID, toUserID: bob.userID }; } };
  route('/friend/add_friend', async (path) => {
    await ok(alice, path, { ...befriend.from, reqMsg: 'hello' });
    await foreign(eve, path, { fromUserID: alice.userID, toUserID: bob.userID });
  });
  route('/friend/get_friend_apply_list', async (path) => {
    const data = await ok(bob, path, { userID: bob.userID, ...page });
    assert.deepEqual([data.total, data.FriendRequests[0].reqMsg], [1, 'hello']);
    await foreign(eve, path, { userID: bob.userID, ...page });
  });
  route('/friend/get_self_friend_apply_list', async (path) => {
    assert.equal((await ok(alice, path, { userID: alice.userID, ...page })).total, 1);
    await foreign(eve, path, { userID: alice.userID, ...page });
  });
  route('/friend/get_self_unhandled_apply_count', async (path) => {
    assert.equal((await ok(bob, path, { userID: bob.userID, time: 0 })).count, 1);
    await foreign(eve, path, { userID: bob.userID, time: 0 });
  });
  route('/friend/get_designated_friend_apply', async (path) => {
    const { friendRequests } = await ok(bob, path, { fromUserID: bob.userID, toUserID: alice.userID });
    assert.deepEqual(friendRequests.map((request) => request.fromUserID), [alice.userID]);
    await foreign(eve, path, befriend.from);
  });
  route('/friend/add_friend_response', async (path) => {
    await foreign(eve, path, { ...befriend.from, handleResult: 1 });
    await ok(bob, path, { ...befriend.from, handleResult: 1, handleMsg: 'yes' });
  });
  route('/friend/is_friend', async (path) => {
    const data = await ok(alice, path, { userID1: alice.userID, userID2: bob.userID });
    assert.deepEqual([data.inUser1Friends, data.inUser2Friends], [true, true]);
    await foreign(eve, path, { userID1: alice.userID, userID2: bob.userID });
  });
  route('/friend/set_friend_remark', async (path) => {
    await ok(alice, path, { ownerUserID: alice.userID, friendUserID: bob.userID, remark: 'B' });
    await foreign(eve, path, { ownerUserID: alice.userID, friendUserID: bob.userID, remark: 'x' });
  });
  route('/friend/update_friends', async (path) => {
    await ok(alice, path, { ownerUserID: alice.userID, friendUserIDs: [bob.userID], isPinned: true });
    await foreign(eve, path, { ownerUserID: alice.userID, friendUserIDs: [bob.userID], isPinned: true });
  });
  route('/friend/import_friend', async (path) => {
    await ok(root, path, { ownerUserID: alice.userID, friendUserIDs: [carol.userID] });
  });
  route('/friend/get_friend_list', async (path) => {
    const data = await ok(alice, path, { userID: alice.userID, ...page });
    assert.deepEqual(data.friendsInfo.map((friend) => [friend.friendUser.userID, friend.remark, friend.isPinned]),
      [[bob.userID, 'B', true], [carol.userID, '', false]]);
    await foreign(eve, path, { userID: alice.userID, ...page });
  });
  route('/friend/get_designated_friends', async (path) => {
    const data = await ok(alice, path, { ownerUserID: alice.userID, friendUserIDs: [carol.userID, eve.userID] });
    assert.deepEqual(data.friendsInfo.map((friend) => friend.friendUser.userID), [carol.userID]);
    await foreign(eve, path, { ownerUserID: alice.userID, friendUserIDs: [carol.userID] });
  });
  route('/friend/get_friend_id', async (path) => {
    assert.deepEqual((await ok(alice, path, { userID: alice.userID })).friendIDs, [bob.userID, carol.userID]);
    await foreign(eve, path, { userID: alice.userID });
  });
  route('/friend/get_incremental_friends', async (path) => {
    assert.equal((await ok(alice, path, { userID: alice.userID, versionID: '', version: 0 })).full, true);
    await foreign(eve, path, { userID: alice.userID });
  });
  route('/friend/get_full_friend_user_ids', async (path) => {
    assert.deepEqual((await ok(alice, path, { userID: alice.userID, idHash: 0 })).userIDs, [bob.userID, carol.userID]);
    await foreign(eve, path, { userID: alice.userID });
  });
  route('/friend/add_black', async (path) => {
    await ok(alice, path, { ownerUserID: alice.userID, blackUserID: eve.userID });
    await foreign(eve, path, { ownerUserID: alice.userID, blackUserID: bob.userID });
  });
  route('/friend/get_black_list', async (path) => {
    const data = await ok(alice, path, { userID: alice.userID, ...page });
    assert.deepEqual(data.blacks.map((black) => black.blackUserInfo.userID), [eve.userID]);
    await foreign(eve, path, { userID: alice.userID, ...page });
  });
  route('/friend/get_specified_blacks', async (path) => {
    assert.equal((await ok(alice, path, { ownerUserID: alice.userID, userIDList: [eve.userID, bob.userID] })).total, 1);
    await foreign(eve, path, { ownerUserID: alice.userID, userIDList: [eve.userID] });
  });
  route('/friend/get_specified_friends_info', async (path) => {
    const { infos } = await ok(alice, path, { ownerUserID: alice.userID, userIDList: [bob.userID, eve.userID, 'nobody-at-all'] });
    assert.deepEqual(infos.map((info) => [info.userInfo.userID, info.friendInfo !== null, info.blackInfo !== null]),
      [[bob.userID, true, false], [eve.userID, false, true]]);
    await foreign(eve, path, { ownerUserID: alice.userID, userIDList: [bob.userID] });
  });
  route('/friend/remove_black', async (path) => {
    await foreign(eve, path, { ownerUserID: alice.userID, blackUserID: eve.userID });
    await ok(alice, path, { ownerUserID: alice.userID, blackUserID: eve.userID });
  });
  route('/friend/get_incremental_blacks', async (path) => {
    // The contract's server does not implement it; the answer says what to do instead.
    const answer = await as(alice, path, { userID: alice.userID });
    assert.equal(answer.errCode, 1001);
    assert.ok(answer.errDlt.includes('/friend/get_black_list'));
    await foreign(eve, path, { userID: alice.userID });
  });
  route('/friend/delete_friend', async (path) => {
    await foreign(eve, path, { ownerUserID: alice.userID, friendUserID: carol.userID });
    await ok(alice, path, { ownerUserID: alice.userID, friendUserID: carol.userID });
    assert.deepEqual((await ok(alice, '/friend/get_friend_id', { userID: alice.userID })).friendIDs, [bob.userID]);
  });
});

describe('group', () => {
  route('/group/create_group', async (path) => {
    const data = await ok(alice, path, {
      ownerUserID: alice.userID, adminUserIDs: [bob.userID], memberUserIDs: [carol.userID], groupInfo: { groupName: 'Chess', groupType: 2 },
    });
    ({ groupID } = data.groupInfo);
    group = `sg_${groupID}`;
    assert.equal(data.groupInfo.memberCount, 3);
    await foreign(eve, path, { ownerUserID: alice.userID, groupInfo: { groupType: 2 } });
  });
  const one = () => ({ groupID });
  route('/group/get_groups_info', async (path) => {
    const { groupInfos } = await ok(eve, path, { groupIDs: [groupID, 'none-at-all'] });
    assert.deepEqual(groupInfos.map((info) => [info.groupID, info.ownerUserID]), [[groupID, alice.userID]]);
  });
  route('/group/set_group_info_ex', async (path) => {
    await ok(bob, path, { groupID, groupName: 'Chess club', introduction: 'i' });
    assert.equal((await as(carol, path, { groupID, groupName: ' ' })).errCode, 1002);
    assert.equal((await as(bob, path, { groupID, groupName: ' ' })).errCode, 1001);
    await foreign(carol, path, { groupID, groupName: 'x' });
  });
  route('/group/set_group_info', async (path) => {
    await ok(alice, path, { groupInfoForSet: { groupID, notification: 'Tonight at eight', needVerification: 1 } });
    const [info] = (await ok(carol, '/group/get_groups_info', { groupIDs: [groupID] })).groupInfos;
    assert.deepEqual([info.groupName, info.notification, info.needVerification, info.notificationUserID],
      ['Chess club', 'Tonight at eight', 1, alice.userID]);
    const [seen] = (await ok(eve, '/group/get_groups_info', { groupIDs: [groupID] })).groupInfos;
    assert.deepEqual([seen.groupName, seen.needVerification, seen.notification], ['Chess club', 1, ''], 'what is announced is for members');
    // An announcement marks everybody else's conversation.
    const mark = async () => (await ok(carol, '/conversation/get_conversation', { ownerUserID: carol.userID, conversationID: group })).conversation.groupAtType;
    await until('the announcement mark', async () => await mark() === 4, 10_000);
    await foreign(carol, path, { groupInfoForSet: { groupID, notification: 'x' } });
  });
  route('/group/get_group_member_list', async (path) => {
    assert.deepEqual((await members()).map((m) => [m.userID, m.roleLevel]), [[alice.userID, 100], [bob.userID, 60], [carol.userID, 20]]);
    await foreign(eve, path, { groupID, ...page });
  });
  route('/group/get_group_members_info', async (path) => {
    assert.equal((await ok(carol, path, { groupID, userIDs: [bob.userID] })).members[0].nickname, 'Bobby');
    await foreign(eve, path, { groupID, userIDs: [bob.userID] });
  });
  route('/group/get_group_member_user_id', async (path) => {
    assert.deepEqual((await ok(carol, path, one())).userIDs, [alice.userID, bob.userID, carol.userID]);
    await foreign(eve, path, one());
  });
  route('/group/get_group_abstract_info', async (path) => {
    const [info] = (await ok(carol, path, { groupIDs: [groupID] })).groupAbstractInfos;
    assert.equal(info.groupMemberNumber, 3);
    assert.ok(info.groupMemberListHash > 0);
    await foreign(eve, path, { groupIDs: [groupID] });
  });
  route('/group/get_groups', async (path) => {
    const data = await ok(root, path, { groupID, ...page });
    assert.deepEqual([data.total, data.groups[0].groupOwnerUserID], [1, alice.userID]);
    assert.ok((await ok(root, path, { groupName: 'CHESS', ...page })).groups.some((item) => item.groupInfo.groupID === groupID));
    await foreign(eve, path, page);
  });
  route('/group/get_joined_group_list', async (path) => {
    assert.deepEqual((await ok(carol, path, { fromUserID: carol.userID, ...page })).groups.map((info) => info.groupID), [groupID]);
    await foreign(eve, path, { fromUserID: carol.userID, ...page });
  });
  route('/group/join_group', async (path) => {
    await ok(eve, path, { groupID, reqMessage: 'let me in', joinSource: 3, inviterUserID: eve.userID });
    await foreign(eve, path, { groupID, reqMessage: 'x', joinSource: 3, inviterUserID: carol.userID });
  });
  route('/group/get_recv_group_applicationList', async (path) => {
    const data = await ok(alice, path, { fromUserID: alice.userID, ...page });
    assert.deepEqual([data.total, data.groupRequests[0].reqMsg], [1, 'let me in']);
    await foreign(eve, path, { fromUserID: alice.userID, ...page });
  });
  route('/group/get_user_req_group_applicationList', async (path) => {
    assert.equal((await ok(eve, path, { userID: eve.userID, ...page })).total, 1);
    await foreign(eve, path, { userID: alice.userID, ...page });
  });
  route('/group/get_group_users_req_application_list', async (path) => {
    const data = await ok(bob, path, { groupID, userIDs: [eve.userID, carol.userID] });
    assert.deepEqual([data.total, data.groupRequests[0].userInfo.userID], [1, eve.userID]);
    await foreign(eve, path, { groupID, userIDs: [eve.userID] });
  });
  route('/group/get_specified_user_group_request_info', async (path) => {
    assert.equal((await ok(eve, path, { groupID, userID: eve.userID })).total, 1);
    assert.equal((await ok(bob, path, { groupID, userID: eve.userID })).total, 1);
    await foreign(carol, path, { groupID, userID: eve.userID });
  });
  route('/group/get_group_application_unhandled_count', async (path) => {
    assert.equal((await ok(bob, path, { userID: bob.userID, time: 0 })).count, 1);
    await foreign(eve, path, { userID: bob.userID, time: 0 });
  });
  route('/group/group_application_response', async (path) => {
    await foreign(carol, path, { groupID, fromUserID: eve.userID, handleResult: 1 });
    await ok(bob, path, { groupID, fromUserID: eve.userID, handledMsg: 'welcome', handleResult: 1 });
    assert.equal(await role(eve), 20);
  });
  route('/group/quit_group', async (path) => {
    await ok(eve, path, { groupID, userID: eve.userID });
    assert.equal(await role(eve), undefined);
    await foreign(eve, path, { groupID, userID: carol.userID });
  });
  route('/group/invite_user_to_group', async (path) => {
    await foreign(eve, path, { groupID, invitedUserIDs: [eve.userID] });
    await ok(alice, path, { groupID, invitedUserIDs: [eve.userID], reason: 'r' });
    assert.equal(await role(eve), 20);
  });
  route('/group/kick_group', async (path) => {
    await foreign(carol, path, { groupID, kickedUserIDs: [eve.userID] });
    await ok(bob, path, { groupID, kickedUserIDs: [eve.userID] });
    assert.equal(await role(eve), undefined);
  });
  route('/group/mute_group_member', async (path) => {
    await foreign(carol, path, { groupID, userID: bob.userID, mutedSeconds: 60 });
    await foreign(bob, path, { groupID, userID: alice.userID, mutedSeconds: 60 });
    await ok(bob, path, { groupID, userID: carol.userID, mutedSeconds: 600 });
    const end = (await members()).find((member) => member.userID === carol.userID).muteEndTime;
    assert.ok(end > now() + 500_000 && end < now() + 700_000);
  });
  route('/group/cancel_mute_group_member', async (path) => {
    await foreign(carol, path, { groupID, userID: carol.userID });
    await ok(bob, path, { groupID, userID: carol.userID });
    assert.equal((await members()).find((member) => member.userID === carol.userID).muteEndTime, 0);
  });
  const status = async () => (await ok(alice, '/group/get_groups_info', { groupIDs: [groupID] })).groupInfos[0].status;
  route('/group/mute_group', async (path) => {
    await foreign(carol, path, one());
    await ok(bob, path, one());
    assert.equal(await status(), 3);
  });
  route('/group/cancel_mute_group', async (path) => {
    await foreign(carol, path, one());
    await ok(bob, path, one());
    assert.equal(await status(), 0);
  });
  route('/group/set_group_member_info', async (path) => {
    const set = (who, fields) => ({ members: [{ groupID, userID: who.userID, ...fields }] });
    await ok(carol, path, set(carol, { nickname: 'C', ex: '' }));
    await ok(alice, path, set(carol, { roleLevel: 60 }));
    assert.equal(await role(carol), 60);
    await ok(alice, path, set(carol, { roleLevel: 20 }));
    assert.deepEqual((await members()).find((m) => m.userID === carol.userID).nickname, 'C');
    await foreign(bob, path, set(carol, { roleLevel: 60 }));
    await foreign(alice, path, set(bob, { roleLevel: 100 }));
    await foreign(carol, path, set(bob, { nickname: 'x' }));
  });
  route('/group/get_incremental_join_groups', async (path) => {
    assert.equal((await ok(carol, path, { userID: carol.userID, versionID: '', version: 0 })).full, true);
    await foreign(eve, path, { userID: carol.userID });
  });
  route('/group/get_incremental_group_members', async (path) => {
    const first = await ok(carol, path, { groupID, versionID: '', version: 0 });
    assert.equal(first.full, true);
    await ok(carol, '/group/set_group_member_info', { members: [{ groupID, userID: carol.userID, nickname: 'CC' }] });
    const next = await ok(carol, path, { groupID, versionID: first.versionID, version: first.version });
    assert.deepEqual([next.version, next.update.map((m) => m.nickname)], [first.version + 1, ['CC']]);
    await foreign(eve, path, one());
  });
  route('/group/get_incremental_group_members_batch', async (path) => {
    const { respList } = await ok(carol, path, { userID: carol.userID, reqList: [{ groupID, versionID: '', version: 0 }] });
    assert.equal(respList[groupID].full, true);
    await foreign(eve, path, { userID: carol.userID, reqList: [{ groupID }] });
  });
  route('/group/get_full_group_member_user_ids', async (path) => {
    assert.deepEqual((await ok(carol, path, { groupID, idHash: 0 })).userIDs, [alice.userID, bob.userID, carol.userID]);
    await foreign(eve, path, one());
  });
  route('/group/get_full_join_group_ids', async (path) => {
    assert.deepEqual((await ok(carol, path, { userID: carol.userID, idHash: 0 })).groupIDs, [groupID]);
    await foreign(eve, path, { userID: carol.userID });
  });
});

describe('msg', () => {
  before(async () => {
    await ok(alice, '/group/invite_user_to_group', { groupID, invitedUserIDs: [dora.userID] });
  });
  route('/msg/send_msg', async () => {
    await say(alice, dora.userID, 'one', { ex: 'x' });
    await say(alice, dora.userID, 'two');
    await say(carol, groupID, 'three');
    const [message] = await pulled(dora, single);
    assert.deepEqual([text(message), message.ex, message.seq, message.senderNickname], ['{"content":"one"}', 'x', 1, 'alice']);
  });
  route('/msg/check_msg_is_send_success', async (path) => {
    const operationID = randomUUID();
    assert.equal((await ok(root, path, {}, { operationID })).status, 0);
    await ok(root, '/msg/send_msg', { sendID: alice.userID, recvID: dora.userID, content: { content: 'q' }, contentType: 101, sessionType: 1 }, { operationID });
    assert.equal((await ok(root, path, {}, { operationID })).status, 2);
  });
  route('/msg/newest_seq', async (path) => {
    await until('three messages', async () => await newest(dora, single) === 3, 10_000);
    await foreign(eve, path, { userID: dora.userID });
  });
  route('/msg/pull_msg_by_seq', async (path) => {
    const answer = await ok(dora, path, { userID: dora.userID, seqRanges: [{ conversationID: single, begin: 1, end: 3, num: 2 }] });
    assert.deepEqual(answer.msgs[single].Msgs.map((message) => message.seq), [2, 3]);
    await foreign(eve, path, { userID: dora.userID });
    const stranger = await ok(eve, path, { userID: eve.userID, seqRanges: [{ conversationID: single, begin: 1, end: 3, num: 2 }] });
    assert.equal(stranger?.msgs?.[single], undefined);
  });
  route('/msg/get_conversations_has_read_and_max_seq', async (path) => {
    const { seqs } = await ok(dora, path, { userID: dora.userID, conversationIDs: [single] });
    assert.deepEqual([seqs[single].maxSeq, seqs[single].hasReadSeq], [3, 0]);
    await foreign(eve, path, { userID: dora.userID });
  });
  const read = async () => (await ok(dora, '/msg/get_conversations_has_read_and_max_seq', { userID: dora.userID, conversationIDs: [single] })).seqs[single].hasReadSeq;
  route('/msg/mark_msgs_as_read', async (path) => {
    await ok(dora, path, { userID: dora.userID, conversationID: single, seqs: [1] });
    assert.equal(await read(), 1);
    assert.equal((await pulled(alice, single))[0].isRead, true);
    await foreign(eve, path, { userID: dora.userID, conversationID: single, seqs: [1] });
  });
  route('/msg/mark_conversation_as_read', async (path) => {
    await ok(dora, path, { userID: dora.userID, conversationID: single, hasReadSeq: 2, seqs: [] });
    assert.equal(await read(), 2);
    assert.equal((await as(dora, path, { userID: dora.userID, conversationID: single, hasReadSeq: 99, seqs: [] })).errCode, 1001);
    await foreign(eve, path, { userID: dora.userID, conversationID: single, hasReadSeq: 2 });
  });
  route('/msg/set_conversation_has_read_seq', async (path) => {
    await ok(dora, path, { userID: dora.userID, conversationID: single, hasReadSeq: 3 });
    assert.equal(await read(), 3);
    await foreign(eve, path, { userID: dora.userID, conversationID: single, hasReadSeq: 3 });
  });
  route('/msg/revoke_msg', async (path) => {
    await foreign(eve, path, { userID: alice.userID, conversationID: single, seq: 1 });
    await foreign(dora, path, { userID: dora.userID, conversationID: single, seq: 1 });
    await ok(alice, path, { userID: alice.userID, conversationID: single, seq: 1 });
    const [message] = await pulled(dora, single);
    assert.equal(message.contentType, 2101);
    assert.ok(!text(message).includes('one'));
  });
  test('a quote does not show what was revoked', async () => {
    const content = { text: 'why', quoteMessage: { seq: 1, contentType: 101, content: 'one' } };
    await say(dora, alice.userID, '', { contentType: 114, content });
    const message = (await pulled(alice, single)).at(-1);
    const quoted = JSON.parse(text(message)).quoteMessage;
    assert.equal(quoted.contentType, 2101);
    assert.ok(quoted.content.includes(alice.userID) && !quoted.content.includes('one'));
  });
  test('at-messages mark the conversations of those they name', async () => {
    const mark = async (who) => (await ok(who, '/conversation/get_conversation', { ownerUserID: who.userID, conversationID: group })).conversation.groupAtType;
    const at = async (list) => say(alice, groupID, '', { contentType: 106, content: { text: '@', atUserList: list } });
    await at([dora.userID, 'a-stranger']);
    await until('dora is marked', async () => await mark(dora) === 1, 10_000);
    await at(['AtAllTag', dora.userID]);
    await until('both are marked', async () => await mark(dora) === 3 && await mark(carol) === 2, 10_000);
    assert.notEqual(await mark(alice), 2);
  });
  route('/msg/delete_msgs', async (path) => {
    await ok(dora, path, { userID: dora.userID, conversationID: single, seqs: [2] });
    const of = async (who) => (await pulled(who, single)).find((message) => message.seq === 2);
    assert.deepEqual([(await of(dora)).status, text(await of(alice))], [4, '{"content":"two"}']);
    await ok(dora, path, { userID: dora.userID, conversationID: single, seqs: [2], deleteSyncOpt: { IsSyncOther: true } });
    assert.deepEqual([(await of(alice)).status, text(await of(alice))], [4, '']);
    await foreign(eve, path, { userID: dora.userID, conversationID: single, seqs: [2] });
    const seq = (await pulled(dora, group)).find((message) => text(message).includes('three')).seq;
    // In a group only whoever may revoke a message may remove it for everybody.
    await say(alice, groupID, 'by the owner');
    const owners = (await pulled(dora, group)).at(-1).seq;
    await foreign(carol, path, { userID: carol.userID, conversationID: group, seqs: [owners], deleteSyncOpt: { IsSyncOther: true } });
    await ok(carol, path, { userID: carol.userID, conversationID: group, seqs: [seq], deleteSyncOpt: { IsSyncOther: true } });
    assert.equal((await pulled(dora, group)).find((message) => message.seq === seq).status, 4);
  });
  route('/msg/search_msg', async (path) => {
    const marker = `needle ${randomUUID()}`;
    await say(alice, dora.userID, marker);
    const day = new Date().toISOString().slice(0, 10);
    const data = await ok(root, path, { sendID: alice.userID, recvID: dora.userID, contentType: 101, sendTime: day, sessionType: 1, ...page });
    assert.ok(data.chatLogsNum >= 1);
    assert.ok(data.chatLogs[0].chatLog.content.includes(marker), 'newest first');
    assert.equal((await ok(root, path, { sendID: alice.userID, sendTime: '2001-01-01', ...page })).chatLogsNum, 0);
    assert.equal((await admin(path, { sendTime: 'yesterday', ...page })).errCode, 1001);
    await foreign(eve, path, page);
  });
  // What upstream does not have.
  test('no message is found or changed that the asker does not see', async () => {
    const about = { userID: eve.userID, conversationID: single, seq: 3 };
    for (const [path, body] of [
      ['/msg/edit_msg', { ...about, content: '{"content":"x"}' }], ['/msg/set_reaction', { ...about, reaction: '+1' }],
      ['/msg/get_reaction_users', { ...about, ...page }], ['/msg/get_group_msg_readers', { userID: eve.userID, groupID, seq: 1, ...page }],
    ]) assert.equal((await as(eve, path, body)).errCode, 1004, path);
    assert.equal((await ok(eve, '/msg/get_reactions', { ...about, seqs: [1, 2, 3] })).messages, null);
    assert.equal((await ok(eve, '/msg/search_own_msg', { userID: eve.userID, keyword: 'e', conversationIDs: [single], count: 9 })).messages, null);
    assert.equal((await as(alice, '/msg/edit_msg', { ...about, userID: alice.userID, seq: 1, content: '{"content":"x"}' })).errCode, 1004, 'revoked');
  });
  const notified = async (who, conversation, key) => {
    const n = conversation.replace(/^s[ig]_/, 'n_');
    const answer = await ok(who, '/msg/pull_msg_by_seq', { userID: who.userID, seqRanges: [{ conversationID: n, begin: 1, end: 1000, num: 1000 }] });
    const messages = answer.notificationMsgs?.[n]?.Msgs.filter((message) => message.contentType === 2001) ?? [];
    return messages.map((message) => JSON.parse(JSON.parse(text(message)).detail)).filter((detail) => detail.key === key).map((detail) => JSON.parse(detail.data));
  };
  route('/msg/edit_msg', async (path) => {
    for (const [sender, to, conversation, reader] of [[alice, dora.userID, single, dora], [carol, groupID, group, dora]]) {
      const sent = await say(sender, to, 'tpyo');
      const { seq } = (await pulled(reader, conversation)).at(-1);
      const body = { userID: sender.userID, conversationID: conversation, seq };
      const first = await ok(sender, path, { ...body, content: '{"content":"typo"}' });
      const second = await ok(sender, path, { ...body, content: '{"content":"right"}' });
      assert.deepEqual([first.version, second.version], [1, 2]);
      const message = (await pulled(reader, conversation)).at(-1);
      assert.deepEqual([message.seq, message.contentType, message.clientMsgID, text(message)], [seq, 101, sent.clientMsgID, '{"content":"right"}']);
      const tips = await until('both edits are told', async () => {
        const found = (await notified(reader, conversation, 'openim.messageEdited')).filter((data) => data.seq === seq);
        return found.length === 2 && found;
      }, 10_000);
      assert.deepEqual(tips.map(({ content, version, clientMsgID, userID }) => [content, version, clientMsgID, userID]),
        [['{"content":"typo"}', 1, sent.clientMsgID, sender.userID], ['{"content":"right"}', 2, sent.clientMsgID, sender.userID]]);
      await foreign(reader, path, { ...body, content: '{"content":"x"}' });
      await foreign(reader, path, { ...body, userID: reader.userID, content: '{"content":"x"}' });
      for (const content of ['', 'plain', '[1]', `{"content":"${'x'.repeat(70_000)}"}`]) assert.equal((await as(sender, path, { ...body, content })).errCode, 1001, content);
      const found = await ok(root, '/msg/search_msg', { sendID: sender.userID, recvID: to, contentType: 101, sessionType: conversation === group ? 3 : 1, ...page });
      assert.equal(found.chatLogs[0].chatLog.content, '{"content":"right"}');
    }
    // Who may not send any more may not edit.
    const { seq } = (await pulled(carol, group)).at(-1);
    const again = { userID: carol.userID, conversationID: group, seq, content: '{"content":"again"}' };
    await ok(alice, '/group/mute_group_member', { groupID, userID: carol.userID, mutedSeconds: 600 });
    assert.equal((await as(carol, path, again)).errCode, 1402);
    await ok(alice, '/group/cancel_mute_group_member', { groupID, userID: carol.userID });
    await ok(carol, path, again);
    await ok(carol, '/msg/revoke_msg', { userID: carol.userID, conversationID: group, seq });
    assert.equal((await as(carol, path, again)).errCode, 1004);
    assert.equal((await pulled(dora, group)).find((message) => message.seq === seq).contentType, 2101);
    await say(alice, dora.userID, '', { contentType: 102, content: { sourcePicture: {}, bigPicture: {}, snapshotPicture: {} } });
    const picture = await newest(alice, single);
    assert.equal((await as(alice, path, { userID: alice.userID, conversationID: single, seq: picture, content: '{}' })).errCode, 1001);
  });
  const reactions = async (who, conversationID, seq) =>
    (await ok(who, '/msg/get_reactions', { userID: who.userID, conversationID, seqs: [seq] })).messages?.[0]?.reactions ?? [];
  route('/msg/set_reaction', async (path) => {
    await say(alice, groupID, 'who comes?');
    const seq = await newest(alice, group);
    const react = (who, reaction, remove = false) => ok(who, path, { userID: who.userID, conversationID: group, seq, reaction, remove });
    for (const [who, reaction] of [[carol, '👍🏽'], [dora, '👍🏽'], [dora, '👍🏽'], [alice, 'late'], [dora, 'late']]) await react(who, reaction);
    await react(alice, 'late', true);
    assert.deepEqual(await reactions(carol, group, seq), [{ reaction: '👍🏽', count: 2, own: true }, { reaction: 'late', count: 1, own: false }]);
    const about = { userID: carol.userID, conversationID: group, seq };
    for (const reaction of ['', 'x'.repeat(65), 'a\u0000']) assert.equal((await as(carol, path, { ...about, reaction })).errCode, 1001);
    await foreign(eve, path, { ...about, reaction: '+1' });
    const all = [...Array(20).keys()].map(String);
    for (const name of all.slice(1)) await react(carol, name);
    assert.equal((await as(carol, path, { ...about, reaction: 'one more' })).errCode, 1001);
    for (const name of all.slice(1)) await react(carol, name, true);
  });
  route('/msg/get_reactions', async (path) => {
    const seq = await newest(alice, group);
    await foreign(eve, path, { userID: alice.userID, conversationID: group, seqs: [seq] });
    const two = await ok(dora, path, { userID: dora.userID, conversationID: group, seqs: [1, seq, 1_000_000] });
    assert.deepEqual(two.messages.map((message) => message.seq), [seq]);
  });
  route('/msg/get_reaction_users', async (path) => {
    const seq = await newest(alice, group);
    const about = { userID: alice.userID, conversationID: group, seq };
    const listed = async (more) => {
      const { total, users } = await ok(alice, path, { ...about, ...page, ...more });
      return [total, users.map((one) => [one.userID, one.reaction, one.nickname])];
    };
    assert.deepEqual(await listed({ reaction: '👍🏽' }), [2, [[dora.userID, '👍🏽', 'dora'], [carol.userID, '👍🏽', 'carol']]]);
    assert.deepEqual((await listed({ pagination: { pageNumber: 1, showNumber: 1 } })), [3, [[dora.userID, 'late', 'dora']]]);
    await foreign(eve, path, { ...about, ...page });
    // What is removed takes its reactions along.
    await ok(root, '/msg/delete_msg_phsical_by_seq', { conversationID: group, seqs: [seq] });
    assert.deepEqual(await reactions(alice, group, seq), []);
    assert.equal((await as(alice, path, { ...about, ...page })).errCode, 1004);
  });
  route('/msg/get_group_msg_readers', async (path) => {
    await say(carol, groupID, 'read me');
    const seq = await newest(carol, group);
    const listed = async (who, more = {}) => {
      const { readCount, unreadCount, members } = await ok(who, path, { userID: who.userID, groupID, seq, ...page, ...more });
      return [readCount, unreadCount, members?.map((member) => member.userID).sort() ?? []];
    };
    const others = (await members()).map((member) => member.userID).filter((id) => id !== carol.userID).sort();
    assert.deepEqual(await listed(carol, { unread: true }), [0, others.length, others]);
    await ok(dora, '/msg/mark_conversation_as_read', { userID: dora.userID, conversationID: group, hasReadSeq: seq, seqs: [] });
    assert.deepEqual(await listed(carol), [1, others.length - 1, [dora.userID]]);
    assert.deepEqual(await listed(alice), [1, others.length - 1, [dora.userID]], 'the owner may ask');
    await foreign(dora, path, { userID: dora.userID, groupID, seq, ...page });
    await foreign(eve, path, { userID: carol.userID, groupID, seq, ...page });
    // Whoever joined later was never asked to read it.
    await ok(root, '/group/invite_user_to_group', { groupID, invitedUserIDs: [eve.userID] });
    await until('eve is a member', async () => (await members()).some((member) => member.userID === eve.userID), 10_000);
    assert.deepEqual(await listed(carol), [1, others.length - 1, [dora.userID]]);
    await ok(alice, '/group/kick_group', { groupID, kickedUserIDs: [eve.userID] });
  });
  route('/msg/search_own_msg', async (path) => {
    const word = `Nadel${randomUUID().slice(0, 8)}`;
    for (const [from, to, words] of [[alice, dora.userID, 'first'], [dora, alice.userID, 'second'], [alice, groupID, 'third'], [carol, alice.userID, 'fourth']]) {
      await say(from, to, `${word} ${words}`);
    }
    await say(alice, dora.userID, `${word} revoked`);
    await ok(alice, '/msg/revoke_msg', { userID: alice.userID, conversationID: single, seq: await newest(alice, single) });
    const search = async (who, more) => {
      const data = await ok(who, path, { userID: who.userID, keyword: word.toUpperCase(), count: 100, ...more });
      return [(data.messages ?? []).map(({ conversationID, chatLog }) => [conversationID, JSON.parse(chatLog.content).content.split(' ').at(-1)]), data.cursor];
    };
    assert.deepEqual((await search(dora, {}))[0].sort(), [[group, 'third'], [single, 'second'], [single, 'first']].sort());
    assert.deepEqual(await search(dora, { conversationIDs: [single] }), [[[single, 'second'], [single, 'first']], '']);
    assert.deepEqual(await search(dora, { keyword: `first ${word}` }), [[[single, 'first']], '']);
    assert.deepEqual(await search(dora, { conversationIDs: [single], sendID: dora.userID }), [[[single, 'second']], '']);
    assert.deepEqual((await search(dora, { contentTypes: [102], startTime: 1 }))[0], []);
    assert.deepEqual((await search(dora, { endTime: now() - DAY }))[0], []);
    // One at a time, in the order of the conversations that are named.
    const order = { conversationIDs: [group, single], count: 1 };
    const steps = [];
    for (let cursor = ''; ;) {
      const [found, next] = await search(dora, { ...order, cursor });
      steps.push(...found);
      if (next === '') break;
      assert.notEqual(next, cursor);
      cursor = next;
    }
    assert.deepEqual(steps, [[group, 'third'], [single, 'second'], [single, 'first']]);
    // What one deleted for oneself is not found, by the other it is.
    const { seq } = (await pulled(dora, single)).find((message) => text(message).includes(`${word} first`));
    await ok(dora, '/msg/delete_msgs', { userID: dora.userID, conversationID: single, seqs: [seq] });
    assert.deepEqual(await search(dora, { keyword: `${word} first` }), [[], '']);
    assert.deepEqual((await search(alice, { keyword: `${word} first` }))[0], [[single, 'first']]);
    await foreign(eve, path, { userID: dora.userID, keyword: word, count: 1 });
    for (const bad of [{ keyword: '' }, { count: 0 }, { count: 101 }, { cursor: 'x' }, { startTime: -1 }, { keyword: 'x'.repeat(300) }]) {
      assert.equal((await as(dora, path, { userID: dora.userID, keyword: word, count: 1, ...bad })).errCode, 1001, JSON.stringify(bad));
    }
  });
  route('/msg/batch_send_msg', async (path) => {
    const data = await ok(root, path, {
      sendID: alice.userID, recvIDs: [dora.userID, carol.userID], content: { content: 'to both' }, contentType: 101, sessionType: 1,
    });
    assert.deepEqual(data.results.map((sent) => sent.recvID).sort(), [dora.userID, carol.userID].sort());
    assert.equal(data.failedUserIDs, null);
  });
  route('/msg/send_business_notification', async (path) => {
    const sent = await ok(root, path, { key: 'order', data: '{"id":1}', sendUserID: alice.userID, recvUserID: dora.userID, sendMsg: false, reliabilityLevel: 2 });
    assert.ok(sent.serverMsgID);
    const conversation = `n_${single.slice(3)}`;
    const ask = async () => {
      const answer = await ok(dora, '/msg/pull_msg_by_seq', { userID: dora.userID, seqRanges: [{ conversationID: conversation, begin: 1, end: 1000, num: 1000 }] });
      return answer.notificationMsgs?.[conversation]?.Msgs.find((message) => message.contentType === 2001 && text(message).includes('order'));
    };
    const message = await until('the notification', ask, 10_000);
    assert.deepEqual(JSON.parse(JSON.parse(text(message)).detail), { key: 'order', data: '{"id":1}' });
    assert.equal((await admin(path, { sendUserID: alice.userID, recvUserID: 'a', recvGroupID: 'b' })).errCode, 1001);
  });
  route('/msg/send_simple_msg', async (path) => {
    const key = Buffer.from(JSON.stringify({ sendID: alice.userID, recvID: dora.userID, groupID: '' })).toString('base64');
    const before = await newest(alice, single);
    await ok(dora, `${path}?key=${encodeURIComponent(key)}`, { content: '**hi**' });
    await until('the answer', async () => await newest(alice, single) > before, 10_000);
    const message = (await pulled(alice, single)).at(-1);
    assert.deepEqual([message.sendID, message.contentType, text(message)], [dora.userID, 118, '{"content":"**hi**"}']);
    assert.equal((await as(eve, `${path}?key=${encodeURIComponent(key)}`, { content: 'x' })).errCode, 1002);
    show(path, 'foreign');
  });
  test('OA notifications come from notification accounts only', async () => {
    const content = { notificationName: 'n', notificationType: 1, text: 't' };
    const send = (sendID) => admin('/msg/send_msg', { sendID, recvID: dora.userID, content, contentType: 1400, sessionType: 4 });
    assert.equal((await send(alice.userID)).errCode, 1002);
    const account = await ok(root, '/user/add_notification_account', { nickName: 'OA', appMangerLevel: 3 });
    assert.equal((await send(account.userID)).errCode, 0);
  });
  route('/msg/clear_conversation_msg', async (path) => {
    await foreign(eve, path, { userID: dora.userID, conversationIDs: [single] });
    await ok(dora, path, { userID: dora.userID, conversationIDs: [single] });
    assert.deepEqual(await pulled(dora, single), []);
    assert.ok((await pulled(alice, single)).length > 0);
    await foreign(carol, path, { userID: carol.userID, conversationIDs: [group], deleteSyncOpt: { IsSyncOther: true } });
    await ok(alice, path, { userID: alice.userID, conversationIDs: [group], deleteSyncOpt: { IsSyncOther: true } });
    assert.deepEqual(await pulled(carol, group), []);
  });
  route('/msg/delete_msg_phsical_by_seq', async (path) => {
    await say(alice, dora.userID, 'gone soon');
    const seq = await newest(dora, single);
    await ok(root, path, { conversationID: single, seqs: [seq] });
    assert.equal((await pulled(dora, single)).at(-1).status, 4);
  });
  route('/msg/delete_msg_physical', async (path) => {
    await say(alice, dora.userID, 'old');
    await sleep(1100);
    await ok(root, path, { conversationIDs: [single], timestamp: 1 });
    assert.deepEqual(await pulled(dora, single), []);
    await say(alice, dora.userID, 'new');
    assert.equal((await pulled(dora, single)).length, 1);
  });
  route('/msg/user_clear_all_msg', async (path) => {
    await ok(carol, path, { userID: carol.userID });
    await foreign(eve, path, { userID: carol.userID });
  });
  route('/msg/get_server_time', async (path) => {
    assert.ok(Math.abs((await ok(alice, path)).serverTime - now()) < 60_000);
  });
});

describe('conversation', () => {
  const mine = () => ({ ownerUserID: dora.userID });
  route('/conversation/set_conversations', async (path) => {
    const body = { userIDs: [dora.userID], conversation: { conversationID: single, conversationType: 1, userID: alice.userID, isPinned: true, recvMsgOpt: 2, ex: 'e' } };
    await ok(dora, path, body);
    await foreign(eve, path, body);
  });
  route('/conversation/get_conversation', async (path) => {
    const { conversation } = await ok(dora, path, { ...mine(), conversationID: single });
    assert.deepEqual([conversation.isPinned, conversation.recvMsgOpt, conversation.ex], [true, 2, 'e']);
    await foreign(eve, path, { ...mine(), conversationID: single });
  });
  route('/conversation/get_conversations', async (path) => {
    assert.equal((await ok(dora, path, { ...mine(), conversationIDs: [single, 'si_x_y'] })).conversations.length, 1);
    await foreign(eve, path, { ...mine(), conversationIDs: [single] });
  });
  route('/conversation/get_all_conversations', async (path) => {
    assert.ok((await ok(dora, path, mine())).conversations.length >= 2);
    await foreign(eve, path, mine());
  });
  route('/conversation/get_owner_conversation', async (path) => {
    assert.ok((await ok(dora, path, { userID: dora.userID, ...page })).total >= 2);
    await foreign(eve, path, { userID: dora.userID, ...page });
  });
  route('/conversation/get_sorted_conversation_list', async (path) => {
    const data = await ok(dora, path, { userID: dora.userID, ...page });
    const [first] = data.conversationElems;
    assert.deepEqual([first.conversationID, first.IsPinned ?? first.isPinned, JSON.parse(first.msgInfo.content).content], [single, true, 'new']);
    assert.ok(data.unreadTotal >= 1);
    await foreign(eve, path, { userID: dora.userID, ...page });
  });
  route('/conversation/get_incremental_conversations', async (path) => {
    assert.equal((await ok(dora, path, { userID: dora.userID, versionID: '', version: 0 })).full, true);
    await foreign(eve, path, { userID: dora.userID });
  });
  route('/conversation/get_full_conversation_ids', async (path) => {
    assert.ok((await ok(dora, path, { userID: dora.userID, idHash: 0 })).conversationIDs.includes(single));
    await foreign(eve, path, { userID: dora.userID });
  });
  route('/conversation/get_pinned_conversation_ids', async (path) => {
    assert.deepEqual((await ok(dora, path, { userID: dora.userID })).conversationIDs, [single]);
    await foreign(eve, path, { userID: dora.userID });
  });
  route('/conversation/get_conversation_offline_push_user_ids', async (path) => {
    const asked = (...userIDs) => ({ conversationID: single, userIDs });
    assert.deepEqual((await ok(root, path, asked(eve.userID, dora.userID, eve.userID))).userIDs, [eve.userID], 'who does not want to be notified is left out');
    assert.deepEqual((await ok(dora, path, asked(dora.userID))).userIDs ?? [], []);
    await foreign(eve, path, asked(eve.userID, dora.userID));
  });
  route('/conversation/get_not_notify_conversation_ids', async (path) => {
    assert.deepEqual((await ok(dora, path, { userID: dora.userID })).conversationIDs, [single]);
    await foreign(eve, path, { userID: dora.userID });
  });
  route('/conversation/update_conversations_by_user', async (path) => {
    await ok(dora, path, { userID: dora.userID, ex: 'all' });
    const { conversations } = await ok(dora, '/conversation/get_all_conversations', mine());
    assert.ok(conversations.every((row) => row.ex === 'all'));
    await foreign(eve, path, { userID: dora.userID, ex: 'x' });
  });
  route('/conversation/delete_conversations', async (path) => {
    await foreign(eve, path, { ...mine(), conversationIDs: [group] });
    assert.equal((await as(dora, path, { ...mine(), conversationIDs: [group], needDeleteTime: 3 })).errCode, 1001);
    const before = await ok(dora, '/conversation/get_incremental_conversations', { userID: dora.userID });
    await ok(dora, path, { ...mine(), conversationIDs: [group] });
    const change = await ok(dora, '/conversation/get_incremental_conversations', { userID: dora.userID, versionID: before.versionID, version: before.version });
    assert.deepEqual(change.delete, [group]);
    await ok(dora, path, { ...mine(), needDeleteTime: 1 });
    const listed = async () => (await ok(dora, '/conversation/get_all_conversations', mine())).conversations.map((row) => row.conversationID);
    assert.ok((await listed()).includes(single) && !(await listed()).includes(group));
    assert.equal(await newest(dora, group), 0);
    // It comes back with the next message, which whoever was offline finds.
    await say(alice, groupID, 'still there?');
    assert.ok(await newest(dora, group) > 0);
    assert.equal(text((await pulled(dora, group)).at(-1)), '{"content":"still there?"}');
    assert.ok((await listed()).includes(group));
  });
});

describe('jssdk', () => {
  route('/jssdk/get_active_conversations', async (path) => {
    const data = await ok(dora, path, { count: 10 });
    const [first] = data.conversations;
    assert.deepEqual([first.conversation.conversationID, first.user.userID, JSON.parse(text(first.lastMsg)).content], [single, alice.userID, 'new']);
    assert.ok(first.maxSeq > 0 && data.unreadCount >= 1);
    assert.equal((await as(dora, path, { count: 501 })).errCode, 1001);
  });
  route('/jssdk/get_conversations', async (path) => {
    const data = await ok(dora, path, { conversationIDs: [single] });
    assert.deepEqual([data.conversations[0].user.userID, data.conversations[0].friend], [alice.userID, null]);
    assert.equal((await ok(eve, path, { conversationIDs: [single] })).conversations ?? null, null);
  });
});

describe('statistics', () => {
  const range = () => ({ start: now() - DAY, end: now() + 60_000 });
  const today = () => new Date().toISOString().slice(0, 10);
  route('/statistics/user/register', async (path) => {
    const data = await ok(root, path, range());
    assert.ok(data.count[today()] >= 4 && data.total >= 4);
  });
  route('/statistics/user/active', async (path) => {
    const data = await ok(root, path, { ...range(), ...page });
    assert.ok(data.msgCount >= 3 && data.userCount >= 1 && data.dateCount[today()] >= 3);
    assert.ok(data.users.every((item, index) => index === 0 || data.users[index - 1].count >= item.count));
  });
  route('/statistics/group/create', async (path) => {
    assert.ok((await ok(root, path, range())).count[today()] >= 1);
  });
  route('/statistics/group/active', async (path) => {
    const data = await ok(root, path, { ...range(), ase: false, ...page });
    assert.ok(data.groups.some((item) => item.group.groupID === groupID));
  });
});

describe('third', () => {
  route('/third/fcm_update_token', async (path) => {
    await ok(bob, path, { platformID: 2, fcmToken: 't', account: bob.userID, expireTime: 0 });
    await foreign(eve, path, { platformID: 2, fcmToken: 't', account: bob.userID });
  });
  route('/third/set_app_badge', async (path) => {
    await ok(bob, path, { userID: bob.userID, appUnreadCount: 3 });
    await foreign(eve, path, { userID: bob.userID, appUnreadCount: 3 });
  });
  let logID;
  route('/third/logs/upload', async (path) => {
    await ok(bob, path, { platform: 2, version: '1', appFramework: 'rn', fileURLs: [{ filename: `${bob.userID}.log`, URL: 'http://x/y' }] });
  });
  route('/third/logs/search', async (path) => {
    const data = await ok(root, path, { keyword: bob.userID, startTime: 0, endTime: 0, ...page });
    assert.deepEqual([data.total, data.logsInfos[0].nickname, data.logsInfos[0].url], [1, 'Bobby', 'http://x/y']);
    logID = data.logsInfos[0].logID;
  });
  route('/third/logs/delete', async (path) => {
    await ok(root, path, { logIDs: [logID] });
    assert.equal((await admin(path, { logIDs: [logID] })).errCode, 1004);
  });
});

describe('the description', () => {
  route('/openapi.json', async (path) => {
    const { paths } = await (await fetch(at.api + path)).json();
    assert.equal(Object.keys(paths).length, routes.length);
    for (const { path: one, method, description, token, admin: adminOnly } of routes) {
      const described = paths[one.replace('*name', '{name}')][method.toLowerCase()];
      assert.ok(described.description.startsWith(description), `${one}: ${described.description}`);
      assert.equal(described.description.includes('For administrators.'), adminOnly, one);
      assert.equal(described.security !== undefined, token, one);
    }
  });
});

describe('endings', () => {
  route('/group/transfer_group', async (path) => {
    await foreign(eve, path, { groupID, oldOwnerUserID: alice.userID, newOwnerUserID: eve.userID });
    await ok(alice, path, { groupID, oldOwnerUserID: alice.userID, newOwnerUserID: bob.userID });
    assert.equal(await role(bob), 100);
  });
  route('/group/dismiss_group', async (path) => {
    await foreign(carol, path, { groupID });
    await ok(bob, path, { groupID });
    assert.equal((await as(carol, '/group/join_group', { groupID, joinSource: 3 })).errCode, 1204);
    // A dismissed group stays dismissed: muting does not revive it.
    assert.equal((await as(bob, '/group/mute_group', { groupID })).errCode, 1204);
  });
});
