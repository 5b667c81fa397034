// The WebSocket: every request of a client, every kind of content, every push, and who may not.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { REQUESTS, Socket } from './sdk/lib/socket.mjs';
import { until } from './sdk/lib/wait.mjs';
import { admin, at, login, ok, root, user } from './lib/api.mjs';
import { save, see } from './lib/shown.mjs';

let alice, bob, eve, single;
const lines = [];
async function line(who, options) {
  const opened = await Socket.open(at.ws, who, options);
  lines.push(opened);
  return opened;
}
const worked = (name) => see('requests', REQUESTS[name][0]);
function text(from, to, content = 'hi', extra = {}) {
  return {
    sendID: from.userID, recvID: to.userID, clientMsgID: randomUUID(), contentType: 101, sessionType: 1, msgFrom: 100, createTime: Date.now(),
    content: Buffer.from(JSON.stringify({ content })), ...extra,
  };
}
before(async () => {
  await login();
  [alice, bob, eve] = await Promise.all(['alice', 'bob', 'eve'].map(user));
  alice.line = await line(alice); bob.line = await line(bob); eve.line = await line(eve);
  single = `si_${[alice.userID, bob.userID].sort().join('_')}`;
});
after(() => { for (const opened of lines) opened.close(); save('socket'); });

test('a text ping is answered with its body, however its keys are written, and so is a packed handshake', async () => {
  const dave = await user('dave');
  const packed = Buffer.from(JSON.stringify({ Token: dave.token, USERID: dave.userID, platformID: 2, OperationID: 'o', SDKType: 'js', SendResponse: true })).toString('base64url');
  const opened = await line(dave, { query: `&v=${packed}` });
  for (const text of ['{"TYPE":"ping","Body":{"n":1}}', '{"type":"x","type":"ping","body":{"n":2}}']) opened.line.send(text);
  const pongs = () => opened.texts.map((text) => JSON.parse(text)).filter(({ type }) => type === 'pong').map(({ body }) => body);
  await until('two pongs', () => pongs().length === 2 || opened.closed);
  assert.deepEqual(pongs(), [{ n: 1 }, { n: 2 }]);
});

describe('requests', () => {
  test('1003 sends: the answer names the message, both sides are pushed it with its seq', async () => {
    const message = text(alice, bob, 'first');
    const sent = await alice.line.must('send', message);
    assert.equal(sent.clientMsgID, message.clientMsgID);
    assert.ok(sent.serverMsgID && Math.abs(sent.sendTime - Date.now()) < 60_000);
    for (const side of [alice, bob]) {
      const got = await side.line.message('the message', (item) => item.clientMsgID === message.clientMsgID);
      assert.deepEqual([got.conversationID, got.notification, got.seq, got.status, got.sendID, got.senderPlatformID, got.serverMsgID],
        [single, false, 1, 2, alice.userID, 2, sent.serverMsgID]);
    }
    worked('send'); see('pushes', 2001);
  });
  test('1003 refuses another sender, another user\'s group, notifications and what is too large', async () => {
    for (const [message, code] of [
      [text(bob, alice), 1002], [text(alice, { userID: '' }), 1001], [text(alice, bob, 'x', { sessionType: 9 }), 1001],
      [text(alice, bob, 'x', { sessionType: 3, groupID: 'no-such-group', recvID: '' }), 1201],
      [text(alice, bob, 'x', { contentType: 1511 }), 1002], [text(alice, bob, 'x', { options: { isNotNotification: false } }), 1002],
    ]) {
      const answer = await alice.line.request('send', message);
      assert.equal(answer.errCode, code, JSON.stringify(answer));
      assert.equal(answer.data, '');
      see('errors', code);
    }
  });
  test('1001 has the newest seqs, and nothing that is empty', async () => {
    const { maxSeqs } = await bob.line.must('newestSeq', { userID: bob.userID });
    assert.equal(maxSeqs[single], 1);
    assert.ok(Object.values(maxSeqs).every((seq) => seq > 0));
    worked('newestSeq');
  });
  test('1002 has exactly the newest of the range', async () => {
    for (const word of ['second', 'third', 'fourth']) await alice.line.must('send', text(alice, bob, word));
    await until('four are stored', async () => (await bob.line.must('newestSeq', { userID: bob.userID })).maxSeqs[single] === 4);
    const range = (begin, end, num) => bob.line.must('pullByRange', { userID: bob.userID, seqRanges: [{ conversationID: single, begin, end, num }] });
    assert.deepEqual((await range(1, 4, 2)).msgs[single].Msgs.map((message) => message.seq), [3, 4]);
    assert.deepEqual((await range(2, 3, 10)).msgs[single].Msgs.map((message) => message.seq), [2, 3]);
    const unknown = await bob.line.must('pullByRange', { userID: bob.userID, seqRanges: [{ conversationID: 'si_x_y', begin: 1, end: 9, num: 9 }] });
    assert.deepEqual(unknown.msgs, {});
    worked('pullByRange');
  });
  test('1005 has the seqs that were named', async () => {
    const { msgs } = await bob.line.must('pullBySeqs', { userID: bob.userID, conversations: [{ conversationID: single, seqs: [4, 2] }] });
    assert.deepEqual(msgs[single].Msgs.map((message) => message.seq).sort(), [2, 4]);
    worked('pullBySeqs');
  });
  test('1006 has what was read and what there is', async () => {
    await ok(bob, '/msg/mark_conversation_as_read', { userID: bob.userID, conversationID: single, hasReadSeq: 2, seqs: [] });
    const { seqs } = await bob.line.must('readAndMaxSeqs', { userID: bob.userID });
    assert.deepEqual([seqs[single].hasReadSeq, seqs[single].maxSeq], [2, 4]);
    assert.ok(seqs[single].maxSeqTime > 0);
    worked('readAndMaxSeqs');
  });
  test('1007 has the last message of each', async () => {
    const { msgs } = await bob.line.must('lastMessages', { userID: bob.userID, conversationIDs: [single] });
    assert.equal(JSON.parse(msgs[single].content).content, 'fourth');
    worked('lastMessages');
  });
  test('1004 answers an error, as upstream does', async () => {
    assert.notEqual((await alice.line.request('signal', text(alice, bob))).errCode, 0);
    worked('signal');
  });
  test('2005 tells who is there, and who comes and goes', async () => {
    const carol = await user('carol');
    const { subscribers } = await alice.line.must('presence', { subscribeUserID: [bob.userID, carol.userID] });
    assert.deepEqual(Object.fromEntries(subscribers.map((item) => [item.userID, item.onlinePlatformIDs])), { [bob.userID]: [2], [carol.userID]: [] });
    const there = (platforms) => until(`carol on ${platforms}`, () =>
      alice.line.presence().some((item) => item.userID === carol.userID && String(item.onlinePlatformIDs) === String(platforms)));
    const come = await line(carol);
    await there([2]);
    come.close();
    await there([]);
    await alice.line.must('presence', { unsubscribeUserID: [carol.userID] });
    worked('presence'); see('pushes', 2005);
  });
  test('2004 is taken', async () => {
    await alice.line.must('background', { userID: alice.userID, isBackground: true });
    await alice.line.must('background', { userID: alice.userID, isBackground: false });
    worked('background');
  });
  test('what belongs to another user is refused', async () => {
    const [mine, theirs] = [eve.userID, alice.userID];
    assert.deepEqual((await eve.line.must('pullByRange', { userID: mine, seqRanges: [{ conversationID: single, begin: 1, end: 4, num: 4 }] })).msgs, {});
    assert.deepEqual((await eve.line.must('lastMessages', { userID: mine, conversationIDs: [single] })).msgs, {});
    for (const [name, fields] of [
      ['newestSeq', {}], ['pullByRange', { seqRanges: [{ conversationID: single, begin: 1, end: 4, num: 4 }] }],
      ['pullBySeqs', { conversations: [{ conversationID: single, seqs: [1] }] }], ['readAndMaxSeqs', {}], ['lastMessages', { conversationIDs: [single] }],
    ]) {
      const answer = await eve.line.request(name, { userID: theirs, ...fields });
      assert.equal(answer.errCode, 1002, `${name}: ${JSON.stringify(answer)}`);
    }
    const seqs = await eve.line.request('pullBySeqs', { userID: mine, conversations: [{ conversationID: single, seqs: [1] }] });
    assert.ok(seqs.errCode !== 0 || Object.keys(seqs.message.msgs).length === 0, JSON.stringify(seqs));
  });
  test('2002 is the last frame of who was replaced; 2003 is answered, then the line is closed', async () => {
    const dave = await user('dave');
    const first = await line(dave);
    const token = (await ok(root, '/auth/get_user_token', { userID: dave.userID, platformID: 2 })).token;
    const second = await line({ ...dave, token });
    await until('the first is kicked and closed', () => first.kicked && first.closed);
    assert.equal(first.pushed.at(-1).reqIdentifier, 2002);
    assert.equal(second.closed, false);
    see('pushes', 2002);
    await second.must('logout', { userID: dave.userID, platformID: 2 });
    await until('the line is closed', () => second.closed);
    assert.equal(second.kicked, false);
    worked('logout');
  });
});

describe('content', () => {
  const picture = { uuid: 'u', type: 'png', size: 3, width: 2, height: 1, url: 'http://x/p.png' };
  const kinds = {
    101: { content: 'plain' }, 102: { sourcePath: '', sourcePicture: picture, bigPicture: picture, snapshotPicture: picture },
    103: { uuid: 'u', soundPath: '', sourceUrl: 'http://x', dataSize: 3, duration: 2, soundType: 'mp3' },
    104: { videoPath: '', videoUUID: 'v', videoUrl: 'http://x', videoType: 'mp4', videoSize: 9, duration: 3, snapshotUrl: 'http://y' },
    105: { filePath: '', uuid: 'f', sourceUrl: 'http://x', fileName: 'a.txt', fileSize: 7, fileType: 'txt' },
    106: { text: '@b', atUserList: ['b'], atUsersInfo: [{ atUserID: 'b', groupNickname: 'B' }], isAtSelf: false },
    107: { title: 't', abstractList: ['a'], multiMessage: [], messageEntityList: [] }, 108: { userID: 'u', nickname: 'n', faceURL: '', ex: '' },
    109: { description: 'd', longitude: 13.4, latitude: 52.5 }, 110: { data: '{}', description: 'd', extension: 'e' },
    114: { text: 'q', quoteMessage: { clientMsgID: 'c', contentType: 101, textElem: { content: 'was' } }, messageEntityList: null }, 115: { index: 1, data: ':-)' },
    117: { text: 'a', messageEntityList: [{ type: 'url', offset: 0, length: 1, url: 'http://x', ex: '' }] }, 118: { content: '**m**' },
    119: { data: 'd', description: '', extension: '' }, 120: { data: 'd', description: '', extension: '' },
    200: { any: 1 }, 201: { any: 1 }, 202: { any: 1 }, 203: { any: 1 },
  };
  for (const [kind, content] of Object.entries(kinds)) {
    test(`${kind} arrives and is stored as it was made`, async () => {
      const written = { ...content, unknownToTheServer: { kept: true } };
      const message = text(alice, bob, '', { contentType: Number(kind), content: Buffer.from(JSON.stringify(written)) });
      await alice.line.must('send', message);
      const got = await bob.line.message(`a ${kind}`, (item) => item.clientMsgID === message.clientMsgID);
      assert.deepEqual(JSON.parse(got.content), written);
      const pulled = await until('it is stored', async () => {
        const { msgs } = await bob.line.must('pullBySeqs', { userID: bob.userID, conversations: [{ conversationID: single, seqs: [got.seq] }] });
        return msgs[single]?.Msgs[0];
      });
      assert.deepEqual([pulled.contentType, JSON.parse(pulled.content), pulled.clientMsgID], [Number(kind), written, message.clientMsgID]);
      see('content types', Number(kind));
    });
  }
  test('113 reaches who is there and is never stored', async () => {
    const before = (await bob.line.must('newestSeq', { userID: bob.userID })).maxSeqs[single];
    const message = text(alice, bob, '', { contentType: 113, content: Buffer.from('{"msgTips":"yes"}') });
    await alice.line.must('send', message);
    assert.equal((await bob.line.message('typing', (item) => item.clientMsgID === message.clientMsgID)).seq, 0);
    await alice.line.must('send', text(alice, bob, 'after'));
    await until('the next has the next seq', async () => (await bob.line.must('newestSeq', { userID: bob.userID })).maxSeqs[single] === before + 1);
    see('content types', 113);
  });
  test('a message from a system account is a chat of its own', async () => {
    const account = await ok(root, '/user/add_notification_account', { nickName: 'News', faceURL: '', appMangerLevel: 3 });
    const content = { notificationName: 'n', notificationFaceURL: '', notificationType: 1, text: 't', externalUrl: '', mixType: 0, ex: '' };
    const sent = await admin('/msg/send_msg', { sendID: account.userID, recvID: bob.userID, content, contentType: 1400, sessionType: 4 });
    assert.equal(sent.errCode, 0, JSON.stringify(sent));
    const got = await bob.line.message('the news', (item) => item.clientMsgID === sent.data.clientMsgID);
    assert.deepEqual([got.contentType, got.sessionType, got.notification], [1400, 4, false]);
    assert.ok(got.conversationID.startsWith('sn_'), got.conversationID);
    see('content types', 1400); see('notifications', 1400);
  });
});
