// Every notification of the contract: what causes it, who is told, in which conversation, with which options and with which content
// (docs/protocol/notifications.md). Each is compared with all its fields.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { Socket } from './sdk/lib/socket.mjs';
import { until } from './sdk/lib/wait.mjs';
import { admin, at, login, ok, root, user } from './lib/api.mjs';
import { save, see } from './lib/shown.mjs';
import { isWhole, rows, settled } from './lib/tips.mjs';

const names = ['owner', 'helper', 'member', 'stranger'];
let owner, helper, member, stranger, groupID, shown;
const page = { pagination: { pageNumber: 1, showNumber: 100 } };
before(async () => {
  await login();
  [owner, helper, member, stranger] = await Promise.all(names.map(user));
  for (const who of [owner, helper, member, stranger]) who.line = await Socket.open(at.ws, who);
  const data = await ok(owner, '/group/create_group', {
    ownerUserID: owner.userID, adminUserIDs: [helper.userID], memberUserIDs: [member.userID], groupInfo: { groupName: 'first', groupType: 2, faceURL: 'f', ex: 'x' },
  });
  ({ groupID } = data.groupInfo);
  shown = {
    groupID, groupName: 'first', notification: '', introduction: '', faceURL: 'f', ownerUserID: owner.userID, createTime: 'now', memberCount: 3, ex: 'x', status: 0,
    creatorUserID: owner.userID, groupType: 2, needVerification: 0, lookMemberInfo: 0, applyMemberFriend: 0, notificationUpdateTime: 0, notificationUserID: '',
  };
});
after(() => { for (const who of [owner, helper, member, stranger]) who.line?.close(); save('notifications'); });

/** The group as tips show it, from now on with these changes. */
const group = (changes = {}) => ({ ...Object.assign(shown, changes) });
/** A member as tips show it; the first ones came with the group. */
const memberOf = (who, roleLevel, more = {}) => ({
  groupID, userID: who.userID, roleLevel, joinTime: 'now', nickname: who.name, faceURL: '', appMangerLevel: 0, joinSource: 2, operatorUserID: owner.userID, ex: '',
  muteEndTime: 0, inviterUserID: owner.userID, ...more,
});
const versions = { groupMemberVersion: 'counted', groupMemberVersionID: 'made' };
const friendVersions = { friendVersion: 'counted', friendVersionID: 'made' };

const whole = new Set();
const tips = (message) => JSON.parse(JSON.parse(message.content).detail);
const copyInChat = (one, kind, holds) => one.line.messages().find((item) => item.contentType === kind && !item.notification && holds(tips(item)));
/**
 * Waits until each of `who` was told; checks what the table says of it, and that its tips are whole and `is` (what they are for one of `who`, if that differs).
 * Returns the tips as the first of them saw them.
 */
async function told(kind, who, { from, holds = () => true, chat, is } = {}) {
  const row = rows.get(kind) ?? {};
  const seen = [];
  for (const one of who) {
    // One that is a chat message too comes twice: as a notification and in the chat.
    const message = await one.line.message(`${kind}`, (item) => item.contentType === kind && item.notification && holds(tips(item)));
    assert.ok(message.conversationID.startsWith('n_'), message.conversationID);
    assert.equal(message.msgFrom, 200);
    assert.equal(message.sessionType, row.session ?? message.sessionType);
    if (from) assert.equal(message.sendID, from.userID);
    const { isNotNotification, isSendMsg, history } = message.options;
    assert.deepEqual([isNotNotification, isSendMsg, history], [false, chat ?? row.chat ?? false, row.stored ?? false], `${kind}: options`);
    const inChat = isSendMsg ? await one.line.message(`${kind} as a chat message`, () => copyInChat(one, kind, holds)) && copyInChat(one, kind, holds) : undefined;
    assert.equal((inChat ?? message).options.offlinePush, row.phone ?? false, `${kind}: to phones`);
    const content = tips(message);
    if (row.message) isWhole(row.message, content);
    if (is) {
      assert.deepEqual(settled(content), typeof is === 'function' ? is(one) : is, `${kind} for ${one.name}`);
      whole.add(kind);
    }
    seen.push(content);
  }
  see('notifications', kind);
  return seen[0];
}
/** Who is not told, though others were already. */
const untold = (kind, who) => { for (const one of who) assert.ok(!one.line.messages().some((item) => item.contentType === kind), `${one.name} was told of ${kind}`); };

describe('friends', () => {
  const pair = () => ({ fromUserID: stranger.userID, toUserID: owner.userID });
  const between = () => ({ fromUserID: owner.userID, toUserID: stranger.userID });
  const request = (more) => ({
    ...pair(), fromNickname: 'stranger', fromFaceURL: '', toNickname: 'owner', toFaceURL: '', handleResult: 0, createTime: 'now', handlerUserID: '', handleMsg: '', handleTime: 0, ...more,
  });
  const answered = (handleResult, handleMsg) => ({ handleResult, handleMsg, handlerUserID: owner.userID, handleTime: 'now' });
  test('1203 an application, 1202 its refusal', async () => {
    await ok(stranger, '/friend/add_friend', { ...pair(), reqMsg: 'hello', ex: 'e' });
    await told(1203, [owner, stranger], { from: stranger, is: { fromToUserID: pair(), request: request({ reqMsg: 'hello', ex: 'e' }) } });
    await ok(owner, '/friend/add_friend_response', { ...pair(), handleResult: -1, handleMsg: 'no' });
    await told(1202, [stranger, owner], { from: owner, is: { fromToUserID: pair(), handleMsg: 'no', request: request({ reqMsg: 'hello', ex: 'e', ...answered(-1, 'no') }) } });
    untold(1203, [helper]);
  });
  test('1201 an acceptance is a chat message too', async () => {
    await ok(stranger, '/friend/add_friend', { ...pair(), reqMsg: 'please' });
    await ok(owner, '/friend/add_friend_response', { ...pair(), handleResult: 1, handleMsg: 'yes' });
    await told(1201, [stranger, owner], {
      from: owner, is: { fromToUserID: pair(), handleMsg: 'yes', ...friendVersions, request: request({ reqMsg: 'please', ex: '', ...answered(1, 'yes') }) },
    });
  });
  test('1206 a remark, 1210 other settings of a friend, 1209 a friend\'s new profile', async () => {
    const friend = { ownerUserID: owner.userID, friendUserID: stranger.userID };
    await ok(owner, '/friend/set_friend_remark', { ...friend, remark: 'S' });
    await told(1206, [owner, stranger], { from: owner, is: { fromToUserID: between(), ...friendVersions, friendSortVersion: 0 } });
    await ok(owner, '/friend/update_friends', { ownerUserID: owner.userID, friendUserIDs: [stranger.userID], isPinned: true });
    const self = { fromUserID: owner.userID, toUserID: owner.userID };
    await told(1210, [owner], { from: owner, is: { fromToUserID: self, friendIDs: [stranger.userID], ...friendVersions } });
    await ok(stranger, '/user/update_user_info_ex', { userInfo: { userID: stranger.userID, nickname: 'New' } });
    stranger.name = 'New';
    const changed = { userID: stranger.userID };
    await told(1209, [owner], { from: stranger, holds: (t) => t.userID === stranger.userID, is: changed });
    await told(1303, [stranger], { from: stranger, holds: (t) => t.userID === stranger.userID, is: changed });
    untold(1210, [stranger, helper]);
    untold(1303, [owner]);
  });
  test('1209 and 1303 come from who changes a profile, also for another', async () => {
    await ok(root, '/user/update_user_info_ex', { userInfo: { userID: stranger.userID, nickname: 'New' } });
    const by = (one, kind) => until(`${kind} from the administrator`, () => one.line.messages().find((item) => item.contentType === kind && item.sendID === root.userID));
    for (const [one, kind] of [[owner, 1209], [stranger, 1303]]) assert.deepEqual(tips(await by(one, kind)), { userID: stranger.userID });
  });
  test('1207 and 1208 the black list', async () => {
    const black = { ownerUserID: owner.userID, blackUserID: stranger.userID };
    await ok(owner, '/friend/add_black', black);
    await told(1207, [owner, stranger], { from: owner, is: { fromToUserID: between() } });
    await ok(owner, '/friend/remove_black', black);
    await told(1208, [owner, stranger], { from: owner, is: { fromToUserID: between() } });
  });
  test('1205 a friend was removed', async () => {
    await ok(owner, '/friend/delete_friend', { ownerUserID: owner.userID, friendUserID: stranger.userID });
    await told(1205, [owner, stranger], { from: owner, is: { fromToUserID: between(), ...friendVersions } });
  });
  test('1201 friends that an administrator imports have accepted', async () => {
    await ok(root, '/friend/import_friend', { ownerUserID: helper.userID, friendUserIDs: [member.userID] });
    const imported = { fromUserID: helper.userID, toUserID: member.userID };
    await told(1201, [helper, member], {
      from: member, holds: (t) => t.fromToUserID.fromUserID === helper.userID, is: { fromToUserID: imported, handleMsg: '', ...friendVersions, request: null },
    });
  });
});

describe('one\'s own devices', () => {
  const command = () => ({ userID: owner.userID, type: 3, uuid: 'u1' });
  test('1305, 1307, 1306 commands', async () => {
    const is = { fromUserID: owner.userID, toUserID: owner.userID };
    await ok(owner, '/user/process_user_command_add', { ...command(), value: 'v' });
    await told(1305, [owner], { from: owner, is });
    await ok(owner, '/user/process_user_command_update', { ...command(), value: 'w' });
    await told(1307, [owner], { from: owner, is });
    await ok(owner, '/user/process_user_command_delete', command());
    await told(1306, [owner], { from: owner, is });
    untold(1305, [helper, member, stranger]);
  });
  test('1300 settings of a conversation', async () => {
    const conversationID = `sg_${groupID}`;
    await ok(member, '/conversation/set_conversations', {
      userIDs: [member.userID], conversation: { conversationID, conversationType: 3, groupID, isPinned: true },
    });
    const is = { userID: member.userID, conversationIDList: [conversationID] };
    await told(1300, [member], { from: member, holds: (t) => t.conversationIDList.includes(conversationID), is });
    untold(1300, [stranger]);
  });
  test('1701 private chat, told to both', async () => {
    const conversationID = `si_${[owner.userID, member.userID].sort().join('_')}`;
    await ok(owner, '/conversation/set_conversations', {
      userIDs: [owner.userID], conversation: { conversationID, conversationType: 1, userID: member.userID, isPrivateChat: true },
    });
    await told(1701, [owner, member], { from: owner, is: { recvID: member.userID, sendID: owner.userID, isPrivate: true, conversationID } });
    untold(1701, [helper]);
  });
});

describe('groups', () => {
  const everybody = () => [owner, helper, member];
  const hasGroup = (t) => (t.group?.groupID ?? t.groupID) === groupID;
  test('1501 it was made', async () => {
    const opUser = memberOf(owner, 100);
    const memberList = [opUser, memberOf(helper, 60), memberOf(member, 20)];
    await told(1501, everybody(), { from: owner, holds: hasGroup, is: { group: group(), opUser, memberList, operationTime: 'now', groupOwnerUser: opUser, ...versions } });
    untold(1501, [stranger]);
  });
  test('1520 a new name, 1519 an announcement, 1502 other settings', async () => {
    const opUser = memberOf(helper, 60);
    await ok(helper, '/group/set_group_info_ex', { groupID, groupName: 'second' });
    await told(1520, everybody(), { from: helper, holds: hasGroup, is: { opUser, group: group({ groupName: 'second' }), ...versions } });
    await ok(helper, '/group/set_group_info_ex', { groupID, notification: 'tonight' });
    const announced = { notification: 'tonight', notificationUpdateTime: 'now', notificationUserID: helper.userID };
    await told(1519, everybody(), { from: helper, holds: hasGroup, is: { opUser, group: group(announced), ...versions } });
    const others = { introduction: 'i', faceURL: 'g', ex: 'y', needVerification: 1, lookMemberInfo: 1, applyMemberFriend: 1 };
    await ok(helper, '/group/set_group_info_ex', { groupID, ...others });
    await told(1502, everybody(), { from: helper, holds: hasGroup, is: { opUser, muteTime: 0, group: group(others), ...versions } });
    untold(1502, [stranger]);
  });
  test('a name, an announcement and another setting at once are notified one by one', async () => {
    await ok(owner, '/group/set_group_info_ex', { groupID, groupName: 'third', notification: 'at nine', introduction: 'j' });
    group({ groupName: 'third', notification: 'at nine', introduction: 'j', notificationUserID: owner.userID });
    await told(1520, everybody(), { holds: (t) => hasGroup(t) && t.group.groupName === 'third' });
    await told(1519, everybody(), { holds: (t) => hasGroup(t) && t.group.notification === 'at nine' });
    await told(1502, everybody(), { holds: (t) => hasGroup(t) && t.group.introduction === 'j' });
  });
  test('an announcement that is taken back is told, and neither written into the chat nor marked', async () => {
    const conversationID = `sg_${groupID}`;
    await ok(member, '/conversation/set_conversations', { userIDs: [member.userID], conversation: { conversationID, conversationType: 3, groupID, groupAtType: 0 } });
    await ok(owner, '/group/set_group_info_ex', { groupID, notification: '' });
    group({ notification: '' });
    await told(1519, everybody(), { from: owner, chat: false, holds: (t) => hasGroup(t) && t.group.notification === '', is: { opUser: memberOf(owner, 100), group: group(), ...versions } });
    await ok(owner, '/group/set_group_info_ex', { groupID, groupName: 'fourth' });
    group({ groupName: 'fourth' });
    await told(1520, everybody(), { holds: (t) => hasGroup(t) && t.group.groupName === 'fourth' });
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
    assert.equal((await told(1519, [owner, member], { from: owner, holds: about })).group.notification, 'welcome');
  });
  // As tips show it: the applicant, and what was asked.
  const profile = (who) => ({ userID: who.userID, nickname: who.name, faceURL: '', ex: '' });
  const request = (more) => ({
    userInfo: profile(stranger), groupInfo: group(), handleResult: 0, reqMsg: 'me', handleMsg: '', reqTime: 'now', handleUserID: '', handleTime: 0, ex: 'z', joinSource: 3, inviterUserID: '', ...more,
  });
  const answered = (handleResult) => ({ handleResult, handleMsg: 'm', handleUserID: helper.userID, handleTime: 'now' });
  const answer = (handleResult) => ok(helper, '/group/group_application_response', { groupID, fromUserID: stranger.userID, handledMsg: 'm', handleResult });
  /** Answers tell their receivers whether they get them as those who may answer. */
  const answerFor = (more) => (one) => ({
    group: group(), opUser: memberOf(helper, 60), handleMsg: 'm', receiverAs: one === stranger ? 0 : 1, uuid: 'made', request: request(more),
  });
  test('1503 an application, 1506 its refusal, 1505 its acceptance with 1510 to all', async () => {
    const apply = () => ok(stranger, '/group/join_group', { groupID, reqMessage: 'me', joinSource: 3, inviterUserID: stranger.userID, ex: 'z' });
    await apply();
    await told(1503, [owner, helper, stranger], {
      from: stranger, holds: hasGroup, is: { group: group(), applicant: profile(stranger), reqMsg: 'me', uuid: 'made', request: request() },
    });
    untold(1503, [member]);
    await answer(-1);
    await told(1506, [stranger, owner, helper], { from: helper, holds: hasGroup, is: answerFor(answered(-1)) });
    untold(1506, [member]);
    await apply();
    await answer(1);
    const entrantUser = memberOf(stranger, 20, { joinSource: 3, operatorUserID: helper.userID, inviterUserID: '' });
    group({ memberCount: 4 });
    await told(1505, [stranger, owner, helper], { from: helper, holds: hasGroup, is: answerFor(answered(1)) });
    await told(1510, [...everybody(), stranger], {
      from: helper, holds: (t) => hasGroup(t) && t.entrantUser.userID === stranger.userID, is: { group: group(), entrantUser, operationTime: 'now', ...versions },
    });
  });
  test('an announcement is for members, not for those who apply', async () => {
    await ok(owner, '/group/set_group_info_ex', { groupID, notification: 'among us' });
    const noticed = { notification: 'among us', notificationUserID: owner.userID };
    const hidden = () => ({ ...group(noticed), notification: '' });
    const outsider = await user('outsider');
    outsider.line = await Socket.open(at.ws, outsider);
    try {
      await ok(outsider, '/group/join_group', { groupID, reqMessage: 'peek', joinSource: 3 });
      const holds = (t) => hasGroup(t) && t.request.reqMsg === 'peek';
      const compare = async (kind, one, is) => {
        const { group: itself, request: { groupInfo } } = await told(kind, [one], { holds });
        assert.deepEqual([settled(itself), settled(groupInfo)], [is, is], `${kind} for ${one.name}`);
      };
      // Whoever applies is also sent what is sent in their name.
      for (const one of [owner, outsider]) await compare(1503, one, hidden());
      for (const [path, body] of [
        ['/group/get_user_req_group_applicationList', { userID: outsider.userID, ...page }],
        ['/group/get_specified_user_group_request_info', { groupID, userID: outsider.userID }],
      ]) {
        const { groupRequests } = await ok(outsider, path, body);
        assert.deepEqual(groupRequests.map(({ groupInfo }) => settled(groupInfo)), [hidden()], path);
      }
      await ok(owner, '/group/group_application_response', { groupID, fromUserID: outsider.userID, handledMsg: 'm', handleResult: -1 });
      await compare(1506, owner, group());
      await compare(1506, outsider, hidden());
      const read = outsider.line.messages().filter(({ content }) => content.includes('among us'));
      assert.deepEqual(read.map(({ contentType }) => contentType), []);
    } finally {
      outsider.line.close();
      await ok(owner, '/group/set_group_info_ex', { groupID, notification: '' });
      group({ notification: '' });
    }
  });
  test('1504 who quits and those who stay', async () => {
    await ok(stranger, '/group/quit_group', { groupID, userID: stranger.userID });
    const quitUser = memberOf(stranger, 20, { joinSource: 3, operatorUserID: helper.userID, inviterUserID: '' });
    await told(1504, [...everybody(), stranger], {
      from: stranger, holds: (t) => t.quitUser.userID === stranger.userID, is: { group: group({ memberCount: 3 }), quitUser, operationTime: 'now', ...versions },
    });
  });
  test('1509 an invitation, 1508 a kick', async () => {
    await ok(owner, '/group/invite_user_to_group', { groupID, invitedUserIDs: [stranger.userID], reason: 'r' });
    const opUser = memberOf(owner, 100);
    const invitedUserList = [memberOf(stranger, 20)];
    await told(1509, [...everybody(), stranger], {
      from: owner, holds: hasGroup, is: { group: group({ memberCount: 4 }), opUser, invitedUserList, operationTime: 'now', ...versions, inviterUser: opUser },
    });
    await ok(helper, '/group/kick_group', { groupID, kickedUserIDs: [stranger.userID] });
    await told(1508, [...everybody(), stranger], {
      from: helper, holds: hasGroup, is: { group: group({ memberCount: 3 }), opUser: memberOf(helper, 60), kickedUserList: [memberOf(stranger, 20)], operationTime: 'now', ...versions },
    });
  });
  test('an invitation that must be accepted comes from who invites, and names them as the inviter', async () => {
    const byMember = (t) => hasGroup(t) && t.request.inviterUserID === member.userID;
    await ok(member, '/group/invite_user_to_group', { groupID, invitedUserIDs: [stranger.userID], reason: 'good' });
    const invited = { reqMsg: 'good', joinSource: 2, inviterUserID: member.userID, ex: '' };
    await told(1503, [owner, helper, stranger, member], {
      from: member, holds: byMember, is: { group: group(), applicant: profile(stranger), reqMsg: 'good', uuid: 'made', request: request(invited) },
    });
    await answer(1);
    group({ memberCount: 4 });
    await told(1505, [stranger, owner, helper], { from: helper, holds: byMember, is: answerFor({ ...invited, ...answered(1) }) });
    const invitedUserList = [memberOf(stranger, 20, { operatorUserID: helper.userID, inviterUserID: member.userID })];
    await told(1509, [...everybody(), stranger], {
      from: helper, holds: (t) => hasGroup(t) && t.inviterUser.userID === member.userID,
      is: { group: group(), opUser: memberOf(helper, 60), invitedUserList, operationTime: 'now', ...versions, inviterUser: memberOf(member, 20) },
    });
    await ok(stranger, '/group/quit_group', { groupID, userID: stranger.userID });
    group({ memberCount: 3 });
  });
  test('1512 to 1515 mutes', async () => {
    const by = () => ({ group: group(), opUser: memberOf(owner, 100), operationTime: 'now', ...versions });
    await ok(owner, '/group/mute_group_member', { groupID, userID: member.userID, mutedSeconds: 60 });
    await told(1512, everybody(), { from: owner, holds: hasGroup, is: { ...by(), mutedUser: memberOf(member, 20, { muteEndTime: 'later' }), mutedSeconds: 60 } });
    await ok(owner, '/group/cancel_mute_group_member', { groupID, userID: member.userID });
    await told(1513, everybody(), { from: owner, holds: hasGroup, is: { ...by(), mutedUser: memberOf(member, 20) } });
    await ok(owner, '/group/mute_group', { groupID });
    group({ status: 3 });
    await told(1514, everybody(), { from: owner, holds: hasGroup, is: by() });
    await ok(owner, '/group/cancel_mute_group', { groupID });
    group({ status: 0 });
    await told(1515, everybody(), { from: owner, holds: hasGroup, is: by() });
  });
  test('1516 to 1518 members\' settings', async () => {
    const set = (fields) => ok(owner, '/group/set_group_member_info', { members: [{ groupID, userID: member.userID, ...fields }] });
    const is = (roleLevel, groupSortVersion) => ({
      group: group(), opUser: memberOf(owner, 100), operationTime: 'now', changedUser: memberOf(member, roleLevel, { nickname: 'M', faceURL: 'p', ex: 'q' }), ...versions, groupSortVersion,
    });
    await set({ nickname: 'M', faceURL: 'p', ex: 'q' });
    await told(1516, everybody(), { from: owner, holds: (t) => t.changedUser.nickname === 'M', is: is(20, 0) });
    await set({ roleLevel: 60 });
    await told(1517, everybody(), { from: owner, holds: hasGroup, is: is(60, 'counted') });
    await set({ roleLevel: 20 });
    await told(1518, everybody(), { from: owner, holds: hasGroup, is: is(20, 'counted') });
  });
  test('1507 a new owner, who is muted no longer (1513)', async () => {
    await ok(owner, '/group/mute_group_member', { groupID, userID: helper.userID, mutedSeconds: 600 });
    await ok(owner, '/group/transfer_group', { groupID, oldOwnerUserID: owner.userID, newOwnerUserID: helper.userID });
    // They change roles: the new one was an administrator of the group.
    const [old, successor] = [memberOf(owner, 60), memberOf(helper, 100)];
    const by = { group: group({ ownerUserID: helper.userID }), opUser: old, operationTime: 'now', ...versions };
    await told(1507, everybody(), { from: owner, holds: hasGroup, is: { ...by, newGroupOwner: successor, oldGroupOwner: owner.userID, oldGroupOwnerInfo: old } });
    await told(1513, everybody(), { from: owner, holds: (t) => hasGroup(t) && t.mutedUser.userID === helper.userID, is: { ...by, mutedUser: successor } });
  });
  test('1507 comes from the administrator who transfers a group', async () => {
    const { groupInfo } = await ok(owner, '/group/create_group', { ownerUserID: owner.userID, memberUserIDs: [member.userID], groupInfo: { groupName: 'h', groupType: 2 } });
    await ok(root, '/group/transfer_group', { groupID: groupInfo.groupID, oldOwnerUserID: owner.userID, newOwnerUserID: member.userID });
    const moved = await told(1507, [owner, member], { from: root, holds: (t) => t.group.groupID === groupInfo.groupID });
    assert.equal(moved.opUser.userID, root.userID);
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
    const seqs = Array.from({ length: got.seq }, (_, index) => index + 1);
    const is = { markAsReadUserID: member.userID, conversationID: single, seqs, hasReadSeq: got.seq };
    await told(2200, [owner, member], { from: member, holds: (t) => t.conversationID === single, is });
  });
  test('2101 a message was revoked', async () => {
    const got = await say(owner, member);
    await ok(owner, '/msg/revoke_msg', { userID: owner.userID, conversationID: single, seq: got.seq });
    const { clientMsgID, seq } = got;
    const revoked = await told(2101, [owner, member], {
      from: owner, holds: (t) => t.clientMsgID === clientMsgID,
      is: { revokerUserID: owner.userID, clientMsgID, revokeTime: 'now', sesstionType: 1, seq, conversationID: single, isAdminRevoke: false },
    });
    // Whoever got no answer revokes again, and everybody is told again, of the same revocation.
    await ok(owner, '/msg/revoke_msg', { userID: owner.userID, conversationID: single, seq: got.seq });
    const times = (who) => who.line.messages().filter((item) => item.contentType === 2101 && tips(item).clientMsgID === got.clientMsgID).map((item) => tips(item).revokeTime);
    for (const who of [owner, member]) await until('told again', () => times(who).length === 2);
    assert.deepEqual(times(member), [revoked.revokeTime, revoked.revokeTime]);
  });
  test('2102 messages were deleted on one\'s other devices', async () => {
    const got = await say(owner, member);
    await ok(member, '/msg/delete_msgs', { userID: member.userID, conversationID: single, seqs: [got.seq], deleteSyncOpt: { IsSyncSelf: true } });
    await told(2102, [member], { from: member, holds: (t) => t.conversationID === single, is: { userID: member.userID, conversationID: single, seqs: [got.seq] } });
    untold(2102, [stranger, owner]);
  });
  test('1703 a conversation was cleared', async () => {
    await say(owner, member);
    await ok(member, '/msg/clear_conversation_msg', { userID: member.userID, conversationIDs: [single], deleteSyncOpt: { IsSyncSelf: true } });
    await told(1703, [member], { from: member, is: { userID: member.userID, conversationIDs: [single] } });
    untold(1703, [owner]);
  });
  test('2001 a business notification', async () => {
    await ok(root, '/msg/send_business_notification', { key: 'order', data: '{"id":1}', sendUserID: owner.userID, recvUserID: member.userID, sendMsg: false, reliabilityLevel: 1 });
    await told(2001, [member], { from: owner, holds: (t) => t.key === 'order', is: { key: 'order', data: '{"id":1}' } });
  });
  test('1400 what a system account says is a message in a chat of its own', async () => {
    const account = await ok(root, '/user/add_notification_account', { nickName: 'News', faceURL: 'f', appMangerLevel: 3 });
    const content = { notificationName: 'n', notificationFaceURL: 'g', notificationType: 1, text: 't', externalUrl: 'u', mixType: 0, ex: 'e' };
    const { clientMsgID } = await ok(root, '/msg/send_msg', { sendID: account.userID, recvID: member.userID, content, contentType: 1400, sessionType: 4 });
    const got = await member.line.message('1400', (item) => item.clientMsgID === clientMsgID);
    assert.deepEqual([got.sendID, got.recvID, got.contentType, got.sessionType, got.notification], [account.userID, member.userID, 1400, 4, false]);
    assert.equal(got.conversationID, `sn_${[account.userID, member.userID].sort().join('_')}`);
    assert.deepEqual(JSON.parse(JSON.parse(got.content).detail ?? got.content), content);
    see('notifications', 1400);
    whole.add(1400);
  });
});

describe('endings', () => {
  test('1511 a group was dismissed', async () => {
    await ok(helper, '/group/dismiss_group', { groupID });
    await told(1511, [owner, helper, member], {
      from: helper, holds: (t) => t.group.groupID === groupID, is: { group: group({ status: 2 }), opUser: memberOf(helper, 100), operationTime: 'now' },
    });
    await until('nobody is in it', async () => ((await admin('/group/get_group_member_list', { groupID, ...page })).data?.members ?? []).length === 0);
  });
  test('every notification of the table was compared with all its fields', () => {
    assert.ok(rows.size > 35, `${rows.size} rows are read`);
    assert.deepEqual([...rows.keys()].filter((kind) => !whole.has(kind)), []);
  });
});
