// What upstream's server got wrong once and corrected since 2024; e2e/tools/contract/fixes.json names these tests.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Socket } from './sdk/lib/socket.mjs';
import { until } from './sdk/lib/wait.mjs';
import { as, at, login, ok, root, user } from './lib/api.mjs';

const lines = [];
before(login);
after(() => { for (const line of lines) line.close(); });

async function online(name, platformID = 2) {
  const who = await user(name);
  who.token = (await ok(root, '/auth/get_user_token', { userID: who.userID, platformID })).token;
  who.line = await Socket.open(at.ws, who, { platformID });
  lines.push(who.line);
  return who;
}
const tips = (message) => JSON.parse(JSON.parse(message.content).detail);
const told = async (who, kind, holds = () => true) =>
  tips(await who.line.message(`${kind}`, (item) => item.contentType === kind && item.notification && holds(tips(item))));
const make = async (owner, members, more = {}) => (await ok(owner, '/group/create_group', {
  ownerUserID: owner.userID, memberUserIDs: members.map(({ userID }) => userID), groupInfo: { groupName: 'g', groupType: 2 }, ...more,
})).groupInfo.groupID;
const say = async (from, groupID, content) => (await ok(root, '/msg/send_msg', {
  sendID: from.userID, groupID, content: { content }, contentType: 101, sessionType: 3,
})).serverMsgID;
const kick = (by, groupID, whom) => ok(by, '/group/kick_group', { groupID, kickedUserIDs: whom.map(({ userID }) => userID), reason: '' });
const texts = async (who, conversationID) => {
  const range = { conversationID, begin: 1, end: 1000, num: 100 };
  const { msgs } = await who.line.must('pullByRange', { userID: who.userID, seqRanges: [range], order: 0 });
  return (msgs[conversationID]?.Msgs ?? []).filter((item) => item.contentType === 101 && item.status !== 4).map((item) => JSON.parse(item.content).content);
};
const has = (who, conversationID, text) => until(`${who.name} reads ${text}`, async () => (await texts(who, conversationID)).includes(text));

test('who comes back into a group reads what is said from then on, and may revoke it', async () => {
  const [anna, ben] = [await online('anna'), await online('ben')];
  const groupID = await make(anna, [ben]);
  const id = `sg_${groupID}`;
  await say(anna, groupID, 'before');
  await has(ben, id, 'before');
  await kick(anna, groupID, [ben]);
  await say(anna, groupID, 'without him');
  await has(anna, id, 'without him');
  assert.deepEqual(await texts(ben, id), ['before'], 'who left reads no further');
  await ok(anna, '/group/invite_user_to_group', { groupID, invitedUserIDs: [ben.userID], reason: '' });
  await say(anna, groupID, 'welcome back');
  await has(ben, id, 'welcome back');
  await say(ben, groupID, 'a slip');
  const { seq } = await ben.line.message('his own', (item) => item.contentType === 101 && item.content.includes('a slip'));
  await ok(ben, '/msg/revoke_msg', { conversationID: id, seq, userID: ben.userID });
});

test('who left a group before its first message never reads in it', async () => {
  const [anna, ben] = [await online('anna'), await online('ben')];
  const groupID = await make(anna, [ben]);
  const id = `sg_${groupID}`;
  await kick(anna, groupID, [ben]);
  await say(anna, groupID, 'among us');
  await has(anna, id, 'among us');
  assert.deepEqual(await texts(ben, id), []);
});

test('a removal tells how many members there are after it, also when two are removed at once', async () => {
  const [anna, ben, cleo, dan] = [await online('anna'), await online('ben'), await online('cleo'), await online('dan')];
  const groupID = await make(anna, [ben, cleo, dan]);
  await Promise.all([kick(anna, groupID, [ben]), kick(anna, groupID, [cleo])]);
  const counts = await Promise.all([ben, cleo].map(async (gone) =>
    (await told(dan, 1508, (t) => t.group.groupID === groupID && t.kickedUserList.some((who) => who.userID === gone.userID))).group.memberCount));
  assert.ok(counts.includes(2) && counts.every((count) => [2, 3].includes(count)), JSON.stringify(counts));
});

test('everybody is online who is connected, in one answer', async () => {
  const people = [await online('anna'), await online('ben'), await user('cleo')];
  const userIDs = people.map(({ userID }) => userID);
  const shown = await until('two are online', async () => {
    const states = await ok(root, '/user/get_users_online_status', { userIDs });
    return states.filter((state) => state.status === 1).length === 2 && states;
  });
  assert.deepEqual(shown.map((state) => state.userID).sort(), [...userIDs].sort());
});

test('a conversation whose id begins like another one has its own last message', async () => {
  const [anna, ben] = [await online('anna'), await online('ben')];
  const short = `7${Date.now()}`;
  const ids = [short, `${short}3`];
  for (const groupID of ids) {
    await make(anna, [ben], { groupInfo: { groupID, groupName: 'g', groupType: 2 } });
    await say(anna, groupID, `in ${groupID}`);
    await has(ben, `sg_${groupID}`, `in ${groupID}`);
  }
  const conversationIDs = ids.map((id) => `sg_${id}`);
  const { msgs } = await ben.line.must('lastMessages', { userID: ben.userID, conversationIDs });
  for (const id of ids) assert.equal(JSON.parse(msgs[`sg_${id}`].content).content, `in ${id}`);
});

test('what was cleared for everybody stays so after later messages', async () => {
  const [anna, ben] = [await online('anna'), await online('ben')];
  const groupID = await make(anna, [ben]);
  const id = `sg_${groupID}`;
  await say(anna, groupID, 'old');
  await has(ben, id, 'old');
  await ok(anna, '/msg/clear_conversation_msg', { userID: anna.userID, conversationIDs: [id], deleteSyncOpt: { IsSyncSelf: true, IsSyncOther: true } });
  for (const text of ['new', 'newer']) await say(anna, groupID, text);
  await has(ben, id, 'newer');
  assert.deepEqual(await texts(ben, id), ['new', 'newer']);
});

test('an announcement of an administrator of the group marks the conversation of other members', async () => {
  const [anna, ben, cleo] = [await online('anna'), await online('ben'), await online('cleo')];
  const groupID = await make(anna, [cleo], { adminUserIDs: [ben.userID] });
  await ok(ben, '/group/set_group_info_ex', { groupID, notification: 'tonight' });
  await until('it is marked', async () => (await ok(cleo, '/conversation/get_conversation', {
    ownerUserID: cleo.userID, conversationID: `sg_${groupID}`,
  })).conversation.groupAtType === 4);
});

test('an accepted application has the role of each receiver', async () => {
  const [anna, ben] = [await online('anna'), await online('ben')];
  const groupID = await make(anna, [], { groupInfo: { groupName: 'g', groupType: 2, needVerification: 1 } });
  await ok(ben, '/group/join_group', { groupID, reqMessage: 'me', joinSource: 3, inviterUserID: ben.userID });
  await ok(anna, '/group/group_application_response', { groupID, fromUserID: ben.userID, handledMsg: 'm', handleResult: 1 });
  const [owner, applicant] = [await told(anna, 1505), await told(ben, 1505)];
  assert.deepEqual([owner.receiverAs, applicant.receiverAs], [1, 0]);
  assert.ok(owner.uuid && owner.uuid === applicant.uuid, 'one event');
});

test('an iOS device in background is pushed nothing, an Android device is', async () => {
  const [anna, phone, android] = [await online('anna'), await online('phone', 1), await online('android', 2)];
  const groupID = await make(anna, [phone, android]);
  const pushed = (who, content) => who.line.message(content, (item) => item.contentType === 101 && item.content.includes(content));
  for (const who of [phone, android]) await who.line.must('background', { userID: who.userID, isBackground: true });
  await say(anna, groupID, 'while away');
  await pushed(android, 'while away');
  await phone.line.must('background', { userID: phone.userID, isBackground: false });
  await say(anna, groupID, 'back again');
  await pushed(phone, 'back again');
  assert.ok(!phone.line.messages().some((item) => item.contentType === 101 && item.content.includes('while away')));
  await has(phone, `sg_${groupID}`, 'while away');
});

test('a friend request that was answered is refused by 1305, accepted by 1001, an unknown one by 1004', async () => {
  const [anna, ben] = [await user('anna'), await user('ben')];
  const answer = (handleResult) => as(ben, '/friend/add_friend_response', { fromUserID: anna.userID, toUserID: ben.userID, handleResult, handleMsg: '' });
  assert.equal((await answer(-1)).errCode, 1004);
  await ok(anna, '/friend/add_friend', { fromUserID: anna.userID, toUserID: ben.userID, reqMsg: '' });
  assert.equal((await answer(-1)).errCode, 0);
  assert.equal((await answer(-1)).errCode, 1305);
  assert.equal((await answer(1)).errCode, 1001);
});

test('a notification cannot be revoked: those who were away still hear of it', async () => {
  const [anna, ben] = [await online('anna'), await online('ben')];
  const [groupID, pair] = [await make(anna, [ben]), [anna.userID, ben.userID].sort().join('_')];
  await say(anna, groupID, 'first');
  await ok(root, '/msg/send_msg', { sendID: anna.userID, recvID: ben.userID, content: { content: 'first' }, contentType: 101, sessionType: 1 });
  for (const rest of [groupID, pair]) {
    const id = `n_${rest}`;
    const { seq: first, conversationID } = await anna.line.message('her own', (item) => item.contentType === 101 && item.conversationID.endsWith(rest));
    await ok(anna, '/msg/edit_msg', { userID: anna.userID, conversationID, seq: first, content: '{"content":"edited"}' });
    const pulled = async () => (await ben.line.must('pullByRange', {
      userID: ben.userID, seqRanges: [{ conversationID: id, begin: 1, end: 100, num: 100 }], order: 0,
    })).notificationMsgs[id]?.Msgs ?? [];
    const edit = await until('the edit is stored', async () => (await pulled()).find((message) => message.content.includes('messageEdited')));
    for (const who of [anna, root]) {
      assert.equal((await as(who, '/msg/revoke_msg', { userID: anna.userID, conversationID: id, seq: edit.seq })).errCode, 1004);
    }
    assert.deepEqual((await pulled()).find(({ seq }) => seq === edit.seq), edit, 'it says what it said');
  }
});

test('who sends has read what it sent', async () => {
  const [anna, ben] = [await online('anna'), await online('ben')];
  const groupID = await make(anna, [ben]);
  const id = `sg_${groupID}`;
  await say(ben, groupID, 'mine');
  await has(ben, id, 'mine');
  const { seqs } = await ben.line.must('readAndMaxSeqs', { userID: ben.userID });
  assert.ok(seqs[id].maxSeq > 0);
  assert.equal(seqs[id].hasReadSeq, seqs[id].maxSeq);
});

test('a message of somebody who has left the group can be revoked', async () => {
  const [anna, ben] = [await online('anna'), await online('ben')];
  const groupID = await make(anna, [ben]);
  const conversationID = `sg_${groupID}`;
  await say(ben, groupID, 'a slip');
  const { seq } = await anna.line.message('the slip', (item) => item.contentType === 101 && item.content.includes('a slip'));
  await ok(ben, '/group/quit_group', { groupID, userID: ben.userID });
  await ok(anna, '/msg/revoke_msg', { conversationID, seq, userID: anna.userID });
  await told(anna, 2101, (t) => t.seq === seq);
});

test('private chat and another setting are set at once', async () => {
  const [anna, ben] = [await user('anna'), await user('ben')];
  const conversationID = `si_${[anna.userID, ben.userID].sort().join('_')}`;
  await ok(anna, '/conversation/set_conversations', {
    userIDs: [anna.userID], conversation: { conversationID, conversationType: 1, userID: ben.userID, isPrivateChat: true, isPinned: true, ex: 'e' },
  });
  const { conversation } = await ok(anna, '/conversation/get_conversation', { ownerUserID: anna.userID, conversationID });
  assert.deepEqual([conversation.isPrivateChat, conversation.isPinned, conversation.ex], [true, true, 'e']);
});

test('who joins a group that needs no approval has entered it, and was not invited', async () => {
  const [anna, ben] = [await online('anna'), await online('ben')];
  const groupID = await make(anna, [], { groupInfo: { groupName: 'g', groupType: 2, needVerification: 2 } });
  await ok(ben, '/group/join_group', { groupID, reqMessage: '', joinSource: 3, inviterUserID: ben.userID });
  assert.equal((await told(anna, 1510, (t) => t.group.groupID === groupID)).entrantUser.userID, ben.userID);
  assert.ok(!anna.line.messages().some((item) => item.contentType === 1509));
});

test('private chat that one sets is in what the other synchronizes next', async () => {
  const [anna, ben] = [await user('anna'), await user('ben')];
  const conversationID = `si_${[anna.userID, ben.userID].sort().join('_')}`;
  const row = (userID, more = {}) => ({ conversationID, conversationType: 1, userID, ...more });
  await ok(ben, '/conversation/set_conversations', { userIDs: [ben.userID], conversation: row(anna.userID, { isPinned: true }) });
  const known = await ok(ben, '/conversation/get_incremental_conversations', { userID: ben.userID, version: 0, versionID: '' });
  await ok(anna, '/conversation/set_conversations', { userIDs: [anna.userID], conversation: row(ben.userID, { isPrivateChat: true }) });
  const { update } = await until('it is there', async () => {
    const next = await ok(ben, '/conversation/get_incremental_conversations', { userID: ben.userID, version: known.version, versionID: known.versionID });
    return next.update?.length > 0 && next;
  });
  assert.deepEqual(update.map((item) => [item.conversationID, item.isPrivateChat, item.isPinned]), [[conversationID, true, true]]);
});

test('an at-message from a back end names whom it mentions', async () => {
  const [anna, ben] = [await online('anna'), await online('ben')];
  const groupID = await make(anna, [ben]);
  await ok(root, '/msg/send_msg', { sendID: anna.userID, groupID, sessionType: 3, contentType: 106, content: { text: '@ben', atUserList: [ben.userID], isAtSelf: false } });
  const got = await ben.line.message('it', (item) => item.contentType === 106);
  assert.deepEqual(got.atUserIDList, [ben.userID]);
});

test('a picture that a member has in a group is set, and told', async () => {
  const [anna, ben] = [await online('anna'), await online('ben')];
  const groupID = await make(anna, [ben]);
  await ok(ben, '/group/set_group_member_info', { members: [{ groupID, userID: ben.userID, faceURL: 'https://example.org/b.png' }] });
  assert.equal((await told(anna, 1516, (t) => t.changedUser.userID === ben.userID)).changedUser.faceURL, 'https://example.org/b.png');
  const { members } = await ok(anna, '/group/get_group_members_info', { groupID, userIDs: [ben.userID] });
  assert.equal(members[0].faceURL, 'https://example.org/b.png');
});

test('who is administrator no longer is listed among the members again', async () => {
  const [anna, ben, cleo] = [await user('anna'), await user('ben'), await user('cleo')];
  const groupID = await make(anna, [ben, cleo]);
  const role = (who, roleLevel) => ok(anna, '/group/set_group_member_info', { members: [{ groupID, userID: who.userID, roleLevel }] });
  const list = async () => (await ok(anna, '/group/get_group_member_list', { groupID, pagination: { pageNumber: 1, showNumber: 10 } })).members.map(({ userID }) => userID);
  const full = async () => (await ok(anna, '/group/get_full_group_member_user_ids', { groupID, idHash: 0 })).userIDs;
  const before = await list();
  const last = [ben, cleo].find(({ userID }) => userID === before.at(-1));
  await role(last, 60);
  await until('administrators come before members', async () => (await list())[1] === last.userID);
  await role(last, 20);
  await until('the order is that of before', async () => (await list()).join() === before.join());
  assert.deepEqual(await full(), before);
});

test('a group that goes to a muted member makes two changes, both of which are synchronized', async () => {
  const [anna, ben] = [await user('anna'), await user('ben')];
  const groupID = await make(anna, [ben]);
  await ok(anna, '/group/mute_group_member', { groupID, userID: ben.userID, mutedSeconds: 600 });
  const at_ = (known) => ok(anna, '/group/get_incremental_group_members', { groupID, version: known?.version ?? 0, versionID: known?.versionID ?? '' });
  const known = await at_();
  await ok(anna, '/group/transfer_group', { groupID, oldOwnerUserID: anna.userID, newOwnerUserID: ben.userID });
  const { update, version } = await until('both are there', async () => {
    const next = await at_(known);
    return next.update?.length === 2 && next;
  });
  assert.ok(version > known.version);
  const roles = Object.fromEntries(update.map((item) => [item.userID, [item.roleLevel, item.muteEndTime]]));
  assert.deepEqual(roles, { [ben.userID]: [100, 0], [anna.userID]: [20, 0] });
});

test('the place of a removed message has the time of a message', async () => {
  const [anna, ben] = [await online('anna'), await online('ben')];
  const groupID = await make(anna, [ben]);
  const id = `sg_${groupID}`;
  for (const text of ['one', 'two']) await say(anna, groupID, text);
  const { seq } = await ben.line.message('it', (item) => item.contentType === 101 && item.content.includes('one'));
  await has(ben, id, 'two');
  await ok(root, '/msg/delete_msg_phsical_by_seq', { conversationID: id, seqs: [seq] });
  const { msgs } = await ben.line.must('pullByRange', { userID: ben.userID, seqRanges: [{ conversationID: id, begin: seq, end: seq, num: 1 }], order: 0 });
  const [gap] = msgs[id].Msgs;
  assert.deepEqual([gap.seq, gap.status], [seq, 4]);
  assert.ok(gap.sendTime > 0, `${gap.sendTime}`);
});

test('a conversation whose newest message was removed is listed with its previous message', async () => {
  const [anna, ben] = [await online('anna'), await user('ben')];
  const conversationID = `si_${[anna.userID, ben.userID].sort().join('_')}`;
  const list = async () => (await ok(anna, '/conversation/get_sorted_conversation_list', { userID: anna.userID, conversationIDs: [conversationID], pagination: { pageNumber: 1, showNumber: 10 } })).conversationElems;
  for (const content of ['one', 'two']) await ok(root, '/msg/send_msg', { sendID: ben.userID, recvID: anna.userID, sessionType: 1, contentType: 101, content: { content } });
  const { seq } = await anna.line.message('it', (item) => item.contentType === 101 && item.content.includes('two'));
  const shown = async () => JSON.parse((await list())?.[0]?.msgInfo.content ?? '{}').content;
  await until('it is the newest', async () => await shown() === 'two');
  await ok(root, '/msg/delete_msg_phsical_by_seq', { conversationID, seqs: [seq] });
  assert.deepEqual((await list())?.map((item) => item.conversationID), [conversationID]);
});

test('friends that a back end imports have each other, and are notified', async () => {
  const [anna, ben] = [await online('anna'), await online('ben')];
  await ok(root, '/friend/import_friend', { ownerUserID: anna.userID, friendUserIDs: [ben.userID] });
  for (const [who, peer] of [[anna, ben], [ben, anna]]) {
    const { friendsInfo } = await ok(who, '/friend/get_friend_list', { userID: who.userID, pagination: { pageNumber: 1, showNumber: 10 } });
    assert.deepEqual(friendsInfo.map(({ friendUser }) => friendUser.userID), [peer.userID]);
  }
  await told(ben, 1201);
});

test('a token is valid at once where the clock is behind', async () => {
  const claims = JSON.parse(Buffer.from((await user('anna')).token.split('.')[1], 'base64url'));
  const now = Date.now() / 1000;
  assert.ok(claims.iat < now && claims.exp > now, JSON.stringify(claims));
  assert.ok((claims.nbf ?? 0) < now - 240, 'it is refused nowhere for being too new');
});
