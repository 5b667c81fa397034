// The rest of what users do, by the unmodified SDK through the ingress: every kind of message, files, revoke, delete, groups, devices.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { World, until } from '../lib/harness.mjs';

const MAC = 4;
let world;
before(async () => { world = await World.open(); });
after(async () => { await world?.close(); });

async function pair() {
  return Promise.all([world.user('alice'), world.user('bob')]);
}
const close = (...clients) => Promise.all(clients.map((client) => client.context.close()));
const single = (a, b) => `si_${[a.userID, b.userID].sort().join('_')}`;
const inbox = (client) => client.page.evaluate(() => window.received);
const seen = (client, clientMsgID) => until(`${client.userID} has ${clientMsgID}`, async () =>
  (await inbox(client)).find((message) => message.clientMsgID === clientMsgID), 20_000);
async function heard(client, name, matches = () => true) {
  return until(`${client.userID} hears ${name}`, async () => {
    const found = (await client.events(name)).map((event) => event.data).find(matches);
    return found && { found };
  }, 20_000);
}
async function send(from, to, message, method = 'sendMessage') {
  const target = { recvID: '', groupID: '', ...(to.userID ? { recvID: to.userID } : { groupID: to }) };
  return from.must(method, { ...target, message });
}

test('every kind of message arrives as it was made', async () => {
  const [alice, bob] = await pair();
  const picture = { uuid: 'u', type: 'png', size: 3, width: 2, height: 1, url: 'http://x/p.png' };
  const earlier = await send(alice, bob, await alice.must('createTextMessage', 'earlier'));
  const kinds = {
    101: ['createTextMessage', 'plain', (m) => m.textElem.content === 'plain'],
    102: ['createImageMessageByURL', { sourcePicture: picture, bigPicture: picture, snapshotPicture: picture, sourcePath: '' },
      (m) => m.pictureElem.sourcePicture.url === picture.url],
    103: ['createSoundMessageByURL', { uuid: 'u', soundPath: '', sourceUrl: 'http://x/s.mp3', dataSize: 9, duration: 2 }, (m) => m.soundElem.duration === 2],
    104: ['createVideoMessageByURL', { videoPath: '', duration: 3, videoType: 'mp4', snapshotPath: '', videoUUID: 'v', videoUrl: 'http://x/v.mp4', videoSize: 5,
      snapshotUUID: 's', snapshotSize: 1, snapshotUrl: 'http://x/s.png', snapshotWidth: 4, snapshotHeight: 5 }, (m) => m.videoElem.snapshotWidth === 4],
    105: ['createFileMessageByURL', { filePath: '', fileName: 'a.txt', uuid: 'f', sourceUrl: 'http://x/a.txt', fileSize: 7 }, (m) => m.fileElem.fileName === 'a.txt'],
    107: ['createMergerMessage', { messageList: [earlier], title: 'talk', summaryList: ['a: earlier'] }, (m) => m.mergeElem.multiMessage.length === 1],
    108: ['createCardMessage', { userID: alice.userID, nickname: 'A', faceURL: '', ex: '' }, (m) => m.cardElem.userID === alice.userID],
    109: ['createLocationMessage', { description: 'here', longitude: 13.4, latitude: 52.5 }, (m) => m.locationElem.latitude === 52.5],
    110: ['createCustomMessage', { data: '{"k":1}', extension: 'e', description: 'd' }, (m) => m.customElem.data === '{"k":1}'],
    114: ['createQuoteMessage', { text: 'why', message: JSON.stringify(earlier) }, (m) => m.quoteElem.quoteMessage.textElem.content === 'earlier'],
    115: ['createFaceMessage', { index: 3, data: ':-)' }, (m) => m.faceElem.index === 3],
    117: ['createAdvancedTextMessage', { text: 'look here', messageEntityList: [{ type: 'url', offset: 5, length: 4, url: 'http://x', ex: '' }] },
      (m) => m.advancedTextElem.messageEntityList[0].length === 4],
  };
  for (const [kind, [create, parameters, holds]] of Object.entries(kinds)) {
    // What is at a URL already is not uploaded.
    const method = create.endsWith('ByURL') ? 'sendMessageNotOss' : 'sendMessage';
    const sent = await send(alice, bob, await alice.must(create, parameters), method);
    const got = await seen(bob, sent.clientMsgID);
    assert.equal(got.contentType, Number(kind), create);
    assert.ok(holds(got), `${create}: ${JSON.stringify(got)}`);
  }
  await close(alice, bob);
});

test('a picture is uploaded to the object storage and can be fetched', async () => {
  const [alice, bob] = await pair();
  const outcome = await alice.page.evaluate(async (recvID) => {
    const bytes = new Uint8Array(6 * 1024 * 1024);
    for (let i = 0; i < bytes.length; i += 65_536) crypto.getRandomValues(bytes.subarray(i, i + 65_536));
    const file = new File([bytes], 'holiday.png', { type: 'image/png' });
    const picture = { uuid: crypto.randomUUID(), type: 'image/png', size: file.size, width: 10, height: 10, url: '' };
    const made = await window.im('createImageMessageByFile', { sourcePicture: picture, bigPicture: picture, snapshotPicture: picture, sourcePath: '', file });
    if (!made.ok) return made;
    const sum = Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
    return { sum, ...await window.im('sendMessage', { recvID, groupID: '', message: made.data }) };
  }, bob.userID);
  assert.ok(outcome.ok, JSON.stringify(outcome));
  const got = await seen(bob, outcome.data.clientMsgID);
  const { url } = got.pictureElem.sourcePicture;
  assert.ok(url.startsWith(`${world.at.api}/object/${alice.userID}/`), url);
  const sum = await bob.page.evaluate(async (address) => {
    const body = await (await fetch(address)).arrayBuffer();
    return Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', body)));
  }, url);
  assert.deepEqual(sum, outcome.sum);
  assert.ok((await alice.events('OnUploadComplete')).length >= 0);
  await close(alice, bob);
});

test('a revoked message is revoked for both, and in a quote too', async () => {
  const [alice, bob] = await pair();
  const sent = await send(alice, bob, await alice.must('createTextMessage', 'a slip'));
  const got = await seen(bob, sent.clientMsgID);
  const quoted = await send(bob, alice, await bob.must('createQuoteMessage', { text: 'you said', message: JSON.stringify(got) }));
  await seen(alice, quoted.clientMsgID);
  const conversationID = single(alice, bob);
  await alice.must('revokeMessage', { conversationID, clientMsgID: sent.clientMsgID });
  const { found } = await heard(bob, 'OnNewRecvMessageRevoked', (data) => data.clientMsgID === sent.clientMsgID);
  assert.equal(found.revokerID, alice.userID);
  // A new login has it from the server, which shows it neither in its place nor in the quote.
  const again = await world.page();
  await again.login(world, alice.userID, await world.token(alice.userID));
  const { messageList } = await again.must('getAdvancedHistoryMessageList', { conversationID, startClientMsgID: '', count: 20, viewType: 0 });
  assert.deepEqual(messageList.map((message) => message.contentType), [2101, 114]);
  assert.ok(!JSON.stringify(messageList).includes('a slip'), JSON.stringify(messageList));
  await close(alice, bob, again);
});

test('a deleted message is gone for its owner only; a cleared conversation is empty', async () => {
  const [alice, bob] = await pair();
  const sent = [];
  for (const text of ['one', 'two', 'three']) sent.push(await send(alice, bob, await alice.must('createTextMessage', text)));
  await seen(bob, sent[2].clientMsgID);
  const conversationID = single(alice, bob);
  const texts = async (client) => (await client.must('getAdvancedHistoryMessageList', { conversationID, startClientMsgID: '', count: 20, viewType: 0 }))
    .messageList.map((message) => message.textElem?.content).filter(Boolean);
  await bob.must('deleteMessage', { conversationID, clientMsgID: sent[0].clientMsgID });
  assert.deepEqual(await texts(bob), ['two', 'three']);
  assert.deepEqual(await texts(alice), ['one', 'two', 'three']);
  await bob.must('clearConversationAndDeleteAllMsg', conversationID);
  assert.deepEqual(await texts(bob), []);
  // A new login reads from the server, where it is gone too.
  const again = await world.page();
  await again.login(world, bob.userID, await world.token(bob.userID));
  assert.deepEqual(await texts(again), []);
  await close(alice, bob, again);
});

test('a group through its life, heard by its members', async () => {
  const [owner, admin, member] = await Promise.all(['owner', 'admin', 'member'].map((name) => world.user(name)));
  const group = await owner.must('createGroup', {
    memberUserIDs: [member.userID], adminUserIDs: [admin.userID], ownerUserID: owner.userID, groupInfo: { groupType: 2, groupName: 'first' },
  });
  const { groupID } = group;
  await heard(member, 'OnJoinedGroupAdded', (data) => data.groupID === groupID);
  await admin.must('setGroupInfo', { groupID, groupName: 'second' });
  await heard(member, 'OnGroupInfoChanged', (data) => data.groupName === 'second');
  await member.must('setGroupMemberInfo', { groupID, userID: member.userID, nickname: 'M' });
  await heard(owner, 'OnGroupMemberInfoChanged', (data) => data.userID === member.userID && data.nickname === 'M');
  await owner.must('setGroupMemberInfo', { groupID, userID: member.userID, roleLevel: 60 });
  await heard(member, 'OnGroupMemberInfoChanged', (data) => data.userID === member.userID && data.roleLevel === 60);
  await owner.must('setGroupMemberInfo', { groupID, userID: member.userID, roleLevel: 20 });

  // The SDK's own changeGroupMute fails before it calls anybody (its wrapper and its core disagree on the arguments).
  const adminToken = await world.token(admin.userID, MAC);
  await world.must('/group/mute_group', { groupID }, adminToken);
  await heard(member, 'OnGroupInfoChanged', (data) => data.status === 3);
  const refused = await member.send({ groupID }, 'may I?');
  assert.equal(refused.ok, false, JSON.stringify(refused));
  assert.ok((await owner.send({ groupID }, 'silence')).ok);
  await world.must('/group/cancel_mute_group', { groupID }, adminToken);
  await heard(member, 'OnGroupInfoChanged', (data) => data.groupName === 'second' && data.status === 0);
  assert.ok((await member.send({ groupID }, 'thanks')).ok);

  await admin.must('changeGroupMemberMute', { groupID, userID: member.userID, mutedSeconds: 600 });
  await heard(member, 'OnGroupMemberInfoChanged', (data) => data.userID === member.userID && data.muteEndTime > Date.now());
  assert.equal((await member.send({ groupID }, 'hmpf')).ok, false);
  await admin.must('changeGroupMemberMute', { groupID, userID: member.userID, mutedSeconds: 0 });

  const mention = await owner.must('createTextAtMessage', { text: '@M hello', atUserIDList: [member.userID], atUsersInfo: [{ atUserID: member.userID, groupNickname: 'M' }] });
  await owner.must('sendMessage', { recvID: '', groupID, message: mention });
  await until('the at-mark', async () => (await member.must('getOneConversation', { sourceID: groupID, sessionType: 3 })).groupAtType === 1, 20_000);

  await owner.must('transferGroupOwner', { groupID, newOwnerUserID: admin.userID });
  await heard(member, 'OnGroupMemberInfoChanged', (data) => data.userID === admin.userID && data.roleLevel === 100);
  await admin.must('kickGroupMember', { groupID, userIDList: [owner.userID], reason: '' });
  await heard(owner, 'OnJoinedGroupDeleted', (data) => data.groupID === groupID);
  await admin.must('dismissGroup', groupID);
  await heard(member, 'OnGroupDismissed', (data) => data.groupID === groupID);
  await close(owner, admin, member);
});

test('edits and reactions reach an application through its business listener, and a new device sees the edit', async () => {
  const [alice, bob] = await pair();
  const sent = await send(alice, bob, await alice.must('createTextMessage', 'tpyo'));
  const got = await seen(bob, sent.clientMsgID);
  const conversationID = single(alice, bob);
  const token = await world.token(alice.userID, MAC);
  const about = { userID: alice.userID, conversationID, seq: got.seq };
  await world.must('/msg/edit_msg', { ...about, content: '{"content":"typo"}' }, token);
  await world.must('/msg/set_reaction', { ...about, reaction: '👍' }, token);
  const business = async (client, key) => JSON.parse((await heard(client, 'OnRecvCustomBusinessMessage', (data) => data.key === key)).found.data);
  const edited = await business(bob, 'openim.messageEdited');
  assert.deepEqual([edited.clientMsgID, edited.content, edited.version], [sent.clientMsgID, '{"content":"typo"}', 1]);
  const reaction = await business(bob, 'openim.reaction');
  assert.deepEqual([reaction.clientMsgID, reaction.userID, reaction.reaction], [sent.clientMsgID, alice.userID, '👍']);
  const desk = await world.page();
  await desk.login(world, bob.userID, await world.token(bob.userID, MAC), world.at.ws, true, MAC);
  await until('the edited text', async () => {
    const history = await desk.must('getAdvancedHistoryMessageList', { conversationID, startClientMsgID: '', count: 20, viewType: 0 });
    return history.messageList.some((message) => message.textElem?.content === 'typo');
  }, 20_000);
  assert.ok((await bob.send({ recvID: alice.userID }, 'fine')).ok);
  await close(alice, bob, desk);
});

test('two devices of one user see the same', async () => {
  const [alice, bob] = await pair();
  const desk = await world.page();
  await desk.login(world, alice.userID, await world.token(alice.userID, MAC), world.at.ws, true, MAC);
  const sent = await send(alice, bob, await alice.must('createTextMessage', 'from the phone'));
  await seen(desk, sent.clientMsgID);
  await bob.send({ recvID: alice.userID }, 'for both');
  await Promise.all([alice, desk].map((device) => device.received(bob.userID, 1)));
  const conversationID = single(alice, bob);
  await desk.must('markConversationMessageAsRead', conversationID);
  await until('the other device is read too', async () =>
    (await alice.must('getOneConversation', { sourceID: bob.userID, sessionType: 1 })).unreadCount === 0, 20_000);
  assert.equal((await alice.events('OnKickedOffline')).length, 0);
  await close(alice, bob, desk);
});

test('profile, black list and settings reach the others', async () => {
  const [alice, bob] = await pair();
  await alice.must('addFriend', { toUserID: bob.userID, reqMsg: 'hi' });
  await heard(bob, 'OnFriendApplicationAdded');
  await bob.must('acceptFriendApplication', { toUserID: alice.userID, handleMsg: 'ok' });
  await heard(alice, 'OnFriendAdded', (data) => data.userID === bob.userID);
  await bob.must('setSelfInfo', { nickname: 'Robert' });
  await heard(alice, 'OnFriendInfoChanged', (data) => data.userID === bob.userID && data.nickname === 'Robert');
  const desk = await world.page();
  await desk.login(world, alice.userID, await world.token(alice.userID, MAC), world.at.ws, true, MAC);
  await alice.must('addBlack', { toUserID: bob.userID, ex: '' });
  await heard(desk, 'OnBlackAdded', (data) => data.userID === bob.userID);
  const refused = await bob.send({ recvID: alice.userID }, 'hello?');
  assert.equal(refused.ok, false);
  await alice.must('removeBlack', bob.userID);
  assert.ok((await bob.send({ recvID: alice.userID }, 'hello!')).ok);
  await alice.received(bob.userID, 1);
  const conversationID = single(alice, bob);
  await alice.must('setConversation', { conversationID, isPinned: true, recvMsgOpt: 2 });
  await until('the setting', async () => (await alice.must('getOneConversation', { sourceID: bob.userID, sessionType: 1 })).isPinned === true, 20_000);
  await close(alice, bob, desk);
});
