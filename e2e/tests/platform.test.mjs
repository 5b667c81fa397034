// The documented platform routes that upstream's open edition lacks: what they do, who is told, and what they refuse.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Socket } from './sdk/lib/socket.mjs';
import { until } from './sdk/lib/wait.mjs';
import { admin, as, at, login, ok, root, user } from './lib/api.mjs';
import { save, show } from './lib/shown.mjs';

const lines = [];
before(login);
after(() => { for (const line of lines) line.close(); save('platform'); });

const page = { pagination: { pageNumber: 1, showNumber: 10 } };
const HAS_READ = 2200;
const BUSINESS = 2001;

async function online(name) {
  const who = await user(name);
  who.line = await Socket.open(at.ws, who);
  lines.push(who.line);
  return who;
}
const chatOf = (a, b) => `si_${[a.userID, b.userID].sort().join('_')}`;
const say = (from, to, text, more = {}) => ok(root, '/msg/send_msg', { sendID: from.userID, recvID: to.userID, content: { content: text }, contentType: 101, sessionType: 1, ...more });
const make = async (owner, members, more = {}) => (await ok(owner, '/group/create_group', {
  ownerUserID: owner.userID, memberUserIDs: members.map(({ userID }) => userID), groupInfo: { groupName: 'g', groupType: 2, ...more },
})).groupInfo.groupID;
/** Calls a route of this file's, which works. */
async function works(who, path, body) {
  const data = await ok(who, path, body);
  show(path, 'works');
  return data;
}
const tips = (message) => JSON.parse(JSON.parse(message.content).detail);
const business = (message) => JSON.parse(tips(message).data);
/** The places of a user in conversations. */
const seqs = async (who) => (await who.line.must('readAndMaxSeqs', { userID: who.userID, conversationIDs: [] })).seqs;
const has = (who, id, count) => until(`${who.name} has ${count} messages`, async () => (await seqs(who))[id]?.maxSeq >= count);
/** What was pushed to somebody before this is told. */
async function soFar(who, kind) {
  const marker = `marker ${Math.random()}`;
  await ok(root, '/msg/send_business_notification', { sendUserID: who.userID, recvUserID: who.userID, key: marker, data: '{}' });
  await who.line.message(marker, (message) => message.contentType === BUSINESS && tips(message).key === marker);
  return who.line.messages().filter((message) => message.contentType === kind);
}

describe('read positions', () => {
  let alice, bob, id;
  const counts = async (path = 'get_conversations_unread_count', ids = [id]) => (await works(root, `/msg/${path}`, { userID: bob.userID, conversationIDs: ids })).unreadCount;
  before(async () => {
    [alice, bob] = [await online('alice'), await online('bob')];
    id = chatOf(alice, bob);
    for (let i = 1; i <= 5; i++) await say(alice, bob, `number ${i}`);
    await has(bob, id, 5);
  });

  test('a back end reads how much is unread, and 0 for what is unknown', async () => {
    assert.deepEqual(await counts(undefined, [id, 'si_nobody_nowhere', id]), { [id]: 5, si_nobody_nowhere: 0 });
  });

  test('a position rises, never falls, ends with the conversation, and the other side hears nothing', async () => {
    const mark = (seq) => works(root, '/msg/mark_conversation_read', { userID: bob.userID, conversationID: id, seq });
    await mark(3);
    assert.deepEqual(await counts(), { [id]: 2 });
    await mark(1);
    assert.deepEqual(await counts(), { [id]: 2 });
    assert.deepEqual(await soFar(bob, HAS_READ), [], 'a device would show that nothing is unread');
    await mark(1000);
    assert.equal((await seqs(bob))[id].hasReadSeq, 5);
    const told = tips(await bob.line.message('it is read', (message) => message.contentType === HAS_READ));
    assert.deepEqual(told, { markAsReadUserID: bob.userID, conversationID: id, seqs: [4, 5], hasReadSeq: 5 });
    assert.deepEqual(await soFar(alice, HAS_READ), []);
    for (const seq of [0, -1]) assert.equal((await admin('/msg/mark_conversation_read', { userID: bob.userID, conversationID: id, seq })).errCode, 1001);
    assert.equal((await admin('/msg/mark_conversation_read', { userID: bob.userID, conversationID: 'si_x_y', seq: 1 })).errCode, 1004);
  });

  test('a count is set, also back, as far as there are messages', async () => {
    const reset = (num) => works(root, '/msg/reset_conversation_unread', { userID: bob.userID, conversationIDs: [id], num });
    for (const [num, unread] of [[2, 2], [0, 0], [100, 5]]) {
      await reset(num);
      assert.deepEqual(await counts(), { [id]: unread }, `${num}`);
    }
    assert.equal((await admin('/msg/reset_conversation_unread', { userID: bob.userID, conversationIDs: [id], num: -1 })).errCode, 1001);
    const withUnknown = { userID: bob.userID, conversationIDs: [id, 'si_x_y'], num: 1 };
    assert.equal((await admin('/msg/reset_conversation_unread', withUnknown)).errCode, 1004);
    assert.deepEqual(await counts(), { [id]: 5 }, 'nothing of it was done');
  });

  test('what was cleared is not unread, and a reset does not bring it back', async () => {
    await ok(bob, '/msg/clear_conversation_msg', { userID: bob.userID, conversationIDs: [id] });
    await say(alice, bob, 'number 6');
    await has(bob, id, 6);
    await works(root, '/msg/reset_conversation_unread', { userID: bob.userID, conversationIDs: [id], num: 100 });
    assert.deepEqual(await counts(), { [id]: 1 });
  });

  test('conversations are read to their end, and the own devices are told', async () => {
    const groupID = await make(alice, [bob]);
    const group = `sg_${groupID}`;
    await say(alice, bob, 'to all', { sessionType: 3, recvID: '', groupID });
    await until('it is there', async () => (await counts(undefined, [group]))[group] > 0);
    const ids = [id, group, 'si_x_y'];
    assert.deepEqual(await counts('clear_conversations_unread_count', ids), { [id]: 0, [group]: 0, si_x_y: 0 });
    const told = tips(await bob.line.message('the group is read', (message) => message.contentType === HAS_READ && tips(message).conversationID === group));
    assert.equal(told.hasReadSeq, (await seqs(bob))[group].maxSeq);
    const before = (await soFar(bob, HAS_READ)).length;
    await counts('clear_conversations_unread_count', ids);
    assert.equal((await soFar(bob, HAS_READ)).length, before, 'nothing changed');
  });
});

describe('requests', () => {
  const friends = async (who, side) => {
    const data = await ok(who, `/friend/get_${side}friend_apply_list`, { userID: who.userID, ...page });
    return [data.total, (data.FriendRequests ?? data.friendRequests ?? []).map(({ fromUserID }) => fromUserID)];
  };

  test('who deletes a friend request deletes it for itself; asking again shows it again', async () => {
    const [alice, bob] = [await user('alice'), await user('bob')];
    const apply = () => ok(alice, '/friend/add_friend', { fromUserID: alice.userID, toUserID: bob.userID, reqMsg: 'hello' });
    await apply();
    await works(alice, '/friend/delete_friend_requests_from_user', { fromUserID: alice.userID, toUserIDs: [bob.userID, 'nobody'] });
    assert.deepEqual(await friends(alice, 'self_'), [0, []]);
    assert.deepEqual(await friends(bob, ''), [1, [alice.userID]], 'the receiver can still answer it');
    assert.equal((await ok(bob, '/friend/get_self_unhandled_apply_count', { userID: bob.userID, time: 0 })).count, 1);
    await works(bob, '/friend/delete_friend_requests_to_user', { toUserID: bob.userID, fromUserIDs: [alice.userID] });
    assert.deepEqual(await friends(bob, ''), [0, []]);
    assert.equal((await ok(bob, '/friend/get_self_unhandled_apply_count', { userID: bob.userID, time: 0 })).count, 0);
    await apply();
    assert.deepEqual([await friends(alice, 'self_'), await friends(bob, '')], [[1, [alice.userID]], [1, [alice.userID]]]);
    const answer = { fromUserID: alice.userID, toUserID: bob.userID, handleResult: 1, handleMsg: 'yes' };
    await works(bob, '/friend/delete_friend_requests_to_user', { toUserID: bob.userID, fromUserIDs: [alice.userID] });
    await ok(bob, '/friend/add_friend_response', answer);
    assert.equal((await friends(alice, 'self_'))[0], 1, 'a request that is hidden can be answered by who knows it');
    assert.deepEqual(await friends(bob, ''), [0, []]);
    for (const [path, body] of [['from', { fromUserID: alice.userID, toUserIDs: [] }], ['to', { toUserID: bob.userID, fromUserIDs: [] }]]) {
      assert.equal((await admin(`/friend/delete_friend_requests_${path}_user`, body)).errCode, 1001);
    }
  });

  test('a join request is deleted by who asked, or by the group, each for itself', async () => {
    const [owner, helper, asker] = [await user('owner'), await user('helper'), await user('asker')];
    const groupID = await make(owner, [], { needVerification: 1 });
    await ok(owner, '/group/invite_user_to_group', { groupID, invitedUserIDs: [helper.userID], reason: '' });
    const join = () => ok(asker, '/group/join_group', { groupID, reqMessage: 'may I', joinSource: 3, inviterUserID: asker.userID });
    const received = async () => (await ok(owner, '/group/get_recv_group_applicationList', { fromUserID: owner.userID, ...page })).total;
    const sent = async () => (await ok(asker, '/group/get_user_req_group_applicationList', { userID: asker.userID, ...page })).total;
    const both = async () => [await received(), await sent()];
    const of = async (who) => (await ok(who, '/group/get_specified_user_group_request_info', { groupID, userID: asker.userID })).total;
    const one = async () => [await of(owner), await of(asker)];
    await join();
    assert.deepEqual([await both(), await one()], [[1, 1], [1, 1]]);
    const byGroup = { groupID, userIDs: [asker.userID] };
    assert.equal((await as(helper, '/group/delete_group_requests_to_group', byGroup)).errCode, 1002, 'an ordinary member');
    await works(owner, '/group/delete_group_requests_to_group', byGroup);
    assert.deepEqual([await both(), await one()], [[0, 1], [0, 1]]);
    await join();
    await works(asker, '/group/delete_group_requests_from_user', { userID: asker.userID, groupIDs: [groupID] });
    assert.deepEqual([await both(), await one()], [[1, 0], [1, 0]]);
    await ok(owner, '/group/group_application_response', { groupID, fromUserID: asker.userID, handledMsg: 'yes', handleResult: 1 });
    assert.equal((await ok(owner, '/group/get_group_members_info', { groupID, userIDs: [asker.userID] })).members.length, 1);
    assert.equal((await admin('/group/delete_group_requests_to_group', { ...byGroup, groupID: 'nowhere' })).errCode, 1201);
  });

  test('the badge counts open join requests since it was cleared', async () => {
    const [owner, ...askers] = await Promise.all(['owner', 'one', 'two', 'three'].map(user));
    const groupID = await make(owner, [], { needVerification: 1 });
    const join = (who) => ok(who, '/group/join_group', { groupID, reqMessage: '', joinSource: 3, inviterUserID: who.userID });
    const badge = async (who = owner) => (await works(who, '/group/get_group_application_badge_count', { userID: who.userID })).count;
    assert.equal(await badge(), 0);
    await join(askers[0]);
    await join(askers[1]);
    assert.deepEqual([await badge(), await badge(askers[0])], [2, 0]);
    await ok(owner, '/group/group_application_response', { groupID, fromUserID: askers[0].userID, handledMsg: '', handleResult: 1 });
    assert.equal(await badge(), 1);
    await works(owner, '/group/clear_group_application_badge_count', { userID: owner.userID });
    assert.equal(await badge(), 0);
    await join(askers[2]);
    assert.equal(await badge(), 1);
    assert.equal((await ok(owner, '/group/get_recv_group_applicationList', { fromUserID: owner.userID, ...page })).total, 3, 'the requests stay');
  });
});

describe('conversation groups', () => {
  let alice, bob, cleo, chats;
  const route = (name, body, who = alice) => works(who, `/conversation/${name}`, { ownerUserID: alice.userID, ...body });
  const create = async (name, more = {}) => (await route('create_conversation_group', { name, order: 1, conversationGroupType: 0, ...more })).group;
  const all = (body = {}) => route('get_conversation_groups', body);
  const told = (change, id) => alice.line.message(`${change} ${id}`, (message) => {
    if (message.contentType !== BUSINESS || tips(message).key !== 'openim.conversationGroup') return false;
    const data = business(message);
    return data.change === change && data.conversationGroupIDs.includes(id);
  });
  before(async () => {
    alice = await online('alice');
    [bob, cleo] = [await user('bob'), await user('cleo')];
    chats = [chatOf(alice, bob), chatOf(alice, cleo)];
    for (const peer of [bob, cleo]) await say(peer, alice, 'hello');
    for (const id of chats) await has(alice, id, 1);
  });

  test('folders are created, changed, ordered and deleted, on all devices', async () => {
    const none = await all();
    assert.deepEqual([none.groups, none.maxVersion, none.full], [null, 0, true]);
    const work = await create('work', { ex: '{}', conversationID: chats[0] });
    assert.deepEqual(
      { ...work, conversationGroupID: '', createTime: 0 },
      { conversationGroupID: '', ownerUserID: alice.userID, name: 'work', order: 1, version: 1, ex: '{}', conversationIDs: [chats[0]], hidden: false, conversationGroupType: 0, createTime: 0 },
    );
    await told('added', work.conversationGroupID);
    const home = await create('home', { conversationGroupType: 1 });
    const changed = (await route('update_conversation_group', { conversationGroupID: work.conversationGroupID, Hidden: true, name: null })).group;
    assert.deepEqual([changed.name, changed.hidden, changed.ex], ['work', true, '{}']);
    await told('changed', work.conversationGroupID);
    const again = (await route('update_conversation_group', { conversationGroupID: work.conversationGroupID, hidden: false, name: 'office', ex: '' })).group;
    assert.deepEqual([again.name, again.hidden, again.ex], ['office', false, '']);
    const since = (await all()).maxVersion;
    await route('set_conversation_group_order', { orders: [{ conversationGroupID: home.conversationGroupID, order: 7 }] });
    const update = await all({ maxVersion: since });
    assert.deepEqual([update.groups.map(({ name, order }) => [name, order]), update.full, update.maxVersion], [[['home', 7]], false, since + 1]);
    assert.deepEqual((await all({ maxVersion: since + 1 })).groups, null);
    await route('delete_conversation_group', { conversationGroupID: home.conversationGroupID });
    await told('deleted', home.conversationGroupID);
    const left = await all({ maxVersion: since });
    assert.deepEqual([left.groups.map(({ name }) => name), left.full], [['office'], true]);
    assert.equal((await ok(alice, '/conversation/get_all_conversations', { ownerUserID: alice.userID })).conversations.length, 2, 'the conversations stay');
  });

  test('a conversation may be in several folders', async () => {
    const ids = [(await create('one')).conversationGroupID, (await create('two')).conversationGroupID];
    await route('add_conversations_to_groups', { conversationIDs: chats, conversationGroupIDs: ids });
    await route('add_conversations_to_groups', { conversationIDs: [chats[0]], conversationGroupIDs: [ids[0]] });
    await told('conversationsAdded', ids[1]);
    await route('remove_conversations_from_groups', { conversationIDs: [chats[0]], conversationGroupIDs: [ids[1]] });
    await told('conversationsRemoved', ids[1]);
    const { groups } = await all();
    assert.deepEqual(ids.map((id) => groups.find((group) => group.conversationGroupID === id).conversationIDs), [chats, [chats[1]]]);
  });

  test('many changes at once are all there, each with its version', async () => {
    const before = (await all()).maxVersion;
    const made = await Promise.all(Array.from({ length: 6 }, (_, i) => create(`at once ${i}`)));
    assert.deepEqual(made.map(({ version }) => version).sort((a, b) => a - b), made.map((_, i) => before + 1 + i));
    assert.equal((await all({ maxVersion: before })).groups.length, 6);
  });

  test('what is unknown or foreign is refused', async () => {
    const group = await create('mine');
    const refused = async (code, name, body, who = alice) => {
      const answer = await as(who, `/conversation/${name}`, { ownerUserID: alice.userID, ...body });
      assert.equal(answer.errCode, code, `${name} ${JSON.stringify(body)}: ${JSON.stringify(answer)}`);
    };
    await refused(1001, 'create_conversation_group', { name: '', order: 1 });
    await refused(1001, 'create_conversation_group', { name: 'x', conversationGroupType: 2 });
    await refused(1004, 'create_conversation_group', { name: 'x', conversationID: chatOf(bob, cleo) });
    await refused(1004, 'update_conversation_group', { conversationGroupID: 'x' });
    await refused(1004, 'add_conversations_to_groups', { conversationIDs: chats, conversationGroupIDs: [group.conversationGroupID, 'x'] });
    await refused(1001, 'set_conversation_group_order', { orders: [1, 2].map((order) => ({ conversationGroupID: group.conversationGroupID, order })) });
    await refused(1002, 'get_conversation_groups', {}, bob);
    assert.equal((await all()).groups.find(({ name }) => name === 'mine').conversationIDs, null, 'nothing of it was done');
  });
});

describe('bans', () => {
  const disabled = (body) => works(root, '/user/page_find_disable_users', { userIDs: [], ...page, ...body });

  test('who is banned is out at once, gets no token and cannot be sent for; messages wait', async () => {
    const [alice, bob] = [await online('alice'), await online('bob')];
    await works(root, '/user/ban_user', { userIDs: [alice.userID] });
    assert.equal((await as(alice, '/user/get_users_info', { userIDs: [alice.userID] })).errCode, 1506);
    await until('the connection is kicked', () => alice.line.kicked);
    assert.equal((await admin('/auth/get_user_token', { userID: alice.userID, platformID: 2 })).errCode, 1002);
    const fromAlice = { sendID: alice.userID, recvID: bob.userID, content: { content: 'x' }, contentType: 101, sessionType: 1 };
    assert.equal((await admin('/msg/send_msg', fromAlice)).errCode, 1002);
    await say(bob, alice, 'are you there');
    await works(root, '/user/ban_user', { userIDs: [alice.userID] });
    await works(root, '/user/unban_user', { userIDs: [alice.userID] });
    assert.equal((await as(alice, '/user/get_users_info', { userIDs: [alice.userID] })).errCode, 1506, 'old tokens stay ended');
    alice.token = (await ok(root, '/auth/get_user_token', { userID: alice.userID, platformID: 2 })).token;
    alice.line = await Socket.open(at.ws, alice);
    lines.push(alice.line);
    await has(alice, chatOf(alice, bob), 1);
    await ok(root, '/msg/send_msg', fromAlice);
  });

  test('the disabled users are listed with why', async () => {
    const [alice, bob, cleo] = await Promise.all(['alice', 'bob', 'cleo'].map(user));
    const userIDs = [alice, bob, cleo].map(({ userID }) => userID);
    await works(root, '/user/ban_user', { userIDs: [alice.userID, bob.userID] });
    await ok(root, '/user/unregister_user', { userIDs: [bob.userID] });
    const shown = async (body) => {
      const { users, total } = await disabled({ userIDs, ...body });
      return [(users ?? []).map(({ userID, nickname, status }) => [userID, nickname, status]), total];
    };
    const [banned, gone] = [[alice.userID, 'alice', 1], [bob.userID, '', 2]];
    assert.deepEqual(await shown({}), [[banned, gone], 2]);
    assert.deepEqual(await shown({ status: 1 }), [[banned], 1]);
    assert.deepEqual(await shown({ status: 2 }), [[gone], 1]);
    assert.deepEqual(await shown({ pagination: { pageNumber: 2, showNumber: 1 } }), [[gone], 2]);
    assert.deepEqual(await shown({ pagination: { pageNumber: 3, showNumber: 1 } }), [[], 2]);
    assert.ok((await disabled({})).total >= 2, 'all of them');
    assert.equal((await admin('/user/page_find_disable_users', { status: 3, ...page })).errCode, 1001);
  });

  test('administrators, accounts and strangers are not banned', async () => {
    const alice = await user('alice');
    const account = (await ok(root, '/user/add_notification_account', { nickName: 'News', faceURL: '', appMangerLevel: 3 })).userID;
    const ban = async (userIDs) => (await admin('/user/ban_user', { userIDs })).errCode;
    assert.deepEqual([await ban([alice.userID, 'nobody']), await ban([root.userID]), await ban([account]), await ban([])], [1101, 1001, 1001, 1001]);
    await ok(alice, '/user/get_users_info', { userIDs: [alice.userID] });
  });
});

test('a message is modified by who sent it or a back end, if it is still what they think', async () => {
  const [alice, bob] = [await online('alice'), await online('bob')];
  const id = chatOf(alice, bob);
  await say(alice, bob, 'one');
  await has(bob, id, 1);
  const [one, two, three] = ['one', 'two', 'three'].map((content) => JSON.stringify({ content }));
  const modify = (who, oldContent, newContent) => as(who, '/msg/modify_message', { conversationID: id, seq: 1, oldContent, newContent });
  assert.equal((await modify(bob, one, two)).errCode, 1002);
  assert.equal((await modify(await user('stranger'), one, two)).errCode, 1004);
  assert.equal((await modify(alice, two, three)).errCode, 1003);
  assert.equal((await modify(alice, one, 'no JSON')).errCode, 1001);
  const first = await works(alice, '/msg/modify_message', { conversationID: id, seq: 1, oldContent: one, newContent: two });
  assert.deepEqual([first.modifiedCount, first.modifiedTime > 1e12], [1, true]);
  const told = await bob.line.message('the change', (message) => message.contentType === BUSINESS && tips(message).key === 'openim.messageEdited');
  assert.deepEqual([business(told).content, business(told).version], [two, 1]);
  assert.deepEqual(await works(alice, '/msg/modify_message', { conversationID: id, seq: 1, oldContent: one, newContent: two }), first, 'without an answer it is repeated');
  const edits = (await soFar(bob, BUSINESS)).filter((message) => tips(message).key === 'openim.messageEdited').map((message) => business(message).version);
  assert.deepEqual(edits, [1, 1], 'and told again');
  assert.equal((await modify(alice, one, three)).errCode, 1003, 'it is compared with what is shown now');
  const both = await Promise.all([modify(root, two, three), modify(root, two, one)]);
  assert.deepEqual(both.map(({ errCode }) => errCode).sort(), [0, 1003], 'one of two');
  const pulled = await bob.line.must('pullBySeqs', { userID: bob.userID, conversations: [{ conversationID: id, seqs: [1] }] });
  const expected = both[0].errCode === 0 ? three : one;
  assert.equal(pulled.msgs[id].Msgs[0].content.toString(), expected);
});
