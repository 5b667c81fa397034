// The largest messages there can be, in a chat and in a group. Ten members of the group do not read, the others come all at once and page through
// everything; a pair that has nothing to do with it is served all the while. Before that: a first sync of a thousand conversations in two queries.
// Run by memory.sh, which looks at the memory of the services afterwards.
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { gunzipSync, gzipSync } from 'node:zlib';
import { REQUESTS, decode, encode } from './sdk/lib/socket.mjs';
import { sleep, until } from './sdk/lib/wait.mjs';
import { admin, at, login, ok, root, user } from './lib/api.mjs';

const [CHAT, GROUP] = [Number(process.env.CHAT), Number(process.env.GROUP)];
const step = (text) => console.log(`${(performance.now() / 1000).toFixed(1)} s: ${text}`);

/** A client whose frames are compressed, as the SDK's are: what is large costs it little. */
class Line {
  static async open(who) {
    const line = Object.assign(new Line(), { userID: who.userID, count: 0, waiting: new Map(), pushes: 0 });
    const query = `sendID=${who.userID}&token=${who.token}&platformID=2&operationID=o&isBackground=false&compression=gzip&sdkType=js`;
    line.socket = new WebSocket(`${at.ws}?${query}`);
    line.socket.binaryType = 'arraybuffer';
    await new Promise((resolve, reject) => { line.socket.addEventListener('open', resolve); line.socket.addEventListener('error', reject); });
    line.socket.addEventListener('message', ({ data }) => line.read(data));
    line.socket.addEventListener('close', () => { for (const { reject } of line.waiting.values()) reject(new Error(`the line of ${who.userID} was closed`)); });
    line.pings = setInterval(() => line.socket.send('{"type":"ping","body":"1"}'), 5000);
    return line;
  }

  read(data) {
    if (typeof data === 'string') return;
    const frame = JSON.parse(gunzipSync(Buffer.from(data)));
    const asked = this.waiting.get(frame.msgIncr);
    if (!asked) { this.pushes += 1; return; }
    this.waiting.delete(frame.msgIncr);
    asked.resolve(frame);
  }

  async ask(name, fields) {
    const [reqIdentifier, asked, answered] = REQUESTS[name];
    const msgIncr = `${this.userID}_${++this.count}`;
    const answer = new Promise((resolve, reject) => this.waiting.set(msgIncr, { resolve, reject }));
    const data = encode(asked, fields).toString('base64');
    this.socket.send(gzipSync(JSON.stringify({ reqIdentifier, token: '', sendID: this.userID, operationID: randomUUID(), msgIncr, data })));
    const frame = await answer;
    return { errCode: frame.errCode, message: frame.errCode === 0 ? decode(answered, Buffer.from(frame.data ?? '', 'base64')) : undefined };
  }

  /** What is busy is asked again. */
  async must(name, fields) {
    for (;;) {
      const answer = await this.ask(name, fields);
      if (answer.errCode === 0) return answer.message;
      assert.equal(answer.errCode, 429, `${name}: ${JSON.stringify(answer)}`);
      await sleep(200);
    }
  }

  close() { clearInterval(this.pings); this.socket.close(); }
}

/** A member that is connected and reads nothing; cut, it comes again. */
function silent(who, stop) {
  let line;
  const { hostname, port, pathname } = new URL(at.ws);
  const open = () => {
    line = connect(Number(port), hostname);
    line.write(`GET ${pathname}?isBackground=false&operationID=1&platformID=2&sendID=${who.userID}&token=${who.token} HTTP/1.1\r\nHost: ${hostname}\r\n` +
      `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`);
    line.once('readable', () => line.pause());
    // Who does not read does not see the end either: writing shows it.
    line.on('error', () => {});
    line.on('close', () => { if (!stop.now) setTimeout(open, 100); });
  };
  open();
  const pings = setInterval(() => line.write(Buffer.from([0x89, 0x80, 0, 0, 0, 0])), 1000);
  return () => { clearInterval(pings); line.destroy(); };
}

// content, ex and attachedInfo together: the largest that is taken, and no two alike.
const largest = (number) => ({
  content: Buffer.from(JSON.stringify({ content: `${number} `.padEnd((512 << 10) - 20, `${number % 10}`) })),
  ex: `${number} `.padEnd(64 << 10, 'e'), attachedInfo: `${number} `.padEnd(60 << 10, 'a'),
});
const digest = (message) => createHash('sha256').update(message.content).update(message.ex).update(message.attachedInfo).digest('hex');

async function fill(lines, count, to) {
  const sent = new Map();
  let next = 0;
  await Promise.all(lines.map(async (line) => {
    while (next < count) {
      const message = { clientMsgID: randomUUID(), sendID: line.userID, contentType: 101, msgFrom: 100, createTime: Date.now(), ...to(line), ...largest(next++) };
      await line.must('send', message);
      sent.set(message.clientMsgID, digest(message));
    }
  }));
  return sent;
}
const newest = async (line, id) => (await line.must('newestSeq', { userID: line.userID })).maxSeqs[id] ?? 0;

/** Pages back to the beginning: every message once, as it was sent. */
async function readsAll(line, id, sent) {
  const seen = new Set();
  let [end, pulls] = [await newest(line, id), 0];
  assert.ok(end >= sent.size);
  while (end > 0) {
    const { msgs } = await line.must('pullByRange', { userID: line.userID, seqRanges: [{ conversationID: id, begin: 1, end, num: 1000 }], order: 1 });
    const { Msgs, isEnd } = msgs[id];
    assert.ok(Msgs.length > 0 && Msgs.at(-1).seq === end, 'it gets on');
    // A group begins with the notification that it was created.
    for (const message of Msgs.filter(({ contentType }) => contentType < 1000)) {
      assert.ok(!seen.has(message.clientMsgID), 'no message comes twice');
      seen.add(message.clientMsgID);
      assert.equal(digest(message), sent.get(message.clientMsgID), `seq ${message.seq} is as it was sent`);
    }
    end = Msgs[0].seq - 1;
    pulls += 1;
    assert.equal(Boolean(isEnd), end === 0, 'the end is told, and only there');
  }
  assert.equal(seen.size, sent.size);
  return pulls;
}

/** Searches page by page: every message once, and no answer much longer than four megabytes and a message. */
async function findsAll(who, id, sent) {
  const seen = [];
  let [cursor, longest] = ['', 0];
  for (;;) {
    const body = JSON.stringify({ userID: who.userID, keyword: '', contentTypes: [101], conversationIDs: [id], count: 100, cursor });
    const response = await fetch(`${at.api}/msg/search_own_msg`, { method: 'POST', headers: { operationID: randomUUID(), token: who.token }, body });
    const text = await response.text();
    if (response.status === 503) { await sleep(200); continue; }
    const { errCode, data } = JSON.parse(text);
    assert.equal(errCode, 0, text.slice(0, 200));
    seen.push(...(data.messages ?? []).map(({ chatLog }) => chatLog.clientMsgID));
    longest = Math.max(longest, text.length);
    cursor = data.cursor;
    if (!cursor) break;
  }
  assert.deepEqual(seen.toSorted(), [...sent.keys()].sort(), 'every message is found once');
  assert.ok(longest < 5 << 20, `an answer of ${longest} bytes`);
  return longest;
}

async function firstSync(count) {
  const reader = await user('reader');
  const names = Array.from({ length: count }, () => `s${randomUUID().slice(0, 12)}`);
  for (let i = 0; i < count; i += 500) {
    await ok(root, '/user/user_register', { users: names.slice(i, i + 500).map((userID) => ({ userID, nickname: userID })) });
  }
  let next = 0;
  await Promise.all(Array.from({ length: 16 }, async () => {
    while (next < count) {
      const sendID = names[next++];
      await ok(root, '/msg/send_msg', { sendID, recvID: reader.userID, content: { content: sendID }, contentType: 101, sessionType: 1 });
    }
  }));
  const line = await Line.open(reader);
  const { maxSeqs } = await until('all are there', async () => {
    const answer = await line.must('newestSeq', { userID: reader.userID });
    return Object.keys(answer.maxSeqs).filter((id) => id.startsWith('si_')).length === count && answer;
  });
  const queries = async () => Number(/^msg_read_queries_total (\d+)/m.exec(await (await fetch(process.env.MSG_METRICS)).text())[1]);
  const before = await queries();
  const chats = Object.keys(maxSeqs).filter((id) => id.startsWith('si_'));
  const { msgs } = await line.must('pullByRange', {
    userID: reader.userID, seqRanges: chats.map((conversationID) => ({ conversationID, begin: 1, end: maxSeqs[conversationID], num: 1 })),
  });
  const took = await queries() - before;
  assert.deepEqual(Object.keys(msgs).sort(), chats.sort());
  for (const id of chats) assert.deepEqual([msgs[id].Msgs.length, Boolean(msgs[id].isEnd)], [1, true], id);
  assert.ok(took <= 2, `${took} queries for ${count} conversations`);
  const last = await line.must('lastMessages', { userID: reader.userID, conversationIDs: chats });
  assert.equal(Object.keys(last.msgs).length, count);
  line.close();
  return took;
}

await login();
step(`a first sync of 1 000 conversations: ${await firstSync(1000)} queries`);

const [alice, bob, x, y, ...members] = await Promise.all(['alice', 'bob', 'x', 'y', ...Array(14).keys()].map((name) => user(`m${name}`)));
const groupID = (await ok(root, '/group/create_group', {
  ownerUserID: alice.userID, memberUserIDs: [bob, ...members].map((member) => member.userID), adminUserIDs: [], groupInfo: { groupName: 'full', groupType: 2 },
})).groupInfo.groupID;

const stop = { now: false };
const pair = [await Line.open(x), await Line.open(y)];
const served = (async () => {
  const times = [];
  while (!stop.now) {
    const begun = performance.now();
    await pair[0].must('send', { clientMsgID: randomUUID(), sendID: x.userID, recvID: y.userID, contentType: 101, sessionType: 1, msgFrom: 100, content: Buffer.from('{}') });
    times.push(performance.now() - begun);
    await sleep(100);
  }
  return times.sort((a, b) => a - b);
})();

const senders = [await Line.open(alice), await Line.open(bob)];
const quiet = members.slice(0, 10).map((member) => silent(member, stop));
const inGroup = await fill(senders, GROUP, () => ({ sessionType: 3, groupID }));
step(`${GROUP} largest messages are sent to a group; ten of its members do not read`);
const inChat = await fill(senders, CHAT, (line) => ({ sessionType: 1, recvID: line === senders[0] ? bob.userID : alice.userID }));
step(`${CHAT} are sent to a chat`);
const [chat, group] = [`si_${[alice.userID, bob.userID].sort().join('_')}`, `sg_${groupID}`];
await until('all of the group are stored', async () => await newest(senders[0], group) >= GROUP, 600_000);
await until('all of the chat are stored', async () => await newest(senders[0], chat) === CHAT, 600_000);
step('all are stored');

const again = await Promise.all(members.slice(10).map((member) => Line.open(member)));
const pulls = await Promise.all([
  ...again.map((line) => readsAll(line, group, inGroup)),
  ...senders.map((line) => readsAll(line, chat, inChat)),
]);
step(`four members and both of the chat have read everything, in ${pulls.join(', ')} pulls`);

const searches = await Promise.all([alice, bob].map((who) => findsAll(who, chat, inChat)));
step(`both have found everything, in answers of at most ${searches.map((bytes) => (bytes / 1e6).toFixed(1)).join(', ')} MB`);

stop.now = true;
const times = await served;
assert.ok(times.length > 10);
step(`the pair was answered ${times.length} times, p50 ${times[times.length >> 1].toFixed(0)} ms, p99 ${times[Math.floor(times.length * 0.99)].toFixed(0)} ms`);
await until('the pair has heard all', () => pair[1].pushes >= times.length);
for (const end of quiet) end();
for (const line of [...senders, ...again, ...pair]) line.close();
process.exit(0);
