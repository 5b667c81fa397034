// Who may do what: every operation of the contract that looks at its caller, by every relation of a caller to the object. Whoever may not is
// refused with 1002 whatever else is wrong; whoever may gets past it, to the outcome or to an error about the (mostly harmless) arguments.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { REQUESTS, Socket } from './sdk/lib/socket.mjs';
import { until } from './sdk/lib/wait.mjs';
import { admin, as, at, call, least, login, ok, root, user } from './lib/api.mjs';
import { plant } from './lib/database.mjs';
import { routes } from './lib/shown.mjs';

const page = { pagination: { pageNumber: 1, showNumber: 10 } };
const NOBODY = 'nobody-at-all';
const callers = {};
let alice, groupID, conversationID;
before(async () => {
  await login();
  for (const name of ['owner', 'helper', 'member', 'friend', 'stranger']) callers[name] = await user(name);
  callers.administrator = root;
  alice = callers.owner.userID;
  const made = await ok(callers.owner, '/group/create_group', {
    ownerUserID: alice, adminUserIDs: [callers.helper.userID], memberUserIDs: [callers.member.userID], groupInfo: { groupName: 'g', groupType: 2 },
  });
  ({ groupID } = made.groupInfo);
  await ok(root, '/friend/import_friend', { ownerUserID: alice, friendUserIDs: [callers.friend.userID] });
  conversationID = `si_${[alice, callers.friend.userID].sort().join('_')}`;
  await ok(root, '/msg/send_msg', { sendID: alice, recvID: callers.friend.userID, content: { content: 'x' }, contentType: 101, sessionType: 1 });
});

const ANYBODY = ['owner', 'helper', 'member', 'friend', 'stranger', 'administrator'];
const SELF = ['owner', 'administrator'];
const MEMBERS = ['owner', 'helper', 'member', 'administrator'];
const HELPERS = ['owner', 'helper', 'administrator'];
const ADMINISTRATORS = ['administrator'];
const mine = (field) => (more = {}) => () => ({ [field]: alice, ...more });
const [userID, ownerUserID, fromUserID] = ['userID', 'ownerUserID', 'fromUserID'].map(mine);
const group = (more = {}) => () => ({ groupID, ...more });

/** By path: who may, and a body about the owner and the group. */
const matrix = {
  '/user/update_user_info': [SELF, () => ({ userInfo: { userID: alice } })],
  '/user/update_user_info_ex': [SELF, () => ({ userInfo: { userID: alice } })],
  '/user/set_global_msg_recv_opt': [SELF, userID({ globalRecvMsgOpt: 0 })],
  '/user/get_users_info': [ANYBODY, () => ({ userIDs: [alice] })],
  '/user/subscribe_users_status': [SELF, () => ({ userID: alice, userIDs: [alice], genre: 1 })],
  '/user/get_users_status': [ANYBODY, () => ({ userID: alice, userIDs: [alice] })],
  '/user/get_subscribe_users_status': [SELF, userID()],
  '/user/process_user_command_add': [SELF, userID({ type: 9, uuid: 'u', value: 'v' })],
  '/user/process_user_command_update': [SELF, userID({ type: 9, uuid: 'u', value: 'w' })],
  '/user/process_user_command_get': [SELF, userID({ type: 9 })],
  '/user/process_user_command_get_all': [SELF, userID()],
  '/user/process_user_command_delete': [SELF, userID({ type: 9, uuid: 'u' })],
  '/user/get_user_client_config': [SELF, userID()],

  '/friend/add_friend': [SELF, fromUserID({ toUserID: NOBODY })],
  '/friend/add_friend_response': [SELF, () => ({ fromUserID: NOBODY, toUserID: alice, handleResult: 1 })],
  '/friend/delete_friend': [SELF, ownerUserID({ friendUserID: NOBODY })],
  '/friend/get_friend_apply_list': [SELF, userID(page)],
  '/friend/get_self_friend_apply_list': [SELF, userID(page)],
  '/friend/get_self_unhandled_apply_count': [SELF, userID({ time: 0 })],
  '/friend/get_designated_friend_apply': [SELF, fromUserID({ toUserID: NOBODY })],
  '/friend/get_friend_list': [SELF, userID(page)],
  '/friend/get_designated_friends': [SELF, ownerUserID({ friendUserIDs: [NOBODY] })],
  '/friend/set_friend_remark': [SELF, ownerUserID({ friendUserID: NOBODY, remark: 'r' })],
  '/friend/update_friends': [SELF, ownerUserID({ friendUserIDs: [NOBODY], isPinned: true })],
  '/friend/add_black': [SELF, ownerUserID({ blackUserID: NOBODY })],
  '/friend/remove_black': [SELF, ownerUserID({ blackUserID: NOBODY })],
  '/friend/get_black_list': [SELF, userID(page)],
  '/friend/get_specified_blacks': [SELF, ownerUserID({ userIDList: [NOBODY] })],
  '/friend/get_incremental_blacks': [SELF, userID()],
  '/friend/is_friend': [SELF, () => ({ userID1: alice, userID2: NOBODY })],
  '/friend/get_friend_id': [SELF, userID()],
  '/friend/get_specified_friends_info': [SELF, ownerUserID({ userIDList: [NOBODY] })],
  '/friend/get_incremental_friends': [SELF, userID()],
  '/friend/get_full_friend_user_ids': [SELF, userID({ idHash: 0 })],

  '/friend/delete_friend_requests_from_user': [SELF, fromUserID({ toUserIDs: [NOBODY] })],
  '/friend/delete_friend_requests_to_user': [SELF, () => ({ toUserID: alice, fromUserIDs: [NOBODY] })],

  '/group/create_group': [SELF, ownerUserID({ memberUserIDs: [NOBODY], groupInfo: { groupType: 2 } })],
  '/group/get_groups_info': [ANYBODY, () => ({ groupIDs: [groupID] })],
  '/group/join_group': [ANYBODY, () => ({ groupID: NOBODY, reqMessage: '', joinSource: 3 })],
  '/group/set_group_info': [HELPERS, () => ({ groupInfoForSet: { groupID, introduction: 'i' } })],
  '/group/set_group_info_ex': [HELPERS, group({ introduction: 'i' })],
  '/group/group_application_response': [HELPERS, group({ fromUserID: NOBODY, handleResult: 1 })],
  '/group/get_group_users_req_application_list': [HELPERS, group({ userIDs: [NOBODY] })],
  '/group/get_specified_user_group_request_info': [HELPERS, group({ userID: NOBODY })],
  '/group/kick_group': [HELPERS, group({ kickedUserIDs: [NOBODY] })],
  '/group/mute_group': [HELPERS, group()],
  '/group/cancel_mute_group': [HELPERS, group()],
  '/group/mute_group_member': [HELPERS, () => ({ groupID, userID: callers.member.userID, mutedSeconds: 1 })],
  '/group/cancel_mute_group_member': [HELPERS, () => ({ groupID, userID: callers.member.userID })],
  '/group/set_group_member_info': [['helper', 'owner', 'member', 'administrator'], () => ({ members: [{ groupID, userID: callers.member.userID, nickname: 'n' }] })],
  '/group/get_group_members_info': [MEMBERS, group({ userIDs: [NOBODY] })],
  '/group/get_group_member_list': [MEMBERS, group(page)],
  '/group/get_group_member_user_id': [MEMBERS, group()],
  '/group/get_group_abstract_info': [MEMBERS, () => ({ groupIDs: [groupID] })],
  '/group/get_incremental_group_members': [MEMBERS, group()],
  '/group/get_full_group_member_user_ids': [MEMBERS, group({ idHash: 0 })],
  '/group/invite_user_to_group': [MEMBERS, group({ invitedUserIDs: [NOBODY] })],
  '/group/get_incremental_group_members_batch': [SELF, () => ({ userID: alice, reqList: [{ groupID }] })],
  '/group/quit_group': [SELF, () => ({ groupID: NOBODY, userID: alice })],
  '/group/get_recv_group_applicationList': [SELF, fromUserID(page)],
  '/group/get_user_req_group_applicationList': [SELF, userID(page)],
  '/group/get_joined_group_list': [SELF, fromUserID(page)],
  '/group/get_incremental_join_groups': [SELF, userID()],
  '/group/get_full_join_group_ids': [SELF, userID({ idHash: 0 })],
  '/group/get_group_application_unhandled_count': [SELF, userID({ time: 0 })],
  '/group/get_group_application_badge_count': [SELF, userID()],
  '/group/clear_group_application_badge_count': [SELF, userID()],
  '/group/delete_group_requests_from_user': [SELF, userID({ groupIDs: [NOBODY] })],
  '/group/delete_group_requests_to_group': [HELPERS, group({ userIDs: [NOBODY] })],

  '/msg/newest_seq': [SELF, userID()],
  '/msg/pull_msg_by_seq': [SELF, userID({ seqRanges: [{ conversationID: 'si_x_y', begin: 1, end: 1, num: 1 }] })],
  '/msg/revoke_msg': [SELF, () => ({ userID: alice, conversationID, seq: 1_000_000 })],
  '/msg/mark_msgs_as_read': [SELF, () => ({ userID: alice, conversationID, seqs: [1] })],
  '/msg/mark_conversation_as_read': [SELF, () => ({ userID: alice, conversationID, hasReadSeq: 1, seqs: [] })],
  '/msg/get_conversations_has_read_and_max_seq': [SELF, userID()],
  '/msg/set_conversation_has_read_seq': [SELF, () => ({ userID: alice, conversationID, hasReadSeq: 1 })],
  '/msg/clear_conversation_msg': [SELF, () => ({ userID: alice, conversationIDs: [conversationID] })],
  '/msg/user_clear_all_msg': [SELF, userID()],
  '/msg/delete_msgs': [SELF, () => ({ userID: alice, conversationID, seqs: [1] })],
  '/msg/edit_msg': [SELF, () => ({ userID: alice, conversationID, seq: 1, content: '{"content":"y"}' })],
  '/msg/set_reaction': [SELF, () => ({ userID: alice, conversationID, seq: 1, reaction: '+1' })],
  '/msg/get_reactions': [SELF, () => ({ userID: alice, conversationID, seqs: [1] })],
  '/msg/get_reaction_users': [SELF, () => ({ userID: alice, conversationID, seq: 1, ...page })],
  '/msg/get_group_msg_readers': [SELF, () => ({ userID: alice, groupID, seq: 1, ...page })],
  '/msg/search_own_msg': [SELF, userID({ keyword: 'x', count: 1 })],
  '/msg/mark_conversation_read': [SELF, userID({ conversationID: 'si_x_y', seq: 1 })],
  '/msg/get_conversations_unread_count': [SELF, userID({ conversationIDs: ['si_x_y'] })],
  '/msg/clear_conversations_unread_count': [SELF, userID({ conversationIDs: ['si_x_y'] })],
  '/msg/reset_conversation_unread': [SELF, userID({ conversationIDs: ['si_x_y'], num: 1 })],
  '/msg/get_server_time': [ANYBODY, () => ({})],
  '/msg/check_msg_is_send_success': [ANYBODY, () => ({})],

  '/conversation/get_sorted_conversation_list': [SELF, userID(page)],
  '/conversation/get_all_conversations': [SELF, ownerUserID()],
  '/conversation/get_conversation': [SELF, () => ({ ownerUserID: alice, conversationID })],
  '/conversation/get_conversations': [SELF, () => ({ ownerUserID: alice, conversationIDs: [conversationID] })],
  '/conversation/set_conversations': [SELF, () => ({ userIDs: [alice], conversation: { conversationID, conversationType: 1, userID: callers.friend.userID, ex: 'e' } })],
  '/conversation/get_full_conversation_ids': [SELF, userID({ idHash: 0 })],
  '/conversation/get_incremental_conversations': [SELF, userID()],
  '/conversation/get_owner_conversation': [SELF, userID(page)],
  '/conversation/get_conversation_offline_push_user_ids': [SELF, () => ({ conversationID, userIDs: [alice] })],
  '/conversation/get_not_notify_conversation_ids': [SELF, userID()],
  '/conversation/get_pinned_conversation_ids': [SELF, userID()],
  '/conversation/update_conversations_by_user': [SELF, userID({ ex: 'e' })],
  '/conversation/create_conversation_group': [SELF, ownerUserID({ name: 'n', order: 1, conversationGroupType: 0 })],
  '/conversation/update_conversation_group': [SELF, ownerUserID({ conversationGroupID: NOBODY })],
  '/conversation/delete_conversation_group': [SELF, ownerUserID({ conversationGroupID: NOBODY })],
  '/conversation/get_conversation_groups': [SELF, ownerUserID()],
  '/conversation/set_conversation_group_order': [SELF, ownerUserID({ orders: [{ conversationGroupID: NOBODY, order: 1 }] })],
  '/conversation/add_conversations_to_groups': [SELF, ownerUserID({ conversationIDs: ['si_x_y'], conversationGroupIDs: [NOBODY] })],
  '/conversation/remove_conversations_from_groups': [SELF, ownerUserID({ conversationIDs: ['si_x_y'], conversationGroupIDs: [NOBODY] })],
  '/conversation/delete_conversations': [SELF, () => ({ ownerUserID: alice, conversationIDs: ['si_x_y'] })],

  '/third/fcm_update_token': [SELF, () => ({ platformID: 2, fcmToken: 't', account: alice })],
  '/third/set_app_badge': [SELF, userID({ appUnreadCount: 0 })],
  '/third/logs/upload': [ANYBODY, () => ({ platform: 2, version: '1', appFramework: 'rn', fileURLs: [] })],
  '/object/part_limit': [ANYBODY, () => ({})],
  '/object/part_size': [ANYBODY, () => ({ size: 1 })],
  '/object/access_url': [ANYBODY, () => ({ name: NOBODY })],
  '/object/initiate_multipart_upload': [SELF, () => ({ name: `${alice}/x`, size: 1, partSize: 1, maxParts: 1, hash: 'x' })],
  '/object/initiate_form_data': [SELF, () => ({ name: `${alice}/x`, size: 0 })],
  '/jssdk/get_conversations': [ANYBODY, () => ({ conversationIDs: [conversationID] })],
  '/jssdk/get_active_conversations': [ANYBODY, () => ({ count: 1 })],

  // These end what the others need.
  '/group/transfer_group': [SELF, () => ({ groupID, oldOwnerUserID: alice, newOwnerUserID: NOBODY })],
  '/group/dismiss_group': [SELF, group()],
};
// What carries its own proof of who may, tested where it is made (objects.test.mjs, routes.test.mjs); a message, whose sender no field names (below).
const sealed = ['/msg/modify_message', '/msg/append_stream_msg', '/msg/get_stream_msg', '/msg/get_stream_msgs', '/object/auth_sign', '/object/complete_multipart_upload', '/object/complete_form_data', '/msg/send_simple_msg'];

test('no operation is missing', () => {
  const asked = routes.filter((route) => route.token && !route.admin).map(({ path }) => path);
  const here = new Set([...Object.keys(matrix), ...sealed]);
  assert.deepEqual(asked.filter((path) => !here.has(path)), []);
  assert.deepEqual([...here].filter((path) => !asked.includes(path)), []);
});

describe('operations', () => {
  for (const [path, [may, body]] of Object.entries(matrix)) {
    test(`${path}: ${may === ANYBODY ? 'anybody with a token' : may.join(', ')}`, async () => {
      assert.equal((await call(path, body())).errCode, 1001, 'nobody');
      // Those who may not come first: the others may change what the decision is about.
      for (const name of [...ANYBODY].sort((a, b) => may.includes(a) - may.includes(b))) {
        const answer = await as(callers[name], path, body());
        if (may.includes(name)) assert.notEqual(answer.errCode, 1002, `${name}: ${JSON.stringify(answer)}`);
        else assert.equal(answer.errCode, 1002, `${name}: ${JSON.stringify(answer)}`);
      }
    });
  }
  for (const { path } of routes.filter((route) => route.admin)) {
    test(`${path}: ${ADMINISTRATORS.join()}`, async () => {
      for (const name of ANYBODY.filter((one) => !ADMINISTRATORS.includes(one))) {
        assert.equal((await as(callers[name], path, least(path))).errCode, 1002, name);
      }
      // An empty body: what it lacks is named, what needs none is done.
      if (path !== '/restart' && !path.startsWith('/config/')) assert.notEqual((await admin(path, {})).errCode, 1002);
    });
  }
});

// Which conversations a caller may read or touch, by what the caller is to it. A new operation that names a conversation is one line.
const seqsOf = (who, { id }) => ({ userID: who.userID, conversationID: id });
const rowsOf = (who, { id }) => ({ ownerUserID: who.userID, conversationIDs: [id] });
const everybody = { deleteSyncOpt: { IsSyncSelf: true, IsSyncOther: true } };
const setting = (conversationType) => (who, { id, peer, group }) => ({
  userIDs: [who.userID], conversation: { conversationID: id, conversationType, userID: peer, groupID: group, isPinned: true, recvMsgOpt: 2 },
});
const set = '/conversation/set_conversations';
/** Path, body, and the code for whoever has no part in the conversation; without one the answer says nothing of it, with 'zero' that nothing is unread. */
const aboutConversations = [
  // First those that might make a row, then what a row might open.
  [set, setting(1), 1001], [set, setting(3), 'refused'], [set, setting(4), 1002],
  ['/msg/newest_seq', (who) => ({ userID: who.userID })],
  ['/msg/pull_msg_by_seq', (who, { id }) => ({ userID: who.userID, seqRanges: [{ conversationID: id, begin: 1, end: 100, num: 100 }] })],
  ['/msg/get_conversations_has_read_and_max_seq', (who, { id }) => ({ userID: who.userID, conversationIDs: [id] })],
  ['/msg/revoke_msg', (who, c) => ({ ...seqsOf(who, c), seq: 1 }), 1004],
  ['/msg/revoke_msg', (who, c) => ({ ...seqsOf(who, c), seq: 1_000_000 }), 1004],
  ['/msg/mark_msgs_as_read', (who, c) => ({ ...seqsOf(who, c), seqs: [1] }), 1004],
  ['/msg/mark_conversation_as_read', (who, c) => ({ ...seqsOf(who, c), hasReadSeq: 1, seqs: [1] }), 1004],
  ['/msg/set_conversation_has_read_seq', (who, c) => ({ ...seqsOf(who, c), hasReadSeq: 1 }), 1004],
  ['/msg/delete_msgs', (who, c) => ({ ...seqsOf(who, c), seqs: [1] }), 1004],
  ['/msg/delete_msgs', (who, c) => ({ ...seqsOf(who, c), seqs: [1], ...everybody }), 1004],
  ['/msg/clear_conversation_msg', (who, { id }) => ({ userID: who.userID, conversationIDs: [id], ...everybody })],
  ['/msg/edit_msg', (who, c) => ({ ...seqsOf(who, c), seq: 1, content: '{"content":"y"}' }), 'refused'],
  ['/msg/modify_message', (_, { id }) => ({ conversationID: id, seq: 1, oldContent: '{"content":"kept"}', newContent: '{"content":"y"}' }), 'refused'],
  ['/msg/append_stream_msg', (_, { id }) => ({ conversationID: id, clientMsgID: 'growing', startIndex: 1, packets: ['x'], end: true }), 'refused'],
  ['/msg/get_stream_msg', (_, { id }) => ({ conversationID: id, clientMsgID: 'growing' }), 1004],
  ['/msg/get_stream_msgs', (_, { id }) => ({ conversationID: id })],
  ['/msg/mark_conversation_read', (who, c) => ({ ...seqsOf(who, c), seq: 1 }), 1004],
  ['/msg/reset_conversation_unread', (who, { id }) => ({ userID: who.userID, conversationIDs: [id], num: 1 }), 1004],
  ['/msg/get_conversations_unread_count', (who, { id }) => ({ userID: who.userID, conversationIDs: [id] }), 'zero'],
  ['/msg/clear_conversations_unread_count', (who, { id }) => ({ userID: who.userID, conversationIDs: [id] }), 'zero'],
  ['/msg/set_reaction', (who, c) => ({ ...seqsOf(who, c), seq: 1, reaction: '+1' }), 'refused'],
  ['/msg/get_reactions', (who, c) => ({ ...seqsOf(who, c), seqs: [1] })],
  ['/msg/get_reaction_users', (who, c) => ({ ...seqsOf(who, c), seq: 1, ...page }), 'refused'],
  ['/msg/get_group_msg_readers', (who, { group }) => ({ userID: who.userID, groupID: group || NOBODY, seq: 1, ...page }), 1004],
  ['/msg/search_own_msg', (who, { id }) => ({ userID: who.userID, keyword: 'kept', conversationIDs: [id], count: 9 })],
  ['/conversation/get_conversation', (who, { id }) => ({ ownerUserID: who.userID, conversationID: id }), 1004],
  ['/conversation/get_conversations', rowsOf],
  ['/conversation/get_sorted_conversation_list', (who, { id }) => ({ userID: who.userID, conversationIDs: [id], ...page }), 1004],
  ['/conversation/get_all_conversations', (who) => ({ ownerUserID: who.userID })],
  ['/conversation/get_owner_conversation', (who) => ({ userID: who.userID, ...page })],
  ['/conversation/get_full_conversation_ids', (who) => ({ userID: who.userID, idHash: 0 })],
  ['/conversation/get_incremental_conversations', (who) => ({ userID: who.userID })],
  ['/conversation/get_pinned_conversation_ids', (who) => ({ userID: who.userID })],
  ['/conversation/get_not_notify_conversation_ids', (who) => ({ userID: who.userID })],
  ['/conversation/get_conversation_offline_push_user_ids', (who, { id }) => ({ conversationID: id, userIDs: [who.userID] })],
  ['/conversation/create_conversation_group', (who, { id }) => ({ ownerUserID: who.userID, name: 'n', order: 1, conversationGroupType: 0, conversationID: id }), 1004],
  ['/conversation/add_conversations_to_groups', (who, c) => ({ ...rowsOf(who, c), conversationGroupIDs: [NOBODY] }), 1004],
  ['/conversation/remove_conversations_from_groups', (who, c) => ({ ...rowsOf(who, c), conversationGroupIDs: [NOBODY] }), 1004],
  ['/conversation/delete_conversations', rowsOf],
  ['/jssdk/get_conversations', (_, { id }) => ({ conversationIDs: [id] })],
  ['/jssdk/get_active_conversations', () => ({ count: 100 })],
];
const commands = [
  ['newestSeq', (who) => ({ userID: who.userID })],
  ['pullByRange', (who, { id }) => ({ userID: who.userID, seqRanges: [{ conversationID: id, begin: 1, end: 100, num: 100 }] })],
  ['pullBySeqs', (who, { id }) => ({ userID: who.userID, conversations: [{ conversationID: id, seqs: [1] }] })],
  ['readAndMaxSeqs', (who, { id }) => ({ userID: who.userID, conversationIDs: [id] })],
  ['lastMessages', (who, { id }) => ({ userID: who.userID, conversationIDs: [id] })],
];
const withoutConversation = [
  '/msg/user_clear_all_msg', '/msg/get_server_time', '/msg/check_msg_is_send_success', '/msg/send_simple_msg', '/conversation/update_conversations_by_user',
  ...['update_conversation_group', 'delete_conversation_group', 'get_conversation_groups', 'set_conversation_group_order'].map((name) => `/conversation/${name}`),
];

describe('conversations', () => {
  const cast = {};
  const chats = {};
  const readers = {
    single: ['owner', 'peer'], singleNotifications: ['owner', 'peer'], account: ['peer'],
    team: ['owner', 'administrator', 'member', 'muted', 'former'], teamNotifications: ['owner', 'administrator', 'member', 'muted', 'former'],
  };
  const pair = (a, b) => [a.userID, b.userID].sort().join('_');
  const send = (from, target, text) => ok(root, '/msg/send_msg', { sendID: from.userID, content: { content: text }, contentType: 101, ...target });
  /** What a reader finds, as texts. */
  async function found(who, { id }) {
    const answer = await ok(who, '/msg/pull_msg_by_seq', { userID: who.userID, seqRanges: [{ conversationID: id, begin: 1, end: 100, num: 100 }] });
    const list = { ...answer?.msgs, ...answer?.notificationMsgs }[id]?.Msgs ?? [];
    return list.map(({ content }) => Buffer.from(content ?? '', 'base64').toString());
  }
  const holds = (what, who, chat, text) => until(what, async () => (await found(who, chat)).some((one) => one.includes(text)), 15_000);

  before(async () => {
    const names = ['owner', 'peer', 'administrator', 'member', 'muted', 'former', 'blocked', 'stranger'];
    await Promise.all(names.map(async (name) => { cast[name] = await user(name); }));
    const { owner, peer, administrator, member, muted, former, blocked } = cast;
    const made = await ok(owner, '/group/create_group', {
      ownerUserID: owner.userID, adminUserIDs: [administrator.userID], memberUserIDs: [member, muted, former].map((one) => one.userID),
      groupInfo: { groupName: 'team', groupType: 2 },
    });
    const team = made.groupInfo.groupID;
    const account = await ok(root, '/user/add_notification_account', { nickName: 'News', faceURL: '', appMangerLevel: 3 });
    Object.assign(chats, {
      single: { id: `si_${pair(owner, peer)}`, peer: owner.userID, group: '' }, singleNotifications: { id: `n_${pair(owner, peer)}`, peer: owner.userID, group: '' },
      team: { id: `sg_${team}`, peer: '', group: team }, teamNotifications: { id: `n_${team}`, peer: '', group: team },
      account: { id: `sn_${pair(account, peer)}`, peer: account.userID, group: '' },
    });
    await send(owner, { recvID: peer.userID, sessionType: 1 }, 'kept single');
    await send(owner, { groupID: team, sessionType: 3 }, 'kept team');
    await send(owner, { recvID: blocked.userID, sessionType: 1 }, 'kept before');
    for (const [target, id] of [[{ recvID: peer.userID, sessionType: 1 }, chats.single.id], [{ groupID: team, sessionType: 3 }, chats.team.id]]) {
      await ok(root, '/msg/send_msg', { sendID: owner.userID, clientMsgID: 'growing', content: { type: 'text', content: 'kept' }, contentType: 143, ...target });
      await ok(owner, '/msg/append_stream_msg', { conversationID: id, clientMsgID: 'growing', startIndex: 0, packets: [' and growing'], end: false });
    }
    const news = { notificationName: 'n', notificationFaceURL: '', notificationType: 1, text: 'kept news', externalUrl: '', mixType: 0, ex: '' };
    assert.equal((await admin('/msg/send_msg', { sendID: account.userID, recvID: peer.userID, content: news, contentType: 1400, sessionType: 4 })).errCode, 0);
    await Promise.all([holds('single', peer, chats.single, 'kept'), holds('team', former, chats.team, 'kept'), holds('news', peer, chats.account, 'kept')]);
    // Notifications that are stored: edits.
    const edit = async (chat, before, text) => {
      const seq = (await found(owner, chat)).findIndex((one) => one.includes(before)) + 1;
      await ok(owner, '/msg/edit_msg', { userID: owner.userID, conversationID: chat.id, seq, content: JSON.stringify({ content: text }) });
    };
    await edit(chats.single, 'kept', 'kept and edited');
    await edit(chats.team, 'kept', 'kept and edited');
    await Promise.all([holds('edit', peer, chats.singleNotifications, 'edited'), holds('edit', former, chats.teamNotifications, 'edited')]);
    await ok(owner, '/group/kick_group', { groupID: team, kickedUserIDs: [former.userID] });
    await ok(owner, '/group/mute_group_member', { groupID: team, userID: muted.userID, mutedSeconds: 600 });
    await ok(owner, '/friend/add_black', { ownerUserID: owner.userID, blackUserID: blocked.userID });
    await send(owner, { groupID: team, sessionType: 3 }, 'kept later');
    await holds('later', member, chats.team, 'kept later');
    await edit(chats.team, 'kept later', 'kept and edited later');
    await holds('later', member, chats.teamNotifications, 'edited later');
    for (const who of Object.values(cast)) who.line = await Socket.open(at.ws, who);
  });
  after(() => { for (const who of Object.values(cast)) who.line?.close(); });

  test('no operation and no command is left out', () => {
    const here = new Set([...aboutConversations.map(([path]) => path), ...withoutConversation]);
    const there = routes.filter((route) => route.token && !route.admin && /^\/(msg|conversation|jssdk)\//.test(route.path)).map(({ path }) => path);
    assert.deepEqual(there.filter((path) => !here.has(path)), []);
    const asked = Object.keys(REQUESTS).filter((name) => REQUESTS[name][0] < 2000 && !['send', 'signal'].includes(name));
    assert.deepEqual(asked.sort(), commands.map(([name]) => name).sort());
  });

  /** Whoever may not read a conversation is refused, or told nothing of it, by every operation and command. */
  async function refused(kind, may, { hasRow = false } = {}) {
    const chat = chats[kind];
    const others = Object.keys(cast).filter((name) => !may.includes(name));
    await Promise.all(others.map(async (name) => {
      const who = cast[name];
      for (const [path, body, refusal] of aboutConversations) {
        const answer = await as(who, path, body(who, chat));
        const told = `${name} ${path}: ${JSON.stringify(answer)}`;
        if (hasRow && /^\/(conversation|jssdk)\//.test(path)) {
          assert.ok(!/kept|later|edited|news/.test(JSON.stringify(answer.data ?? null)), told);
          continue;
        }
        if (refusal === 'zero') {
          assert.deepEqual(answer.data, { unreadCount: { [chat.id]: 0 } }, told);
          continue;
        }
        if (refusal === 'refused') assert.notEqual(answer.errCode, 0, told);
        else if (refusal) assert.ok(answer.errCode === refusal || (kind !== 'single' && path === set && answer.errCode !== 0), told);
        assert.ok(!JSON.stringify(answer.data ?? null).includes(chat.id) && !answer.data?.messages?.length, told);
      }
      for (const [command, fields] of commands) {
        const { errCode, message } = await who.line.request(command, fields(who, chat));
        assert.ok(errCode !== 0 || !JSON.stringify(message).includes(chat.id), `${name} ${command}: ${JSON.stringify(message)}`);
      }
    }));
  }

  for (const [kind, may] of Object.entries(readers)) {
    test(`${kind}: read by ${may.join(', ')} and nobody else`, async () => {
      const chat = chats[kind];
      await refused(kind, may);
      for (const name of may) {
        const text = JSON.stringify(await found(cast[name], chat));
        assert.ok(text.includes('kept'), `${name}: ${text}`);
        const { msgs, notificationMsgs } = await cast[name].line.must('pullByRange', commands[1][1](cast[name], chat));
        assert.ok(({ ...msgs, ...notificationMsgs })[chat.id].Msgs.length > 0, name);
        assert.equal(text.includes('later'), kind.startsWith('team') && name !== 'former', `${name}: ${text}`);
      }
    });
  }

  test('a stream is read by those who are there now, and appended to by its sender and back ends', async () => {
    for (const [kind, may] of [['single', ['owner', 'peer']], ['team', ['owner', 'administrator', 'member', 'muted']]]) {
      const about = { conversationID: chats[kind].id, clientMsgID: 'growing' };
      for (const [name, who] of Object.entries(cast)) {
        const answer = await as(who, '/msg/get_stream_msg', about);
        const { streams } = await ok(who, '/msg/get_stream_msgs', about);
        assert.deepEqual([answer.errCode, answer.data?.packets, streams?.length], may.includes(name) ? [0, [' and growing'], 1] : [1004, undefined, undefined], `${name} ${kind}`);
        if (name === 'owner') continue;
        const refusal = await as(who, '/msg/append_stream_msg', { ...about, startIndex: 1, packets: ['x'], end: true });
        assert.equal(refusal.errCode, may.includes(name) ? 1002 : 1004, `${name} ${kind}`);
      }
      await ok(root, '/msg/append_stream_msg', { ...about, startIndex: 0, packets: [' and growing'], end: false });
    }
  });

  for (const [type, what] of [[4, 'a conversation of notifications'], [1, 'one of a pair'], [3, 'one of a group']]) {
    test(`a row of ${what} that was written into the database opens nothing`, async () => {
      // Somebody new each time: a request that puts a row away does not help the next type.
      cast.stranger.line.close();
      const stranger = await user('stranger');
      Object.assign(cast, { stranger: Object.assign(stranger, { line: await Socket.open(at.ws, stranger) }) });
      plant({
        conversation: Object.values(chats).map(({ id, peer, group }) => ({
          owner_user_id: stranger.userID, conversation_id: id, conversation_type: type, user_id: peer, group_id: group, recv_msg_opt: 2, is_pinned: true, is_private_chat: false, burn_duration: 0, group_at_type: 0,
          attached_info: '', ex: '', max_seq: 0, min_seq: 0, create_time: Date.now(), is_msg_destruct: false, msg_destruct_time: 0, latest_msg_destruct_time: null,
        })),
      });
      // A row of a group is what those have who left it: it stays in their list, and they may unpin and mute it. What is in the group they do not see.
      const hasRow = type === 3;
      for (const kind of Object.keys(readers)) await refused(kind, Object.keys(cast).filter((name) => name !== 'stranger'), { hasRow });
      for (const [kind, may] of Object.entries(readers)) for (const name of may) await holds(`${kind} of ${name}`, cast[name], chats[kind], kind === 'account' ? 'news' : 'kept');
    });
  }

  test('whoever may not speak there reads, and neither sends nor edits nor reacts', async () => {
    const { owner, blocked, muted, former } = cast;
    const own = { id: `si_${pair(owner, blocked)}` };
    for (const [who, chat, target, code] of [
      [blocked, own, { recvID: owner.userID, sessionType: 1 }, 1302], [muted, chats.team, { groupID: chats.team.group, sessionType: 3 }, 1402],
      [former, chats.team, { groupID: chats.team.group, sessionType: 3 }, 1203],
    ]) {
      const text = JSON.stringify(await found(who, chat));
      assert.ok(text.includes('kept'), text);
      // Also when an administrator sends in their name: the rules are the sender's.
      assert.equal((await admin('/msg/send_msg', { sendID: who.userID, content: { content: 'x' }, contentType: 101, ...target })).errCode, code);
      const seq = (await found(who, chat)).findIndex((one) => one.includes('kept')) + 1;
      assert.equal((await as(who, '/msg/set_reaction', { userID: who.userID, conversationID: chat.id, seq, reaction: '+1' })).errCode, code);
    }
  });

  test('a group cannot be named like a pair', async () => {
    const { owner, peer, stranger } = cast;
    const make = (who, groupID) => as(who, '/group/create_group', { ownerUserID: stranger.userID, groupInfo: { groupName: 'g', groupType: 2, groupID } });
    for (const groupID of [pair(owner, peer), 'a/b', 'a b', 'team-1', 'Ä']) assert.equal((await make(stranger, groupID)).errCode, 1001, groupID);
    for (const groupID of [pair(owner, peer), 'a/b', 'a b']) assert.equal((await make(root, groupID)).errCode, 1001, groupID);
    for (const userID of ['a_b', 'a/b', 'a b']) assert.equal((await admin('/user/user_register', { users: [{ userID, nickname: 'n' }] })).errCode, 1001, userID);
    assert.equal((await admin('/user/add_notification_account', { userID: 'a_b', nickName: 'n', faceURL: '', appMangerLevel: 3 })).errCode, 1001);
  });
});
