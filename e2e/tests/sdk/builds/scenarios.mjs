// What users do with an SDK, the same for every build. `lacks` says why a build cannot do a scenario.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { sleep, until } from '../lib/wait.mjs';

const [WEB, MAC, BOT] = [5, 4, 12];
const [MARKDOWN, STREAM, EARLIER] = [118, 143, 2101];
const [TOKEN_KICKED, NO_PERMISSION] = [1506, 1002];

const pair = async (world) => [await world.user('alice'), await world.user('bob')];
const chatOf = (a, b) => `si_${[a.userID ?? a, b.userID ?? b].sort().join('_')}`;
const heard = (client, name, matches = () => true) => until(`${client.userID} hears ${name}`, async () => {
  const found = (await client.events(name)).map((event) => event.data).find(matches);
  return found && { found };
});
const seen = (client, clientMsgID) => until(`${client.userID} has ${clientMsgID}`, async () =>
  (await client.inbox()).find((message) => message.clientMsgID === clientMsgID));
async function say(from, to, text) {
  const answer = await from.send(typeof to === 'string' ? { groupID: to } : { recvID: to.userID }, text);
  assert.ok(answer.ok, JSON.stringify(answer));
  return answer.data;
}
async function send(from, to, message) {
  return from.must('sendMessageNotOss', { recvID: to.userID, groupID: '', message });
}
const conversation = async (client, id) => (await client.must('getConversationListSplit', { offset: 0, count: 100 })).find((item) => item.conversationID === id);
const history = async (client, conversationID, count = 50) =>
  (await client.must('getAdvancedHistoryMessageList', { conversationID, startClientMsgID: '', count, lastMinSeq: 0, viewType: 0 })).messageList;
const group = (owner, others) => owner.must('createGroup', {
  memberUserIDs: others.map((member) => member.userID), adminUserIDs: [], groupInfo: { groupName: 'team', groupType: 2 }, ownerUserID: owner.userID,
});
const members = async (client, groupID) =>
  (await client.must('getGroupMemberList', { groupID, offset: 0, count: 100, filter: 0 })).map((member) => member.userID).sort();
const friendIDs = async (client) => (await client.must('getFriendListPage', { offset: 0, count: 10, filterBlack: false }))
  .map((friend) => friend.userID ?? friend.friendInfo?.userID);

async function befriend(alice, bob) {
  await alice.must('addFriend', { toUserID: bob.userID, reqMsg: 'hello' });
  await heard(bob, 'OnFriendApplicationAdded');
  await bob.must('acceptFriendApplication', { toUserID: alice.userID, handleMsg: 'welcome' });
  await heard(alice, 'OnFriendApplicationAccepted');
  await until('the friend is listed', async () => (await friendIDs(alice)).includes(bob.userID));
}

async function logInAndOut(world) {
  const alice = await world.user('alice');
  assert.equal((await alice.must('getSelfUserInfo')).userID, alice.userID);
  await alice.must('logout');
  const again = await alice.login(world, alice.userID, await world.token(alice.userID));
  assert.ok(again.ok, JSON.stringify(again));
  await until('it is logged in', async () => await alice.must('getLoginStatus') === 3);
}

async function talk(world) {
  const [alice, bob] = await pair(world);
  for (let i = 0; i < 10; i++) {
    await say(alice, bob, `to bob ${i}`);
    await say(bob, alice, `to alice ${i}`);
  }
  const texts = (name) => Array.from({ length: 10 }, (_, i) => `to ${name} ${i}`);
  assert.deepEqual(await bob.received(alice.userID, 10), texts('bob'));
  assert.deepEqual(await alice.received(bob.userID, 10), texts('alice'));
}

async function absence(world) {
  const alice = await world.user('alice');
  const bobID = await world.register('bob');
  for (let i = 0; i < 30; i++) await say(alice, { userID: bobID }, `away ${i}`);
  const bob = await world.device(bobID);
  const id = chatOf(alice, bobID);
  await until('30 are unread', async () => (await conversation(bob, id))?.unreadCount === 30);
  assert.deepEqual((await history(bob, id)).map((message) => message.textElem?.content), Array.from({ length: 30 }, (_, i) => `away ${i}`));
}

async function kinds(world) {
  const [alice, bob] = await pair(world);
  const earlier = await say(alice, bob, 'earlier');
  const picture = { uuid: 'u', type: 'png', size: 3, width: 2, height: 1, url: 'http://x/p.png' };
  const all = [
    [102, 'createImageMessageByURL', { sourcePicture: picture, bigPicture: picture, snapshotPicture: picture, sourcePath: '' }, (m) => m.pictureElem.sourcePicture.url],
    [103, 'createSoundMessageByURL', { uuid: 'u', soundPath: '', sourceUrl: 'http://x/s.mp3', dataSize: 9, duration: 2 }, (m) => m.soundElem.duration],
    [105, 'createFileMessageByURL', { filePath: '', fileName: 'a.txt', uuid: 'f', sourceUrl: 'http://x/a.txt', fileSize: 7 }, (m) => m.fileElem.fileName],
    [107, 'createMergerMessage', { messageList: [earlier], title: 'talk', summaryList: ['a: earlier'] }, (m) => m.mergeElem.multiMessage.length],
    [108, 'createCardMessage', { userID: alice.userID, nickname: 'A', faceURL: '', ex: '' }, (m) => m.cardElem.nickname],
    [109, 'createLocationMessage', { description: 'here', longitude: 13.4, latitude: 52.5 }, (m) => m.locationElem.latitude],
    [110, 'createCustomMessage', { data: '{"k":1}', extension: 'e', description: 'd' }, (m) => m.customElem.data],
    [115, 'createFaceMessage', { index: 3, data: ':-)' }, (m) => m.faceElem.data],
  ];
  const expected = ['http://x/p.png', 2, 'a.txt', 1, 'A', 52.5, '{"k":1}', ':-)'];
  for (const [index, [kind, create, parameters, shown]] of all.entries()) {
    const sent = await send(alice, bob, await alice.must(create, parameters));
    const got = await seen(bob, sent.clientMsgID);
    assert.deepEqual([got.contentType, shown(got)], [kind, expected[index]], create);
  }
}

async function friends(world) {
  const [alice, bob] = await pair(world);
  await befriend(alice, bob);
  for (const [client, peer] of [[alice, bob], [bob, alice]]) {
    await until('the friend is listed', async () => (await friendIDs(client)).includes(peer.userID));
  }
  await alice.must('deleteFriend', bob.userID);
  await heard(alice, 'OnFriendDeleted');
  await until('the friend is gone', async () => !(await friendIDs(alice)).includes(bob.userID));
}

async function refusedFriend(world) {
  const [alice, bob] = await pair(world);
  await alice.must('addFriend', { toUserID: bob.userID, reqMsg: 'hello' });
  await heard(bob, 'OnFriendApplicationAdded');
  await bob.must('refuseFriendApplication', { toUserID: alice.userID, handleMsg: 'no' });
  await heard(alice, 'OnFriendApplicationRejected');
  assert.deepEqual(await friendIDs(alice), []);
}

async function blocked(world) {
  const [alice, bob] = await pair(world);
  await bob.must('addBlack', { toUserID: alice.userID, ex: '' });
  const refused = await alice.send({ recvID: bob.userID }, 'let me in');
  assert.deepEqual([refused.ok, refused.errCode], [false, 1302], JSON.stringify(refused));
  await until('it is listed', async () => (await bob.must('getBlackList')).some((black) => black.userID === alice.userID));
  await bob.must('removeBlack', alice.userID);
  await say(alice, bob, 'thank you');
  assert.deepEqual(await bob.received(alice.userID, 1), ['thank you']);
}

async function groupChat(world) {
  const people = [await world.user('anna'), await world.user('ben'), await world.user('cleo')];
  const [anna, ...others] = people;
  const { groupID } = await group(anna, others);
  for (const member of others) await heard(member, 'OnJoinedGroupAdded', (joined) => joined.groupID === groupID);
  for (const [index, member] of people.entries()) await say(member, groupID, `from ${index}`);
  for (const member of people) {
    for (const [index, sender] of people.entries()) {
      if (sender !== member) assert.deepEqual(await member.received(sender.userID, 1), [`from ${index}`]);
    }
  }
}

async function membership(world) {
  const [anna, ben, cleo] = [await world.user('anna'), await world.user('ben'), await world.user('cleo')];
  const { groupID } = await group(anna, [ben]);
  await heard(ben, 'OnJoinedGroupAdded');
  await anna.must('inviteUserToGroup', { groupID, reason: '', userIDList: [cleo.userID] });
  await heard(cleo, 'OnJoinedGroupAdded');
  await until('three are in', async () => (await members(anna, groupID)).length === 3);
  await anna.must('kickGroupMember', { groupID, reason: 'out', userIDList: [ben.userID] });
  await heard(ben, 'OnJoinedGroupDeleted', (left) => left.groupID === groupID);
  await until('he is out', async () => !(await members(anna, groupID)).includes(ben.userID));
  await cleo.must('quitGroup', groupID);
  await until('one is in', async () => (await members(anna, groupID)).length === 1);
  await anna.must('dismissGroup', groupID);
  await heard(anna, 'OnGroupDismissed', (gone) => gone.groupID === groupID);
}

async function application(world) {
  const [anna, ben] = [await world.user('anna'), await world.user('ben')];
  const { groupID } = await group(anna, []);
  await ben.must('joinGroup', { groupID, reqMsg: 'may I', joinSource: 3 });
  await heard(anna, 'OnGroupApplicationAdded', (asked) => asked.userID === ben.userID);
  await anna.must('acceptGroupApplication', { groupID, fromUserID: ben.userID, handleMsg: 'yes' });
  await heard(ben, 'OnJoinedGroupAdded', (joined) => joined.groupID === groupID);
  await say(ben, groupID, 'here I am');
  assert.deepEqual(await anna.received(ben.userID, 1), ['here I am']);
}

async function revoke(world) {
  const [alice, bob] = await pair(world);
  const sent = await say(alice, bob, 'a slip');
  await seen(bob, sent.clientMsgID);
  const conversationID = chatOf(alice, bob);
  await alice.must('revokeMessage', { conversationID, clientMsgID: sent.clientMsgID });
  const { found } = await heard(bob, 'OnNewRecvMessageRevoked', (data) => data.clientMsgID === sent.clientMsgID);
  assert.equal(found.revokerID, alice.userID);
  const again = await world.device(alice.userID, MAC);
  const now = await history(again, conversationID);
  assert.deepEqual(now.map((message) => message.contentType), [EARLIER]);
  assert.ok(!JSON.stringify(now).includes('a slip'), JSON.stringify(now));
}

async function reading(world) {
  const [alice, bob] = await pair(world);
  const id = chatOf(alice, bob);
  const sent = await say(alice, bob, 'read me');
  await until('one is unread', async () => (await conversation(bob, id))?.unreadCount === 1);
  await bob.must('markConversationMessageAsRead', id);
  const { found } = await heard(alice, 'OnRecvC2CReadReceipt', (receipts) => receipts.some((receipt) => receipt.userID === bob.userID));
  assert.ok(found[0].msgIDList.includes(sent.clientMsgID), JSON.stringify(found));
  await until('none is unread', async () => (await conversation(bob, id)).unreadCount === 0);
}

async function deleting(world) {
  const [alice, bob] = await pair(world);
  const conversationID = chatOf(alice, bob);
  const sent = [];
  for (const text of ['one', 'two', 'three']) sent.push(await say(alice, bob, text));
  await seen(bob, sent[2].clientMsgID);
  await bob.must('deleteMessage', { conversationID, clientMsgID: sent[1].clientMsgID });
  const again = await world.device(bob.userID, MAC);
  assert.deepEqual((await history(again, conversationID)).map((message) => message.textElem?.content), ['one', 'three']);
  assert.equal((await history(alice, conversationID)).length, 3);
}

async function settings(world) {
  const [alice, bob] = await pair(world);
  await say(alice, bob, 'hello');
  const id = chatOf(alice, bob);
  await until('a conversation', () => conversation(bob, id));
  await bob.must('setConversation', { conversationID: id, isPinned: true, recvMsgOpt: 2 });
  const again = await world.device(bob.userID, MAC);
  await until('the other device has it', async () => {
    const now = await conversation(again, id);
    return now?.isPinned === true && now.recvMsgOpt === 2;
  });
}

async function profile(world) {
  const [alice, bob] = await pair(world);
  await befriend(alice, bob);
  await bob.must('setSelfInfo', { nickname: 'Robert' });
  await heard(alice, 'OnFriendInfoChanged', (friend) => friend.nickname === 'Robert');
  await until('it is his own', async () => (await bob.must('getSelfUserInfo')).nickname === 'Robert');
}

async function strangers(world) {
  const [alice, bob] = await pair(world);
  const found = await alice.must('getUsersInfo', [bob.userID, 'nobody-at-all', bob.userID]);
  const ids = new Set(found.map((who) => who.userID ?? who.publicInfo?.userID).filter((id) => id !== 'nobody-at-all'));
  assert.deepEqual([...ids], [bob.userID], JSON.stringify(found));
}

async function presence(world) {
  const alice = await world.user('alice');
  const bobID = await world.register('bob');
  await alice.must('subscribeUsersStatus', [bobID]);
  const seenAs = (status) => heard(alice, 'OnUserStatusChanged', (data) => data.userID === bobID && data.status === status);
  const bob = await world.device(bobID);
  await seenAs(1);
  await bob.close();
  await seenAs(0);
}

async function secondLogin(world) {
  const userID = await world.register('alice');
  const token = await world.token(userID);
  const first = await world.page();
  assert.ok((await first.login(world, userID, token)).ok);
  const second = await world.device(userID);
  assert.equal((await world.rest('/user/get_users_info', { userIDs: [userID] }, token)).errCode, TOKEN_KICKED);
  await first.event('OnKickedOffline');
  await sleep(1500);
  assert.equal((await second.events('OnKickedOffline')).length, 0);
  assert.equal(await second.must('getLoginStatus'), 3);
}

async function forcedOut(world) {
  const userID = await world.register('alice');
  const token = await world.token(userID);
  const alice = await world.page();
  assert.ok((await alice.login(world, userID, token)).ok);
  await world.must('/auth/force_logout', { userID, platformID: WEB });
  assert.equal((await world.rest('/user/get_users_info', { userIDs: [userID] }, token)).errCode, TOKEN_KICKED);
  await alice.event('OnKickedOffline');
}

async function cut(world) {
  const alice = await world.user('alice');
  const bobID = await world.register('bob');
  const line = await world.cuttable();
  const bob = await world.device(bobID, WEB, line.ws);
  await say(alice, bob, 'before');
  await bob.received(alice.userID, 1);
  await sleep(5500); // SDKs sync at most once in five seconds
  const connects = (await bob.events('OnConnectSuccess')).length;
  line.cut();
  await say(alice, bob, 'meanwhile');
  await until('it is connected again', async () => (await bob.events('OnConnectSuccess')).length > connects);
  await say(alice, bob, 'after');
  const id = chatOf(alice, bob);
  await until('all three are there', async () => (await history(bob, id)).length === 3);
  assert.deepEqual((await history(bob, id)).map((message) => message.textElem?.content), ['before', 'meanwhile', 'after']);
}

async function bot(world) {
  const alice = await world.user('alice');
  const robot = await world.device(await world.register('robot'), BOT);
  await say(alice, robot, 'what is the time?');
  assert.deepEqual(await robot.received(alice.userID, 1), ['what is the time?']);
  await say(robot, alice, 'five to twelve');
  assert.deepEqual(await alice.received(robot.userID, 1), ['five to twelve']);
}

/** Begins a stream of `writer` to somebody; how to append to it, and end it. */
async function stream(world, writer, recvID, type) {
  const clientMsgID = `stream-${randomUUID()}`;
  await world.must('/msg/send_msg', { sendID: writer, recvID, sessionType: 1, clientMsgID, contentType: STREAM, content: { type, content: '' } });
  const append = (startIndex, packets, end = false) =>
    world.must('/msg/append_stream_msg', { conversationID: chatOf(writer, recvID), clientMsgID, startIndex, packets, end });
  return { clientMsgID, append };
}
/** What applications are told of a stream, in order. */
const told = async (client, clientMsgID) => (await client.events('OnRecvCustomBusinessMessage'))
  .map(({ data }) => data).filter(({ key }) => key === 'openim.stream').map(({ data }) => JSON.parse(data)).filter((tip) => tip.clientMsgID === clientMsgID);
async function streaming(world) {
  const alice = await world.user('alice');
  const writer = await world.register('writer');
  const conversationID = chatOf(writer, alice);
  const packets = ['It was ', 'the best ', 'of ', 'times'];
  const { clientMsgID, append } = await stream(world, writer, alice.userID, 'text');
  for (const [index, packet] of packets.entries()) await append(index, [packet]);
  await until('it is seen growing', async () => {
    const known = [];
    for (const tip of await told(alice, clientMsgID)) known.push(...(tip.packets ?? []).slice(known.length - tip.startIndex));
    return known.join('') === packets.join('');
  });
  assert.ok(!(await alice.inbox()).some((message) => message.clientMsgID === clientMsgID), 'it is a message only when it has ended');
  await append(packets.length, ['.'], true);
  await seen(alice, clientMsgID);
  const again = await world.device(alice.userID, MAC);
  for (const client of [alice, again]) {
    assert.equal((await conversation(client, conversationID)).unreadCount, 1);
    assert.deepEqual((await history(client, conversationID)).map((message) => [message.clientMsgID, message.textElem?.content]), [[clientMsgID, 'It was the best of times.']]);
  }
  assert.equal((await alice.inbox()).filter((message) => message.clientMsgID === clientMsgID).length, 1);
}

/** Markdown, which none of these cores knows: `detail` is what they hand over of contents that they do not know. */
async function markdown(world) {
  const alice = await world.user('alice');
  const sendID = await world.register('writer');
  const text = '**bold** \u{1f44d}';
  const sent = await world.must('/msg/send_msg', { sendID, recvID: alice.userID, sessionType: 1, contentType: MARKDOWN, content: { content: text, detail: text } });
  const got = await seen(alice, sent.clientMsgID);
  assert.deepEqual([got.contentType, got.notificationElem.detail], [MARKDOWN, text]);
}

async function banned(world) {
  const alice = await world.user('alice');
  await world.must('/user/ban_user', { userIDs: [alice.userID] });
  await alice.event('OnKickedOffline');
  assert.equal((await world.rest('/auth/get_user_token', { userID: alice.userID, platformID: WEB })).errCode, NO_PERMISSION);
  await world.must('/user/unban_user', { userIDs: [alice.userID] });
  const again = await world.device(alice.userID);
  assert.equal(await again.must('getLoginStatus'), 3);
}

async function readByBackEnd(world) {
  const [alice, bob] = await pair(world);
  const { groupID } = await group(alice, [bob]);
  await say(alice, bob, 'to you');
  await say(alice, groupID, 'to all');
  const ids = [chatOf(alice, bob), `sg_${groupID}`];
  for (const id of ids) await until('it is unread', async () => (await conversation(bob, id))?.unreadCount > 0);
  await world.must('/msg/clear_conversations_unread_count', { userID: bob.userID, conversationIDs: ids });
  for (const id of ids) await until('it is read', async () => (await conversation(bob, id)).unreadCount === 0);
  const again = await world.device(bob.userID, MAC);
  for (const id of ids) assert.equal((await conversation(again, id)).unreadCount, 0);
}

async function changedByBackEnd(world) {
  const [alice, bob] = await pair(world);
  const conversationID = chatOf(alice, bob);
  const { clientMsgID } = await say(alice, bob, 'before');
  const { seq } = await seen(bob, clientMsgID);
  const { msgs } = await world.must('/msg/pull_msg_by_seq', { userID: bob.userID, seqRanges: [{ conversationID, begin: seq, end: seq, num: 1 }] });
  const oldContent = Buffer.from(msgs[conversationID].Msgs[0].content, 'base64').toString();
  await world.must('/msg/modify_message', { conversationID, seq, oldContent, newContent: JSON.stringify({ content: 'after' }) });
  const of = (key) => heard(bob, 'OnRecvCustomBusinessMessage', (data) => data.key === key);
  const edit = JSON.parse((await of('openim.messageEdited')).found.data);
  assert.deepEqual([edit.clientMsgID, JSON.parse(edit.content).content], [clientMsgID, 'after']);
  const again = await world.device(bob.userID, MAC);
  assert.deepEqual((await history(again, conversationID)).map((message) => message.textElem?.content), ['after']);
  const folder = { ownerUserID: bob.userID, name: 'work', order: 1, conversationGroupType: 0, conversationID };
  const made = await world.must('/conversation/create_conversation_group', folder);
  const change = JSON.parse((await of('openim.conversationGroup')).found.data);
  assert.deepEqual([change.change, change.conversationGroupIDs], ['added', [made.group.conversationGroupID]]);
  assert.ok(await conversation(bob, conversationID), 'the conversation stays as it is');
}

async function unregistered(world) {
  const [alice, bob] = await pair(world);
  await befriend(alice, bob);
  await world.must('/user/unregister_user', { userIDs: [bob.userID] });
  await bob.event('OnKickedOffline');
  await heard(alice, 'OnFriendDeleted', (friend) => friend.userID === bob.userID);
  await until('the friend is gone', async () => !(await friendIDs(alice)).includes(bob.userID));
}

export const scenarios = [
  { title: 'log in, log out, log in again', run: logInAndOut },
  { title: 'text both ways, in order, once', run: talk },
  { title: '30 messages of an absence, unread count', run: absence },
  { title: 'eight other kinds of content', run: kinds },
  { title: 'friends: apply, accept, list, delete', run: friends },
  { title: 'friends: apply, refuse', run: refusedFriend },
  { title: 'block list', run: blocked },
  { title: 'group of three', run: groupChat },
  { title: 'group: invite, kick, quit, dismiss', run: membership },
  { title: 'group: apply, accept', run: application },
  { title: 'revoke', run: revoke },
  { title: 'unread counts and read receipts', run: reading },
  { title: 'delete a message for oneself', run: deleting },
  { title: 'settings reach the other device', run: settings },
  { title: 'a new nickname reaches friends', run: profile },
  { title: 'profiles, one unknown and one asked for twice', run: strangers },
  { title: 'presence', run: presence,
    lacks: { 'wasm-patch': 'this core tells the application of a state that is pushed only when it equals the previous one (an inverted comparison); the gateway pushes both' } },
  { title: 'a second login ends the first', run: secondLogin },
  { title: 'forced out by the back end', run: forcedOut },
  { title: 'banned by the back end, and admitted again', run: banned },
  { title: 'read by the back end, on all devices', run: readByBackEnd,
    lacks: { js: 'this package ignores receipts (2200) of the user itself, so a device that is logged in keeps its unread count; after the next login it is right' } },
  { title: 'modified and filed by the back end', run: changedByBackEnd },
  { title: 'a friend is erased by the back end', run: unregistered },
  { title: 'a cut connection misses nothing', run: cut,
    lacks: { js: 'the files that this package names as its entry points were compiled so that pulling after a reconnection throws before anything is sent: a spread of an iterator became `[].concat(iterator)`. With `lib/index.modern.mjs` of the same package the scenario passes' } },
  { title: 'a bot on platform 12', run: bot },
  { title: 'a stream is seen growing, and is one message', run: streaming },
  { title: 'the text of a Markdown message', run: markdown },
];
