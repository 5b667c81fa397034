// What users do, by the unmodified SDK through the ingress.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { World, sleep, until } from '../lib/harness.mjs';

let world;
before(async () => { world = await World.open(); });
after(async () => { await world?.close(); });

test('a registered user logs in and is synced', async () => {
  const alice = await world.user('alice');
  assert.equal((await alice.call('getLoginStatus')).data, 3);
  const self = await alice.must('getSelfUserInfo');
  assert.equal(self.userID, alice.userID);
  assert.equal(self.nickname, 'alice');
  await alice.context.close();
});

test('a wrong token does not log in', async () => {
  const userID = await world.register('mallory');
  const client = await world.page();
  const other = await world.token(await world.register('other'));
  for (const token of ['rubbish', other]) {
    const answer = await client.login(world, userID, token, world.at.ws, false);
    const refused = answer.ok === false || await until('token event', async () =>
      (await client.events('OnUserTokenInvalid')).length + (await client.events('OnConnectFailed')).length > 0);
    assert.ok(refused);
    assert.equal((await client.events('OnConnectSuccess')).length, 0);
  }
  await client.context.close();
});

test('text goes both ways, in order', async () => {
  const [alice, bob] = [await world.user('alice'), await world.user('bob')];
  for (let i = 0; i < 5; i++) {
    const sent = await alice.send({ recvID: bob.userID }, `to bob ${i}`);
    assert.ok(sent.ok, JSON.stringify(sent));
    await bob.received(alice.userID, i + 1);
    assert.ok((await bob.send({ recvID: alice.userID }, `to alice ${i}`)).ok);
    await alice.received(bob.userID, i + 1);
  }
  assert.deepEqual(await bob.texts(alice.userID), [0, 1, 2, 3, 4].map((i) => `to bob ${i}`));
  assert.deepEqual(await alice.texts(bob.userID), [0, 1, 2, 3, 4].map((i) => `to alice ${i}`));
  await alice.context.close();
  await bob.context.close();
});

test('200 quick messages arrive exactly once', async () => {
  const [alice, bob] = [await world.user('alice'), await world.user('bob')];
  const outcomes = await alice.page.evaluate(async (recvID) => {
    const sends = [];
    for (let i = 0; i < 200; i++) sends.push(window.sendText({ recvID }, `quick ${i}`));
    return Promise.all(sends);
  }, bob.userID);
  assert.equal(outcomes.filter((outcome) => outcome.ok).length, 200);
  await bob.received(alice.userID, 200, 40_000);
  await sleep(1000);
  const texts = await bob.texts(alice.userID);
  assert.equal(texts.length, 200);
  assert.equal(new Set(texts).size, 200);
  await alice.context.close();
  await bob.context.close();
});

test('300 messages sent while away are there after login', async () => {
  const alice = await world.user('alice');
  const bobID = await world.register('bob');
  for (let i = 0; i < 300; i += 25) {
    const sent = await alice.page.evaluate(async ([recvID, first]) =>
      Promise.all(Array.from({ length: 25 }, (_, k) => window.sendText({ recvID }, `offline ${first + k}`))), [bobID, i]);
    assert.ok(sent.every((outcome) => outcome.ok));
  }
  const bob = await world.page();
  await bob.login(world, bobID, await world.token(bobID));
  const conversation = await until('the conversation with 300 unread', async () => {
    const list = await bob.must('getAllConversationList');
    return list.find((item) => item.userID === alice.userID && item.unreadCount === 300);
  });
  const found = new Set();
  let startClientMsgID = '';
  for (let page = 0; page < 20 && found.size < 300; page++) {
    const history = await bob.must('getAdvancedHistoryMessageList', {
      conversationID: conversation.conversationID, startClientMsgID, count: 40, lastMinSeq: 0, viewType: 0,
    });
    for (const message of history.messageList) found.add(message.textElem?.content);
    startClientMsgID = history.messageList[0]?.clientMsgID ?? '';
    if (history.isEnd) break;
  }
  assert.equal(found.size, 300);
  for (let i = 0; i < 300; i++) assert.ok(found.has(`offline ${i}`), `offline ${i} is missing`);
  await alice.context.close();
  await bob.context.close();
});

test('reading tells the sender', async () => {
  const [alice, bob] = [await world.user('alice'), await world.user('bob')];
  await alice.send({ recvID: bob.userID }, 'read me');
  await bob.received(alice.userID, 1);
  const conversation = await until('a conversation', async () =>
    (await bob.must('getAllConversationList')).find((item) => item.userID === alice.userID));
  await bob.must('markConversationMessageAsRead', conversation.conversationID);
  await alice.event('OnRecvC2CReadReceipt');
  await until('no unread', async () =>
    (await bob.must('getAllConversationList')).every((item) => item.unreadCount === 0));
  await alice.context.close();
  await bob.context.close();
});

test('friends: apply, accept, both have each other', async () => {
  const [alice, bob] = [await world.user('alice'), await world.user('bob')];
  await alice.must('addFriend', { toUserID: bob.userID, reqMsg: 'hello' });
  await bob.event('OnFriendApplicationAdded');
  await bob.must('acceptFriendApplication', { toUserID: alice.userID, handleMsg: 'welcome' });
  await alice.event('OnFriendApplicationAccepted');
  for (const [client, peer] of [[alice, bob], [bob, alice]]) {
    await until('the friend is listed', async () => {
      const friends = await client.must('getFriendListPage', { offset: 0, count: 10, filterBlack: false });
      return friends.some((friend) => (friend.userID ?? friend.friendInfo?.userID) === peer.userID);
    });
  }
  await alice.context.close();
  await bob.context.close();
});

test('a group of five: everybody gets everything', async () => {
  const members = [];
  for (const name of ['anna', 'ben', 'cleo', 'dan', 'eve']) members.push(await world.user(name));
  const [anna, ...others] = members;
  const group = await anna.must('createGroup', {
    memberUserIDs: others.map((member) => member.userID), adminUserIDs: [],
    groupInfo: { groupName: 'five', groupType: 2 }, ownerUserID: anna.userID,
  });
  for (const member of others) await member.event('OnJoinedGroupAdded');
  for (const [index, member] of members.entries()) {
    const sent = await member.send({ groupID: group.groupID }, `from ${index}`);
    assert.ok(sent.ok, JSON.stringify(sent));
  }
  for (const member of members) {
    for (const [index, sender] of members.entries()) {
      if (sender !== member) assert.deepEqual(await member.received(sender.userID, 1), [`from ${index}`]);
    }
  }
  for (const member of members) await member.context.close();
});

test('presence: watchers see who comes and goes', async () => {
  const alice = await world.user('alice');
  const bobID = await world.register('bob');
  await alice.must('subscribeUsersStatus', [bobID]);
  const bob = await world.page();
  await bob.login(world, bobID, await world.token(bobID));
  const seen = (status) => until(`status ${status}`, async () =>
    (await alice.events('OnUserStatusChanged')).some((event) => event.data.userID === bobID && event.data.status === status));
  await seen(1);
  await bob.context.close();
  await seen(0);
  await alice.context.close();
});

test('a second login kicks the first', async () => {
  const first = await world.user('alice');
  const second = await world.page();
  await second.login(world, first.userID, await world.token(first.userID));
  await first.event('OnKickedOffline');
  await sleep(1500);
  assert.equal((await second.events('OnKickedOffline')).length, 0);
  assert.equal((await second.call('getLoginStatus')).data, 3);
  await first.context.close();
  await second.context.close();
});

test('a cut connection comes back and misses nothing', async () => {
  const alice = await world.user('alice');
  const bobID = await world.register('bob');
  const line = await world.cuttable();
  const bob = await world.page();
  await bob.login(world, bobID, await world.token(bobID), line.ws);
  await alice.send({ recvID: bobID }, 'before');
  await bob.received(alice.userID, 1);
  await sleep(5500); // the SDK syncs at most once in five seconds
  const connects = (await bob.events('OnConnectSuccess')).length;
  line.cut();
  await alice.send({ recvID: bobID }, 'meanwhile');
  await until('reconnected', async () => (await bob.events('OnConnectSuccess')).length > connects);
  await alice.send({ recvID: bobID }, 'after');
  await until('all three', async () => new Set(await bob.texts(alice.userID)).size === 3, 30_000);
  await alice.context.close();
  await bob.context.close();
});
