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
