// The things most likely to break the WASM SDK (contract/README.md 4), a test for each. The SDK itself runs in e2e/tests/sdk/tests.
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { REQUEST, definition, read, value } from './sdk/lib/gob.mjs';
import { Socket, encode } from './sdk/lib/socket.mjs';
import { sleep, until } from './sdk/lib/wait.mjs';
import { as, at, call, login, ok, root, user } from './lib/api.mjs';
import { save } from './lib/shown.mjs';

const WEB = 5;
let alice, bob, single, groupID;
const page = { pagination: { pageNumber: 1, showNumber: 100 } };
const lines = [];
const keep = (line) => { lines.push(line); return line; };
async function web(name) {
  const { userID } = await user(name);
  return { userID, name, token: (await ok(root, '/auth/get_user_token', { userID, platformID: WEB })).token };
}
before(async () => {
  await login();
  [alice, bob] = await Promise.all(['alice', 'bob'].map(user));
  for (const who of [alice, bob]) who.line = keep(await Socket.open(at.ws, who));
  single = `si_${[alice.userID, bob.userID].sort().join('_')}`;
  const made = await ok(alice, '/group/create_group', { ownerUserID: alice.userID, memberUserIDs: [bob.userID], groupInfo: { groupName: 'g', groupType: 2 } });
  ({ groupID } = made.groupInfo);
});
after(() => { for (const line of lines) line.close?.(); save('compatibility'); });

async function say(text, extra = {}) {
  const message = {
    sendID: alice.userID, recvID: bob.userID, clientMsgID: randomUUID(), contentType: 101, sessionType: 1, msgFrom: 100, createTime: Date.now(),
    content: Buffer.from(JSON.stringify({ content: text })), ...extra,
  };
  const answer = await alice.line.must('send', message);
  const got = await bob.line.message(text, (item) => item.clientMsgID === message.clientMsgID);
  return { message, answer, got };
}
const stored = (seq) => until('it is stored', async () => ((await bob.line.must('newestSeq', { userID: bob.userID })).maxSeqs[single] ?? 0) >= seq);

/** A connection as the WASM client makes it: gob, gzip. */
async function wasm(who) {
  const url = `${at.ws}?compression=gzip&isBackground=false&isMsgResp=true&operationID=1&platformID=${WEB}&sendID=${who.userID}&token=${who.token}`;
  const line = keep(new WebSocket(url));
  line.binaryType = 'arraybuffer';
  const frames = [];
  line.addEventListener('message', ({ data }) => frames.push(typeof data === 'string' ? data : Buffer.from(data)));
  let closed = false;
  line.addEventListener('close', () => { closed = true; });
  await until('the first frame', () => frames[0]);
  const ask = async (values, id = 64, before = []) => {
    const seen = frames.length;
    line.send(gzipSync(Buffer.concat([...before, definition(id, REQUEST), value(id, REQUEST, values)])));
    return read(gunzipSync(await until('an answer', () => frames[seen] ?? (closed && 'closed'))));
  };
  return { frames, ask, isClosed: () => closed };
}
const newestSeq = (who, extra = {}) => ({ ReqIdentifier: 1001, SendID: who.userID, OperationID: 'op', MsgIncr: `${who.userID}_1`,
  Data: encode('sdkws.GetMaxSeqReq', { userID: who.userID }), ...extra });

test('1. the first frame is a text with the envelope', async () => {
  const { frames } = await wasm(await web('w'));
  assert.deepEqual(JSON.parse(frames[0]), { errCode: 0, errMsg: '', errDlt: '' });
});
test('2. all later frames are binary, gzip, gob', async () => {
  const who = await web('w');
  const { frames, ask } = await wasm(who);
  await ask(newestSeq(who));
  await ok(root, '/msg/send_msg', { sendID: alice.userID, recvID: who.userID, content: { content: 'x' }, contentType: 101, sessionType: 1 });
  await until('a push', () => frames.length >= 3);
  for (const frame of frames.slice(1)) {
    assert.ok(Buffer.isBuffer(frame) && frame[0] === 0x1f && frame[1] === 0x8b);
    assert.ok(read(gunzipSync(frame)).values);
  }
});
test('3. gob: names and kinds of the fields; any type id, repeated definitions and omitted zeros are read', async () => {
  const who = await web('w');
  const { ask } = await wasm(who);
  const kinds = { ReqIdentifier: 'int', MsgIncr: 'text', OperationID: 'text', ErrCode: 'int', ErrMsg: 'text', Data: 'bytes' };
  assert.deepEqual(Object.fromEntries((await ask(newestSeq(who))).fields), kinds);
  for (const [id, earlier] of [[65, []], [1000, []], [70, [definition(70, REQUEST)]], [64, [definition(66, [['Other', 'int']], 'Other')]]]) {
    const { values } = await ask(newestSeq(who), id, earlier);
    assert.deepEqual([values.ReqIdentifier, values.ErrCode], [1001, undefined], `id ${id}`);
  }
  const bare = await ask({ ReqIdentifier: 1001, SendID: who.userID });
  assert.ok(bare.values.ErrCode > 0, 'a request without data is answered');
});
test('4. MsgIncr is echoed byte for byte, ReqIdentifier is the request\'s', async () => {
  const who = await web('w');
  const { ask } = await wasm(who);
  for (const MsgIncr of ['1', `${who.userID}_17`, 'ü ö;"\\ \u0001', 'x'.repeat(300)]) {
    const { values } = await ask(newestSeq(who, { MsgIncr }));
    assert.deepEqual([values.MsgIncr.toString(), values.ReqIdentifier], [MsgIncr, 1001]);
  }
});
test('5. only known ids are sent, and 2002 is a connection\'s last frame', async () => {
  const who = await user('k');
  const first = keep(await Socket.open(at.ws, who));
  await first.must('presence', { subscribeUserID: [alice.userID] });
  await ok(root, '/friend/import_friend', { ownerUserID: who.userID, friendUserIDs: [bob.userID] });
  await ok(who, '/user/update_user_info_ex', { userInfo: { userID: who.userID, nickname: 'K' } });
  await first.message('a notification', (item) => item.contentType === 1303);
  const { token } = await ok(root, '/auth/get_user_token', { userID: who.userID, platformID: 2 });
  keep(await Socket.open(at.ws, { ...who, token }));
  await until('kicked and closed', () => first.closed);
  const ids = first.pushed.map((frame) => frame.reqIdentifier);
  assert.ok(ids.every((id) => [2001, 2002, 2005].includes(id)), `${ids}`);
  assert.deepEqual([ids.at(-1), ids.filter((id) => id === 2002).length], [2002, 1]);
});
test('6. a Web client that says nothing is pinged within 30 s, and its pongs keep it', { timeout: 120_000 }, async () => {
  const who = await web('w');
  const { hostname, port, pathname } = new URL(at.ws);
  const line = connect(Number(port), hostname);
  keep({ close: () => line.destroy() });
  let closed = false, data = Buffer.alloc(0);
  line.on('close', () => { closed = true; });
  line.on('data', (part) => { data = Buffer.concat([data, part]); });
  line.write(`GET ${pathname}?compression=gzip&isBackground=false&isMsgResp=true&operationID=1&platformID=${WEB}&sendID=${who.userID}&token=${who.token} HTTP/1.1\r\n` +
    `Host: ${hostname}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`);
  await until('upgraded', () => data.includes('\r\n\r\n'));
  data = data.subarray(data.indexOf('\r\n\r\n') + 4);
  let pings = 0;
  const begun = Date.now();
  while (pings < 2) {
    // Small frames of the server: two bytes of head, then the payload.
    await until('a ping', () => closed || data.length >= 2 && data.length >= 2 + (data[1] & 127), 31_000);
    assert.ok(!closed, `closed after ${Date.now() - begun} ms`);
    const [opcode, size] = [data[0] & 15, data[1] & 127];
    data = data.subarray(2 + size);
    if (opcode === 9) { pings += 1; line.write(Buffer.from([0x8a, 0x80, 0, 0, 0, 0])); }
  }
  await sleep(5000);
  assert.ok(!closed, 'it is there after its second pong');
});
test('7. no frame is larger than 1 MiB: an answer that would be has the newest messages and says that there is more', async () => {
  const peer = await user('p');
  const id = `si_${[alice.userID, peer.userID].sort().join('_')}`;
  for (let i = 0; i < 4; i++) {
    await ok(root, '/msg/send_msg', { sendID: alice.userID, recvID: peer.userID, content: { content: randomBytes(300_000).toString('base64') }, contentType: 101, sessionType: 1 });
  }
  const line = keep(await Socket.open(at.ws, peer));
  await until('four are stored', async () => (await line.must('newestSeq', { userID: peer.userID })).maxSeqs[id] === 4);
  const pull = (end) => line.request('pullByRange', { userID: peer.userID, seqRanges: [{ conversationID: id, begin: 1, end, num: 10 }] });
  const cut = (await pull(4)).message.msgs[id];
  assert.deepEqual([cut.Msgs.at(-1).seq, Boolean(cut.isEnd)], [4, false]);
  assert.ok(cut.Msgs.length >= 1 && cut.Msgs.length < 4, `${cut.Msgs.length} messages`);
  assert.equal((await pull(1)).message.msgs[id].Msgs.length, 1);
});
test('8. a refused handshake is a text frame when isMsgResp is set', async () => {
  for (const [token, code] of [['x', 1503], [bob.token, 1502]]) {
    await assert.rejects(Socket.open(at.ws, { userID: alice.userID, token }), ({ answer }) => {
      assert.deepEqual(Object.keys(answer), ['errCode', 'errMsg', 'errDlt']);
      return answer.errCode === code;
    });
  }
});
test('9. errors are HTTP 200 with the whole envelope; an empty success has no data', async () => {
  const response = await fetch(`${at.api}/user/get_users_info`, { method: 'POST', headers: { operationID: 'o', token: alice.token }, body: '[' });
  assert.equal(response.status, 200);
  const envelope = await response.json();
  assert.deepEqual([Object.keys(envelope).sort(), envelope.errCode], [['errCode', 'errDlt', 'errMsg'], 1001]);
  assert.deepEqual(await as(alice, '/user/set_global_msg_recv_opt', { userID: alice.userID, globalRecvMsgOpt: 0 }), { errCode: 0, errMsg: '', errDlt: '' });
});
test('10. CORS with the headers token and operationid, on errors too', async () => {
  const preflight = await fetch(`${at.api}/user/get_users_info`, {
    method: 'OPTIONS', headers: { origin: 'http://app.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type,operationid,token' },
  });
  assert.ok(preflight.ok);
  const allowed = preflight.headers.get('access-control-allow-headers').toLowerCase();
  assert.ok(allowed === '*' || ['token', 'operationid', 'content-type'].every((name) => allowed.includes(name)), allowed);
  for (const body of ['{}', '[']) {
    const answer = await fetch(`${at.api}/user/get_users_info`, { method: 'POST', headers: { origin: 'http://app.example' }, body });
    assert.equal(answer.headers.get('access-control-allow-origin'), '*');
  }
});
test('11. JSON: numbers are numbers, bytes base64, what is unset null, every field present, wrappers bare', async () => {
  const { got } = await say('json');
  await stored(got.seq);
  const { msgs } = await ok(bob, '/msg/pull_msg_by_seq', { userID: bob.userID, seqRanges: [{ conversationID: single, begin: got.seq, end: got.seq, num: 1 }] });
  const [message] = msgs[single].Msgs;
  assert.equal(typeof message.sendTime, 'number');
  assert.equal(Buffer.from(message.content, 'base64').toString(), '{"content":"json"}');
  assert.deepEqual([message.atUserIDList, message.offlinePushInfo, message.ex, message.isRead], [null, null, '', false]);
  await ok(alice, '/user/update_user_info_ex', { userInfo: { userID: alice.userID, nickname: 'bare', ex: null } });
  assert.equal((await ok(bob, '/user/get_users_info', { userIDs: [alice.userID] })).usersInfo[0].nickname, 'bare');
});
test('12. a version: 24 hexadecimal digits, above 0; "nothing changed" is not full and empty', async () => {
  const logs = {
    '/friend/get_incremental_friends': { userID: bob.userID }, '/group/get_incremental_join_groups': { userID: bob.userID },
    '/conversation/get_incremental_conversations': { userID: bob.userID }, '/group/get_incremental_group_members': { groupID },
  };
  await ok(root, '/friend/import_friend', { ownerUserID: bob.userID, friendUserIDs: [alice.userID] });
  for (const [path, body] of Object.entries(logs)) {
    const first = await ok(bob, path, { ...body, versionID: '', version: 0 });
    assert.match(first.versionID, /^[0-9a-f]{24}$/, path);
    assert.deepEqual([first.full, first.version > 0], [true, true], path);
    const again = await ok(bob, path, { ...body, versionID: first.versionID, version: first.version });
    assert.deepEqual([again.full, again.versionID, again.version, again.insert, again.delete, again.update, again.group ?? null],
      [false, first.versionID, first.version, null, null, null, null], path);
  }
});
test('13. every group that is asked for is in the answer, also one that is gone', async () => {
  const gone = await ok(alice, '/group/create_group', { ownerUserID: alice.userID, memberUserIDs: [bob.userID], groupInfo: { groupName: 'x', groupType: 2 } });
  await ok(alice, '/group/dismiss_group', { groupID: gone.groupInfo.groupID });
  const asked = [groupID, gone.groupInfo.groupID];
  const { respList } = await ok(alice, '/group/get_incremental_group_members_batch', { userID: alice.userID, reqList: asked.map((id) => ({ groupID: id, versionID: '', version: 0 })) });
  assert.deepEqual(Object.keys(respList).sort(), [...asked].sort());
});
test('14. full ids have the order of the lists', async () => {
  const who = await user('o');
  const others = await Promise.all(['a', 'b', 'c', 'd'].map(user));
  for (const other of others) await ok(root, '/friend/import_friend', { ownerUserID: who.userID, friendUserIDs: [other.userID] });
  await ok(who, '/friend/update_friends', { ownerUserID: who.userID, friendUserIDs: [others[2].userID], isPinned: true });
  const listed = (await ok(who, '/friend/get_friend_list', { userID: who.userID, ...page })).friendsInfo.map((friend) => friend.friendUser.userID);
  const { userIDs, equal } = await ok(who, '/friend/get_full_friend_user_ids', { userID: who.userID, idHash: 0 });
  assert.deepEqual([userIDs, equal], [listed, false]);
  assert.deepEqual(listed, [others[2], others[0], others[1], others[3]].map((other) => other.userID));
  const idHash = createHash('md5').update(JSON.stringify(userIDs)).digest().readBigUInt64BE();
  const same = await as(who, '/friend/get_full_friend_user_ids', `{"userID":"${who.userID}","idHash":${idHash}}`);
  assert.deepEqual([same.data.equal, same.data.userIDs], [true, null]);
  const members = (await ok(bob, '/group/get_group_member_list', { groupID, ...page })).members.map((member) => member.userID);
  assert.deepEqual((await ok(bob, '/group/get_full_group_member_user_ids', { groupID, idHash: 0 })).userIDs, members);
});
test('15. a notification\'s content is {"detail": "<JSON>"} in Go\'s spelling', async () => {
  const { got } = await say('read me');
  await ok(bob, '/msg/mark_conversation_as_read', { userID: bob.userID, conversationID: single, hasReadSeq: got.seq, seqs: [] });
  const receipt = await alice.line.message('a receipt', (item) => item.contentType === 2200);
  const content = JSON.parse(receipt.content);
  assert.deepEqual(Object.keys(content), ['detail']);
  const tips = JSON.parse(content.detail);
  assert.deepEqual([tips.markAsReadUserID, tips.hasReadSeq, typeof tips.seqs.at(-1)], [bob.userID, got.seq, 'number']);
});
test('16. notifications are pushed in n_ conversations, as notifications, and say so', async () => {
  const receipt = await alice.line.message('a receipt', (item) => item.contentType === 2200);
  assert.deepEqual([receipt.notification, receipt.conversationID, receipt.options.isNotNotification], [true, `n_${single.slice(3)}`, false]);
});
test('17. what the client dereferences is there', async () => {
  const detail = (item) => JSON.parse(JSON.parse(item.content).detail);
  const tips = async (who, kind, holds = () => true) => detail(await who.line.message(`${kind}`, (item) => item.contentType === kind && item.notification && holds(detail(item))));
  const carol = await user('c');
  await ok(carol, '/friend/add_friend', { fromUserID: carol.userID, toUserID: alice.userID, reqMsg: 'm' });
  assert.equal((await tips(alice, 1203)).request.fromUserID, carol.userID);
  await ok(alice, '/friend/add_black', { ownerUserID: alice.userID, blackUserID: carol.userID });
  assert.equal((await tips(alice, 1207)).fromToUserID.toUserID, carol.userID);
  await ok(alice, '/group/set_group_member_info', { members: [{ groupID, userID: bob.userID, nickname: 'B' }] });
  assert.equal((await tips(bob, 1516, (t) => t.changedUser.nickname === 'B')).changedUser.userID, bob.userID);
});
test('18. group tips carry the member version, one more with each change', async () => {
  const versions = () => bob.line.messages().filter((item) => item.contentType === 1516 && item.notification)
    .map((item) => JSON.parse(JSON.parse(item.content).detail)).filter((tips) => tips.changedUser.nickname.startsWith('v'));
  for (const nickname of ['v1', 'v2', 'v3']) await ok(alice, '/group/set_group_member_info', { members: [{ groupID, userID: bob.userID, nickname }] });
  await until('three changes', () => versions().length === 3);
  const log = await ok(bob, '/group/get_incremental_group_members', { groupID, versionID: '', version: 0 });
  assert.deepEqual(versions().map((tips) => [tips.groupMemberVersionID, tips.groupMemberVersion]),
    [2, 1, 0].map((back) => [log.versionID, log.version - back]));
});
test('19. conversation ids sort user ids by bytes', async () => {
  const tag = randomUUID().slice(0, 8);
  const ids = [`Z${tag}`, `a${tag}`, `^${tag}`];
  await ok(root, '/user/user_register', { users: ids.map((userID) => ({ userID, nickname: 'n' })) });
  const { token } = await ok(root, '/auth/get_user_token', { userID: ids[1], platformID: 2 });
  const line = keep(await Socket.open(at.ws, { userID: ids[1], token }));
  for (const other of [ids[0], ids[2]]) {
    await ok(root, '/msg/send_msg', { sendID: other, recvID: ids[1], content: { content: 'x' }, contentType: 101, sessionType: 1 });
    const got = await line.message('it', (item) => item.sendID === other);
    const pair = Buffer.compare(Buffer.from(other), Buffer.from(ids[1])) < 0 ? [other, ids[1]] : [ids[1], other];
    assert.equal(got.conversationID, `si_${pair.join('_')}`);
  }
});
test('20. seqs are 1, 2, 3 …, pushed in that order; only what is not stored has none', async () => {
  const who = await user('s');
  const line = keep(await Socket.open(at.ws, who));
  const sends = [];
  for (let i = 0; i < 20; i++) {
    sends.push(alice.line.must('send', {
      sendID: alice.userID, recvID: who.userID, clientMsgID: randomUUID(), contentType: i % 5 === 4 ? 113 : 101, sessionType: 1, content: Buffer.from('{"content":"x"}'),
    }));
  }
  await Promise.all(sends);
  await until('all are pushed', () => line.messages().length === 20);
  const seqs = line.messages().map((message) => [message.contentType === 113, message.seq]);
  assert.deepEqual(seqs.filter(([typing]) => !typing).map(([, seq]) => seq), Array.from({ length: 16 }, (_, i) => i + 1));
  assert.ok(seqs.filter(([typing]) => typing).every(([, seq]) => seq === 0));
});
test('21. a pull has exactly its window; holes are placeholders; unknown conversations are left out', async () => {
  const made = [];
  for (const text of ['w1', 'w2', 'w3']) made.push((await say(text)).got.seq);
  await stored(made[2]);
  await ok(root, '/msg/delete_msg_phsical_by_seq', { conversationID: single, seqs: [made[1]] });
  const pull = (begin, end, num) => bob.line.must('pullByRange', {
    userID: bob.userID, seqRanges: [{ conversationID: single, begin, end, num }, { conversationID: 'si_x_y', begin: 1, end: 5, num: 5 }],
  });
  const { msgs } = await pull(made[0], made[2], 3);
  assert.deepEqual(Object.keys(msgs), [single]);
  assert.deepEqual(msgs[single].Msgs.map((message) => [message.seq, message.status === 4]), [[made[0], false], [made[1], true], [made[2], false]]);
  assert.deepEqual((await pull(made[0], made[2], 2)).msgs[single].Msgs.map((message) => message.seq), made.slice(1));
});
test('22. 1006 has every conversation, with what was read', async () => {
  const { seqs } = await bob.line.must('readAndMaxSeqs', { userID: bob.userID });
  const { conversations } = await ok(bob, '/conversation/get_all_conversations', { ownerUserID: bob.userID });
  for (const { conversationID } of conversations) assert.ok(conversationID in seqs, conversationID);
  const { maxSeqs } = await bob.line.must('newestSeq', { userID: bob.userID });
  assert.equal(seqs[single].maxSeq, maxSeqs[single]);
});
test('23. the answer to a send echoes clientMsgID and has the server\'s time; the pushed copy keeps both and is a success', async () => {
  const { message, answer, got } = await say('echo', { sendTime: 1 });
  assert.deepEqual([answer.clientMsgID, Math.abs(answer.sendTime - Date.now()) < 60_000], [message.clientMsgID, true]);
  assert.deepEqual([got.clientMsgID, got.sendTime, got.serverMsgID, got.senderPlatformID, got.status], [message.clientMsgID, answer.sendTime, answer.serverMsgID, 2, 2]);
});
test('24. options are left as they were sent: no key is added or dropped', async () => {
  assert.deepEqual((await say('none')).got.options, {});
  assert.deepEqual((await say('one', { options: { unreadCount: false } })).got.options, { unreadCount: false });
});
test('25. an upload: limits, a size of parts, a sign that is never null, an address that browsers may use', async () => {
  const limit = await ok(alice, '/object/part_limit');
  assert.ok(limit.minPartSize >= 1 && limit.maxNumSize >= 1 && limit.maxPartSize >= limit.minPartSize);
  const data = randomBytes(100);
  const { size } = await ok(alice, '/object/part_size', { size: data.length });
  const parts = [createHash('md5').update(data).digest('hex')];
  const name = `${alice.userID}/25.bin`;
  const begun = await ok(alice, '/object/initiate_multipart_upload', {
    hash: createHash('md5').update(parts.join(',')).digest('hex'), size: data.length, partSize: size, maxParts: 1, cause: '', name, contentType: 'application/octet-stream',
  });
  assert.equal(begun.upload.partSize, size);
  assert.notEqual(begun.upload.sign, null);
  const [part] = begun.upload.sign.parts;
  const put = await fetch(part.url || begun.upload.sign.url, { method: 'PUT', body: data, headers: { origin: 'http://app.example' } });
  assert.ok(put.ok);
  const { url } = await ok(alice, '/object/complete_multipart_upload', { uploadID: begun.upload.uploadID, parts, name, contentType: 'application/octet-stream', cause: '' });
  assert.ok(url.endsWith(`/object/${name}`), url);
  const got = await fetch(url, { redirect: 'manual' });
  assert.equal(got.status, 302, 'the address is a redirect that needs no token');
  assert.equal(got.headers.get('access-control-allow-origin'), '*');
});
test('a kicked client\'s token is refused with 1506', async () => {
  const who = await user('t');
  const line = keep(await Socket.open(at.ws, who));
  const ask = async () => (await call('/user/get_users_info', { userIDs: [who.userID] }, { token: who.token })).errCode;
  assert.deepEqual(await Promise.all(Array.from({ length: 8 }, ask)), Array(8).fill(0));
  await ok(root, '/auth/force_logout', { userID: who.userID, platformID: 2 });
  // At once, from whichever pod.
  assert.deepEqual(await Promise.all(Array.from({ length: 8 }, ask)), Array(8).fill(1506));
  await until('kicked', () => line.kicked && line.closed);
  await assert.rejects(Socket.open(at.ws, who), ({ answer }) => answer.errCode === 1506);
});
test('a connection ends with its token, also when the token that replaces it is not used', async () => {
  const who = await user('t');
  const line = keep(await Socket.open(at.ws, who));
  await ok(root, '/auth/get_user_token', { userID: who.userID, platformID: 2 });
  assert.equal((await call('/user/get_users_info', { userIDs: [who.userID] }, { token: who.token })).errCode, 1506);
  await until('kicked', () => line.kicked && line.closed);
});
