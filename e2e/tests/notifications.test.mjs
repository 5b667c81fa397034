// Every notification of the contract: what causes it, who is told, in which conversation, with which content (docs/protocol/notifications.md).
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { Socket } from './sdk/lib/socket.mjs';
import { until } from './sdk/lib/wait.mjs';
import { admin, at, login, ok, root, user } from './lib/api.mjs';
import { save, see } from './lib/shown.mjs';

const names = ['owner', 'helper', 'member', 'stranger'];
let owner, helper, member, stranger, groupID;
const page = { pagination: { pageNumber: 1, showNumber: 100 } };
before(async () => {
  await login();
  [owner, helper, member, stranger] = await Promise.all(names.map(user));
  for (const who of [owner, helper, member, stranger]) who.line = await Socket.open(at.ws, who);
  const data = await ok(owner, '/group/create_group', {
    ownerUserID: owner.userID, adminUserIDs: [helper.userID], memberUserIDs: [member.userID], groupInfo: { groupName: 'first', groupType: 2 },
  });
  ({ groupID } = data.groupInfo);
});
after(() => { for (const who of [owner, helper, member, stranger]) who.line?.close(); save('notifications'); });

const tips = (message) => JSON.parse(JSON.parse(message.content).detail);
/** Waits until each of `who` was told; checks what every notification has. Returns the tips as the first of them saw them. */
async function told(kind, who, { from, holds = () => true, chat = false } = {}) {
  const told = [];
  for (const one of who) {
    // One that is a chat message too comes twice: as a notification and in the chat.
    const message = await one.line.message(`${kind}`, (item) => item.contentType === kind && item.notification && holds(tips(item)));
    assert.ok(message.conversationID.startsWith('n_'), message.conversationID);
    assert.equal(message.options.isNotNotification, false, 'options say that it is one');
    assert.equal(message.msgFrom, 200);
    if (from) assert.equal(message.sendID, from.userID);
    if (chat) await one.line.message(`${kind} as a chat message`, (item) => item.contentType === kind && !item.notification);
    told.push(tips(message));
  }
  see('notifications', kind);
  return told[0];
}
/** Who is not told, though others were already. */
const untold = (kind, who) => { for (const one of who) assert.ok(!one.line.messages().some((item) => item.contentType === kind), `${one.name} was told of ${kind}`); };

describe('friends', () => {
  const pair = () => ({ fromUserID: stranger.userID, toUserID: owner.userID });
  const sides = (request) => [request.fromUserID, request.fromNickname, request.toUserID, request.toNickname];
  test('1203 an application, 1202 its refusal', async () => {
    await ok(stranger, '/friend/add_friend', { ...pair(), reqMsg: 'hello' });
    const applied = await told(1203, [owner], { from: stranger });
    assert.deepEqual([applied.fromToUserID.fromUserID, applied.fromToUserID.toUserID, applied.request.reqMsg], [stranger.userID, owner.userID, 'hello']);
    await ok(owner, '/friend/add_friend_response', { ...pair(), handleResult: -1, handleMsg: 'no' });
    const refused = await told(1202, [stranger], { from: owner });
    assert.deepEqual([refused.handleMsg, refused.request.handleResult], ['no', -1]);
    assert.deepEqual(sides(refused.request), [stranger.userID, 'stranger', owner.userID, 'owner']);
  });
  test('1201 an acceptance is a chat message too', async () => {
    await ok(stranger, '/friend/add_friend', { ...pair(), reqMsg: 'please' });
    await ok(owner, '/friend/add_friend_response', { ...pair(), handleResult: 1, handleMsg: 'yes' });
    const accepted = await told(1201, [stranger], { from: owner, chat: true });
    assert.equal(accepted.fromToUserID.fromUserID, stranger.userID);
    assert.deepEqual(sides(accepted.request), [stranger.userID, 'stranger', owner.userID, 'owner']);
  });
  test('1206 a remark, 1210 other settings of a friend, 1209 a friend\'s new profile', async () => {
    const friend = { ownerUserID: owner.userID, friendUserID: stranger.userID };
    await ok(owner, '/friend/set_friend_remark', { ...friend, remark: 'S' });
    await told(1206, [owner], { holds: (t) => t.fromToUserID.toUserID === stranger.userID });
    await ok(owner, '/friend/update_friends', { ownerUserID: owner.userID, friendUserIDs: [stranger.userID], isPinned: true });
    const updated = await told(1210, [owner]);
    assert.deepEqual(updated.friendIDs, [stranger.userID]);
    await ok(stranger, '/user/update_user_info_ex', { userInfo: { userID: stranger.userID, nickname: 'New' } });
    await told(1209, [owner], { holds: (t) => t.userID === stranger.userID });
    await told(1303, [stranger], { holds: (t) => t.userID === stranger.userID });
  });
  test('1207 and 1208 the black list', async () => {
    const black = { ownerUserID: owner.userID, blackUserID: stranger.userID };
    await ok(owner, '/friend/add_black', black);
    assert.deepEqual((await told(1207, [owner])).fromToUserID, { fromUserID: owner.userID, toUserID: stranger.userID });
    await ok(owner, '/friend/remove_black', black);
    assert.equal((await told(1208, [owner])).fromToUserID.toUserID, stranger.userID);
  });
  test('1205 a friend was removed', async () => {
    await ok(owner, '/friend/delete_friend', { ownerUserID: owner.userID, friendUserID: stranger.userID });
    assert.equal((await told(1205, [owner])).fromToUserID.toUserID, stranger.userID);
  });
});

describe('one\'s own devices', () => {
  const command = () => ({ userID: owner.userID, type: 3, uuid: 'u1' });
  test('1305, 1307, 1306 commands', async () => {
    await ok(owner, '/user/process_user_command_add', { ...command(), value: 'v' });
    await told(1305, [owner], { from: owner });
    await ok(owner, '/user/process_user_command_update', { ...command(), value: 'w' });
    await told(1307, [owner]);
    await ok(owner, '/user/process_user_command_delete', command());
    await told(1306, [owner]);
    untold(1305, [helper, member, stranger]);
  });
  test('1300 settings of a conversation', async () => {
    const conversationID = `sg_${groupID}`;
    await ok(member, '/conversation/set_conversations', {
      userIDs: [member.userID], conversation: { conversationID, conversationType: 3, groupID, isPinned: true },
    });
    const changed = await told(1300, [member], { from: member, holds: (t) => t.conversationIDList.includes(conversationID) });
    assert.equal(changed.userID, member.userID);
    untold(1300, [stranger]);
  });
  test('1701 private chat, told to both', async () => {
    const conversationID = `si_${[owner.userID, member.userID].sort().join('_')}`;
    await ok(owner, '/conversation/set_conversations', {
      userIDs: [owner.userID], conversation: { conversationID, conversationType: 1, userID: member.userID, isPrivateChat: true },
    });
    const set = await told(1701, [owner, member], { chat: true });
    assert.deepEqual([set.isPrivate, set.conversationID], [true, conversationID]);
  });
});

describe('groups', () => {
  const everybody = () => [owner, helper, member];
  const hasGroup = (t) => (t.group?.groupID ?? t.groupID) === groupID;
  test('1501 it was made', async () => {
    const made = await told(1501, everybody(), { from: owner, holds: hasGroup, chat: true });
    assert.deepEqual([made.group.groupName, made.groupOwnerUser.userID, made.memberList.length], ['first', owner.userID, 3]);
    assert.ok(made.groupMemberVersion > 0 && made.groupMemberVersionID.length === 24);
    untold(1501, [stranger]);
  });
  test('1520 a new name, 1519 an announcement, 1502 other settings', async () => {
    await ok(owner, '/group/set_group_info_ex', { groupID, groupName: 'second' });
    assert.equal((await told(1520, everybody(), { holds: hasGroup, chat: true })).group.groupName, 'second');
    await ok(owner, '/group/set_group_info_ex', { groupID, notification: 'tonight' });
    assert.equal((await told(1519, everybody(), { holds: hasGroup, chat: true })).group.notification, 'tonight');
    await ok(owner, '/group/set_group_info_ex', { groupID, introduction: 'i', needVerification: 1 });
    assert.equal((await told(1502, everybody(), { holds: hasGroup })).group.introduction, 'i');
    untold(1502, [stranger]);
  });
  test('a name, an announcement and another setting at once are notified one by one', async () => {
    await ok(owner, '/group/set_group_info_ex', { groupID, groupName: 'third', notification: 'at nine', introduction: 'j' });
    await told(1520, everybody(), { holds: (t) => hasGroup(t) && t.group.groupName === 'third' });
    await told(1519, everybody(), { holds: (t) => hasGroup(t) && t.group.notification === 'at nine' });
    await told(1502, everybody(), { holds: (t) => hasGroup(t) && t.group.introduction === 'j' });
  });
  test('an announcement that is taken back is told, and neither written into the chat nor marked', async () => {
    const conversationID = `sg_${groupID}`;
    await ok(member, '/conversation/set_conversations', { userIDs: [member.userID], conversation: { conversationID, conversationType: 3, groupID, groupAtType: 0 } });
    await ok(owner, '/group/set_group_info_ex', { groupID, notification: '' });
    await told(1519, everybody(), { holds: (t) => hasGroup(t) && t.group.notification === '' });
    await ok(owner, '/group/set_group_info_ex', { groupID, groupName: 'fourth' });
    await told(1520, everybody(), { holds: (t) => hasGroup(t) && t.group.groupName === 'fourth', chat: true });
    const inChat = member.line.messages().filter((item) => item.contentType === 1519 && !item.notification);
    assert.deepEqual(inChat.map((item) => tips(item).group.notification).filter((text) => text === ''), []);
    assert.equal((await ok(member, '/conversation/get_conversation', { ownerUserID: member.userID, conversationID })).conversation.groupAtType, 0);
  });
  test('a group that is made with an announcement tells it', async () => {
    const made = await ok(owner, '/group/create_group', {
      ownerUserID: owner.userID, memberUserIDs: [member.userID], groupInfo: { groupName: 'g', groupType: 2, notification: 'welcome' },
    });
    const about = (t) => t.group.groupID === made.groupInfo.groupID;
    await told(1501, [owner, member], { holds: about });
    assert.equal((await told(1519, [owner, member], { holds: about, chat: true })).group.notification, 'welcome');
  });
  test('1503 an application, 1506 its refusal, 1505 its acceptance with 1510 to all', async () => {
    const apply = () => ok(stranger, '/group/join_group', { groupID, reqMessage: 'me', joinSource: 3, inviterUserID: stranger.userID });
    const answer = (handleResult) => ok(helper, '/group/group_application_response', { groupID, fromUserID: stranger.userID, handledMsg: 'm', handleResult });
    await apply();
    const applied = await told(1503, [owner, helper, stranger], { holds: hasGroup });
    assert.deepEqual([applied.applicant.userID, applied.reqMsg], [stranger.userID, 'me']);
    untold(1503, [member]);
    await answer(-1);
    await told(1506, [stranger, owner], { holds: hasGroup });
    await apply();
    await answer(1);
    await told(1505, [stranger, owner], { holds: hasGroup });
    const entered = await told(1510, [...everybody(), stranger], { holds: (t) => hasGroup(t) && t.entrantUser.userID === stranger.userID, chat: true });
    assert.ok(entered.groupMemberVersion > 0);
  });
  test('1504 who quits and those who stay', async () => {
    await ok(stranger, '/group/quit_group', { groupID, userID: stranger.userID });
    await told(1504, [...everybody(), stranger], { holds: (t) => t.quitUser.userID === stranger.userID, chat: true });
  });
  test('1509 an invitation, 1508 a kick', async () => {
    await ok(owner, '/group/invite_user_to_group', { groupID, invitedUserIDs: [stranger.userID], reason: 'r' });
    const invited = await told(1509, [...everybody(), stranger], { holds: hasGroup, chat: true });
    assert.deepEqual([invited.opUser.userID, invited.invitedUserList.map((one) => one.userID)], [owner.userID, [stranger.userID]]);
    await ok(helper, '/group/kick_group', { groupID, kickedUserIDs: [stranger.userID] });
    const kicked = await told(1508, [...everybody(), stranger], { holds: hasGroup, chat: true });
    assert.deepEqual([kicked.opUser.userID, kicked.kickedUserList.map((one) => one.userID)], [helper.userID, [stranger.userID]]);
  });
  test('1512 to 1515 mutes', async () => {
    await ok(owner, '/group/mute_group_member', { groupID, userID: member.userID, mutedSeconds: 60 });
    assert.deepEqual([(await told(1512, everybody(), { holds: hasGroup, chat: true })).mutedUser.userID], [member.userID]);
    await ok(owner, '/group/cancel_mute_group_member', { groupID, userID: member.userID });
    await told(1513, everybody(), { holds: hasGroup, chat: true });
    await ok(owner, '/group/mute_group', { groupID });
    await told(1514, everybody(), { holds: hasGroup, chat: true });
    await ok(owner, '/group/cancel_mute_group', { groupID });
    await told(1515, everybody(), { holds: hasGroup, chat: true });
  });
  test('1516 to 1518 members\' settings', async () => {
    const set = (fields) => ok(owner, '/group/set_group_member_info', { members: [{ groupID, userID: member.userID, ...fields }] });
    await set({ nickname: 'M' });
    assert.equal((await told(1516, everybody(), { holds: (t) => t.changedUser.nickname === 'M' })).changedUser.userID, member.userID);
    await set({ roleLevel: 60 });
    assert.equal((await told(1517, everybody(), { holds: hasGroup })).changedUser.userID, member.userID);
    await set({ roleLevel: 20 });
    assert.equal((await told(1518, everybody(), { holds: hasGroup })).changedUser.roleLevel, 20);
  });
  test('1507 a new owner, who is muted no longer (1513)', async () => {
    await ok(owner, '/group/mute_group_member', { groupID, userID: helper.userID, mutedSeconds: 600 });
    await ok(owner, '/group/transfer_group', { groupID, oldOwnerUserID: owner.userID, newOwnerUserID: helper.userID });
    const moved = await told(1507, everybody(), { holds: hasGroup, chat: true });
    assert.deepEqual([moved.newGroupOwner.userID, moved.oldGroupOwnerInfo.userID], [helper.userID, owner.userID]);
    const unmuted = await told(1513, everybody(), { holds: (t) => hasGroup(t) && t.mutedUser.userID === helper.userID });
    assert.deepEqual([unmuted.opUser.userID, unmuted.mutedUser.muteEndTime, unmuted.mutedUser.roleLevel], [owner.userID, 0, 100]);
  });
});

describe('messages', () => {
  let single;
  async function say(from, to) {
    const before = new Set(to.line.messages().map((item) => item.clientMsgID));
    const sent = await ok(root, '/msg/send_msg', { sendID: from.userID, recvID: to.userID, content: { content: randomUUID() }, contentType: 101, sessionType: 1 });
    assert.ok(!before.has(sent.clientMsgID));
    single = `si_${[from.userID, to.userID].sort().join('_')}`;
    const got = await to.line.message('it', (item) => item.clientMsgID === sent.clientMsgID);
    await until('it is stored', async () => ((await ok(to, '/msg/newest_seq', { userID: to.userID })).maxSeqs[single] ?? 0) >= got.seq);
    return got;
  }
  test('2200 a receipt goes to who wrote', async () => {
    const got = await say(owner, member);
    await ok(member, '/msg/mark_conversation_as_read', { userID: member.userID, conversationID: single, hasReadSeq: got.seq, seqs: [got.seq] });
    const read = await told(2200, [owner, member], { from: member, holds: (t) => t.conversationID === single });
    assert.deepEqual([read.markAsReadUserID, read.hasReadSeq], [member.userID, got.seq]);
  });
  test('2101 a message was revoked', async () => {
    const got = await say(owner, member);
    await ok(owner, '/msg/revoke_msg', { userID: owner.userID, conversationID: single, seq: got.seq });
    const revoked = await told(2101, [owner, member], { holds: (t) => t.clientMsgID === got.clientMsgID });
    assert.deepEqual([revoked.revokerUserID, revoked.seq, revoked.conversationID, revoked.sesstionType, revoked.isAdminRevoke], [owner.userID, got.seq, single, 1, false]);
    // Whoever got no answer revokes again, and everybody is told again, of the same revocation.
    await ok(owner, '/msg/revoke_msg', { userID: owner.userID, conversationID: single, seq: got.seq });
    const times = (who) => who.line.messages().filter((item) => item.contentType === 2101 && tips(item).clientMsgID === got.clientMsgID).map((item) => tips(item).revokeTime);
    for (const who of [owner, member]) await until('told again', () => times(who).length === 2);
    assert.deepEqual(times(member), [revoked.revokeTime, revoked.revokeTime]);
  });
  test('2102 messages were deleted on one\'s other devices', async () => {
    const got = await say(owner, member);
    await ok(member, '/msg/delete_msgs', { userID: member.userID, conversationID: single, seqs: [got.seq], deleteSyncOpt: { IsSyncSelf: true } });
    const deleted = await told(2102, [member], { holds: (t) => t.conversationID === single });
    assert.deepEqual([deleted.userID, deleted.seqs], [member.userID, [got.seq]]);
    untold(2102, [stranger]);
  });
  test('1703 a conversation was cleared', async () => {
    await say(owner, member);
    await ok(member, '/msg/clear_conversation_msg', { userID: member.userID, conversationIDs: [single], deleteSyncOpt: { IsSyncSelf: true } });
    assert.deepEqual((await told(1703, [member])).conversationIDs, [single]);
  });
  test('2001 a business notification', async () => {
    await ok(root, '/msg/send_business_notification', { key: 'order', data: '{"id":1}', sendUserID: owner.userID, recvUserID: member.userID, sendMsg: false, reliabilityLevel: 1 });
    assert.deepEqual(await told(2001, [member], { holds: (t) => t.key === 'order' }), { key: 'order', data: '{"id":1}' });
  });
});

describe('endings', () => {
  test('1511 a group was dismissed', async () => {
    await ok(helper, '/group/dismiss_group', { groupID });
    const dismissed = await told(1511, [owner, helper, member], { chat: true, holds: (t) => t.group.groupID === groupID });
    assert.deepEqual([dismissed.opUser.userID, dismissed.group.status], [helper.userID, 2]);
    await until('nobody is in it', async () => ((await admin('/group/get_group_member_list', { groupID, ...page })).data?.members ?? []).length === 0);
  });
});
