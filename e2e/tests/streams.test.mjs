// Messages that grow: read while they are written, whole at the end for everybody, whatever is killed; and the bot of docs/develop/streams.md.
import assert from 'node:assert/strict';
import { fork, spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { Socket } from './sdk/lib/socket.mjs';
import { sleep, until } from './sdk/lib/wait.mjs';
import { admin, as, at, login, ok, root, user } from './lib/api.mjs';
import { save, see, show } from './lib/shown.mjs';

const { SERVER, CONFIG, READY, BOT_PORT, MODEL_PORT, SIGNING_SECRET, CHANNEL } = process.env;
const BOT = { userID: 'streambot' };
const STREAM = 143;
const programs = new Set();
function run(program, words, env = {}) {
  const process_ = spawn(program, words, { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...env } });
  programs.add(process_);
  return process_;
}
const ended = (process_) => new Promise((resolve) => { if (process_.exitCode !== null || process_.signalCode) resolve(); else process_.once('exit', resolve); });
async function killed(process_) {
  process_.kill('SIGKILL');
  await ended(process_);
  programs.delete(process_);
}
let server;
async function startServer() {
  server = run(SERVER, ['all', '--config', CONFIG]);
  await until('the services are ready', () => fetch(READY).then((answer) => answer.ok, () => false));
  await until('an administrator logs in', () => login().catch(() => false));
}
let alice, bob, eve, groupID, group;
before(async () => {
  await startServer();
  await admin('/user/user_register', { users: [{ userID: BOT.userID, nickname: 'Bot' }] });
  Object.assign(BOT, await ok(root, '/auth/get_user_token', { userID: BOT.userID, platformID: 12 }));
  [alice, bob, eve] = await Promise.all(['alice', 'bob', 'eve'].map(user));
  groupID = (await ok(alice, '/group/create_group', { ownerUserID: alice.userID, memberUserIDs: [BOT.userID, bob.userID], groupInfo: { groupName: 'g', groupType: 2 } })).groupInfo.groupID;
  group = `sg_${groupID}`;
});
after(async () => {
  await Promise.all([...programs].map(killed));
  save('streams');
});

let count = 0;
/** Begins a stream of the bot's; how to append to it. */
async function begin(target = { groupID, sessionType: 3 }, content = { type: 'markdown', content: '' }) {
  const clientMsgID = `answer-${Date.now()}-${++count}`;
  const conversationID = target.groupID ? group : `si_${[BOT.userID, target.recvID].sort().join('_')}`;
  const body = { sendID: BOT.userID, clientMsgID, contentType: STREAM, content, ...target };
  assert.equal((await ok(root, '/msg/send_msg', body)).clientMsgID, clientMsgID);
  const about = { conversationID, clientMsgID };
  const append = (startIndex, packets, end = false, who = BOT) => as(who, '/msg/append_stream_msg', { ...about, startIndex, packets, end });
  return { about, append, body };
}
const works = async (call) => {
  const answer = await call;
  assert.equal(answer.errCode, 0, JSON.stringify(answer));
};
const tips = (line, { clientMsgID }) => line.messages().filter((message) => message.contentType === 2001)
  .map((message) => JSON.parse(JSON.parse(message.content).detail)).filter(({ key }) => key === 'openim.stream')
  .map(({ data }) => JSON.parse(data)).filter((data) => data.clientMsgID === clientMsgID);
/** The messages of a stream as somebody pulls them. */
async function read(who, { conversationID, clientMsgID }) {
  const { msgs } = await ok(who, '/msg/pull_msg_by_seq', { userID: who.userID, seqRanges: [{ conversationID, begin: 1, end: 1000, num: 1000 }] });
  return (msgs?.[conversationID]?.Msgs ?? []).filter((message) => message.clientMsgID === clientMsgID)
    .map(({ seq, contentType, content: bytes }) => {
      const { content, detail } = JSON.parse(Buffer.from(bytes, 'base64'));
      assert.equal(detail, contentType === 118 ? content : undefined, 'SDKs that do not know Markdown get its text as detail');
      return { seq, contentType, text: content };
    });
}
const finished = (who, about) => until(`${who.userID} has the message`, async () => {
  const found = await read(who, about);
  return found.length > 0 && found;
});

test('a stream is read while it is written, and is one message in the end', async () => {
  const line = await Socket.open(at.ws, alice);
  const { about, append, body } = await begin();
  await ok(root, '/msg/send_msg', body);
  const packets = 'It was the best of times, it was the worst of times'.match(/\S+\s*/g);
  for (let i = 0; i < packets.length; i++) await works(append(i, [packets[i]]));
  const told = await until('the packets are told', () => {
    const known = [];
    for (const { startIndex, packets: more } of tips(line, about)) {
      assert.ok(startIndex <= known.length, 'nothing is lost while nobody dies');
      known.push(...(more ?? []).slice(known.length - startIndex));
    }
    return known.length === packets.length && known;
  });
  assert.deepEqual(told, packets);
  assert.ok(tips(line, about).length < packets.length, 'several are told together');
  assert.deepEqual(await read(bob, about), [], 'it is not sent yet');
  const { streams } = await ok(bob, '/msg/get_stream_msgs', about);
  assert.deepEqual(streams.map(({ clientMsgID, userID, type }) => ({ clientMsgID, userID, type })), [{ clientMsgID: about.clientMsgID, userID: BOT.userID, type: 'markdown' }]);
  const missed = await ok(bob, '/msg/get_stream_msg', { ...about, startIndex: 3 });
  assert.deepEqual([missed.packets, missed.nextIndex, missed.end], [packets.slice(3), packets.length, false]);
  await works(append(packets.length, ['.'], true));
  await works(append(packets.length, ['.'], true));
  const message = await line.message('the message', ({ clientMsgID }) => clientMsgID === about.clientMsgID);
  assert.deepEqual([message.contentType, JSON.parse(message.content).content], [118, packets.join('') + '.']);
  const found = await finished(bob, about);
  assert.deepEqual(found, [{ seq: message.seq, contentType: 118, text: packets.join('') + '.' }]);
  assert.equal(line.messages().filter(({ clientMsgID }) => clientMsgID === about.clientMsgID).length, 1);
  const closed = await ok(bob, '/msg/get_stream_msg', about);
  assert.deepEqual([closed.end, closed.ended, closed.packets, closed.nextIndex], [true, 'sent', null, packets.length + 1]);
  assert.equal((await ok(bob, '/msg/get_stream_msgs', about)).streams, null);
  for (const path of ['append_stream_msg', 'get_stream_msg', 'get_stream_msgs']) show(`/msg/${path}`, 'works');
  see('content types', STREAM);
  line.close();
});

test('positions decide, and what is wrong is named', async () => {
  const { about, append } = await begin({ recvID: alice.userID, sessionType: 1 }, { type: 'text', content: 'So: ' });
  await works(append(0, ['a', 'b']));
  await works(append(1, ['b', 'c']));
  for (const [call, code, named] of [
    [append(5, ['x']), 1002, /leaves a gap: the next packet of this stream is 3/], [append(1, ['B']), 1002, /packet 1 differs/],
    [append(3, ['x'], false, alice), 1002, /only the sender/], [append(3, ['x'], false, eve), 1004, /no stream/],
    [append(3, ['x'.repeat(16_385)]), 1001, /an item of packets/], [append(3, Array(1001).fill('x')), 1001, /packets has more than 1000 items/],
    [append(-1, ['x']), 1001, /startIndex/], [as(eve, '/msg/get_stream_msg', about), 1004, /no stream/],
    [admin('/msg/send_msg', { sendID: BOT.userID, recvID: alice.userID, sessionType: 1, contentType: STREAM, content: { type: 'html' } }), 1001, /text.*markdown/],
    [admin('/msg/send_msg', { sendID: alice.userID, recvID: BOT.userID, sessionType: 1, contentType: STREAM, clientMsgID: about.clientMsgID, content: { type: 'text' } }), 1003, /clientMsgID/],
  ]) {
    const answer = await call;
    assert.equal(answer.errCode, code, JSON.stringify(answer));
    assert.match(answer.errDlt, named);
  }
  await works(append(3, [], true));
  const late = await append(3, ['d']);
  assert.deepEqual([late.errCode, /has ended/.test(late.errDlt)], [1002, true], JSON.stringify(late));
  assert.deepEqual((await finished(alice, about)).map(({ contentType, text }) => [contentType, text]), [[101, 'So: abc']]);
});

test('whoever may not write there any more neither appends nor ends with a message', async () => {
  const { about, append } = await begin({ recvID: bob.userID, sessionType: 1 });
  await works(append(0, ['a']));
  await ok(bob, '/friend/add_black', { ownerUserID: bob.userID, blackUserID: BOT.userID });
  let next = 1;
  await until('it is refused', async () => {
    const { errCode } = await append(next, ['b']);
    if (errCode === 0) next++;
    return errCode === 1302;
  });
  assert.equal((await append(next, [], true)).errCode, 1302);
  const { end, ended, packets } = await ok(bob, '/msg/get_stream_msg', about);
  assert.deepEqual([end, packets], [true, null]);
  assert.match(ended, /blocked/);
  await ok(bob, '/friend/remove_black', { ownerUserID: bob.userID, blackUserID: BOT.userID });
  assert.deepEqual(await read(bob, about), []);
});

/** Repeats a call until it is answered with success; the services may be away. */
const insist = (call) => until('it is appended', async () => {
  const answer = await call().catch(() => ({ errCode: 500 })); // the connection broke
  if (![0, 429, 500].includes(answer.errCode)) throw new Error(JSON.stringify(answer));
  return answer.errCode === 0;
});
test('the services are killed while it is written: everybody ends with the same text, once', async () => {
  const { about, append } = await begin();
  const packets = Array.from({ length: 240 }, (_, i) => `word ${i} `);
  const deaths = new Set([40, 41, 100, 180, 239]);
  for (let i = 0; i < packets.length; i += 1 + (i % 3)) {
    const some = packets.slice(i, i + 1 + (i % 3));
    const appending = insist(() => append(i, some, i + some.length === packets.length));
    for (let n = i; n < i + some.length; n++) {
      if (!deaths.has(n)) continue;
      // Somewhere within the call.
      await sleep(n % 7);
      await killed(server);
      await startServer();
    }
    await appending;
  }
  const text = packets.join('');
  const [first] = await finished(alice, about);
  for (const who of [alice, bob]) assert.deepEqual(await read(who, about), [{ seq: first.seq, contentType: 118, text }]);
  // Afterwards nobody sends it again.
  await killed(server);
  await startServer();
  await sleep(20_000);
  assert.equal((await read(bob, about)).length, 1);
});

test('a crash between the end and its message is completed by others', async () => {
  const { about, append } = await begin();
  await works(append(0, ['all of it']));
  append(1, ['.'], true).catch(() => {});
  await sleep(3);
  await killed(server);
  await startServer();
  // Whether the end was stored or not: the writer repeats it, and it is there once.
  await insist(() => append(1, ['.'], true));
  assert.deepEqual((await finished(bob, about)).map(({ text }) => text), ['all of it.']);
});

test('one long upload writes a stream, and another goes on where it broke', async () => {
  const { about } = await begin();
  const put = (chunks, { signal, pause = 30, headers = { operationID: 'put', token: BOT.token } } = {}) => fetch(`${at.api}/msg/append_stream_msg?${new URLSearchParams(about)}`, {
    method: 'PUT', duplex: 'half', signal, headers: { 'content-type': 'text/plain', ...headers },
    body: new ReadableStream({
      async pull(to) {
        const chunk = await chunks.shift();
        if (!chunk) return to.close();
        await sleep(pause);
        return to.enqueue(chunk);
      },
    }),
  });
  const bytes = Buffer.from('über größere Gärten 👍 '.repeat(20));
  const pieces = (from, until) => { const all = []; for (let i = from; i < until; i += 13) all.push(bytes.subarray(i, Math.min(i + 13, until))); return all; };
  const refused = await (await put([Buffer.from('x')], { headers: { operationID: 'put', token: alice.token } })).json();
  assert.equal(refused.errCode, 1002, JSON.stringify(refused));
  assert.equal((await (await put([Buffer.from('x')], { headers: { operationID: 'put' } })).json()).errCode, 1001);
  // The connection breaks while nothing is on its way.
  const cut = new AbortController();
  const half = bytes.indexOf('Gärten', bytes.length / 2);
  const broken = put([...pieces(0, half), new Promise(() => {})], { signal: cut.signal, pause: 5 }).catch(() => 'broken');
  const written = async () => (await ok(bob, '/msg/get_stream_msg', about)).packets?.join('') ?? '';
  await until('the first half is stored', async () => Buffer.byteLength(await written()) === half);
  cut.abort();
  assert.equal(await broken, 'broken');
  const answer = await (await put(pieces(half, bytes.length), { pause: 5 })).json();
  assert.equal(answer.errCode, 0, JSON.stringify(answer));
  assert.ok(answer.data.nextIndex > 0);
  assert.deepEqual((await finished(bob, about)).map(({ text }) => text), [bytes.toString()]);
  const late = await (await put([Buffer.from('x')])).json();
  assert.equal(late.errCode, 1002, JSON.stringify(late));
});

/** A model behind an endpoint as OpenAI's: server-sent events, cut anywhere. */
function fakeModel(words, { pause = 10 } = {}) {
  const asked = [];
  const listener = createServer(async (request, response) => {
    const question = JSON.parse(Buffer.concat(await request.toArray()));
    asked.push({ url: request.url, authorization: request.headers.authorization, ...question });
    if (!question.stream) return response.end(JSON.stringify({ choices: [{ index: 0, message: { role: 'assistant', content: words.join('') }, finish_reason: 'stop' }] }));
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const chunk = (delta, finish = null) => `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
    const events = Buffer.from([
      ': a comment\n\n', chunk({ role: 'assistant', content: '' }), ...words.map((content) => chunk({ content })), chunk({}, 'stop'), 'data: [DONE]\n\n',
    ].join(''));
    // Neither events nor characters end where packets do.
    for (let i = 0; i < events.length; i += 97) {
      response.write(events.subarray(i, i + 97));
      await sleep(pause);
    }
    return response.end();
  });
  return new Promise((resolve) => { listener.listen(Number(MODEL_PORT), '127.0.0.1', () => resolve({ asked, close: () => { listener.closeAllConnections(); listener.close(); } })); });
}
test('the bot of the documentation answers, also when the services are killed in the middle of it', async (context) => {
  const words = Array.from({ length: 60 }, (_, i) => (i % 9 === 0 ? `größer 👍${i} ` : `wort${i} `));
  const model = await fakeModel(words);
  const bot = run(process.execPath, [new URL('../../docs/develop/stream-bot.mjs', import.meta.url).pathname], {
    OPENIM_API: at.api, OPENIM_SECRET: at.secret, OPENIM_ADMIN: at.adminUserID, BOT: BOT.userID, SIGNING_SECRET, PORT: BOT_PORT,
    MODEL_URL: `http://127.0.0.1:${MODEL_PORT}/v1`, MODEL: 'm', MODEL_KEY: 'k',
  });
  context.after(async () => { await killed(bot); model.close(); });
  await until('the bot listens', () => fetch(`http://127.0.0.1:${BOT_PORT}/`, { method: 'POST', body: '{}' }).then((answer) => answer.status === 403, () => false));
  const line = await Socket.open(at.ws, alice);
  const ask = async (target, content) => {
    await ok(root, '/msg/send_msg', { sendID: alice.userID, ...target, contentType: 101, sessionType: target.groupID ? 3 : 1, content: { content } });
  };
  const growing = () => line.messages().filter((message) => message.contentType === 2001)
    .map((message) => JSON.parse(JSON.parse(message.content).detail)).filter(({ key }) => key === 'openim.stream').map(({ data }) => JSON.parse(data));
  const conversationID = `si_${[BOT.userID, alice.userID].sort().join('_')}`;

  await ask({ recvID: BOT.userID }, 'how are you?');
  const tip = await until('the answer grows', () => growing().find((data) => data.conversationID === conversationID && data.packets?.length > 0));
  const found = await finished(alice, { conversationID, clientMsgID: tip.clientMsgID });
  assert.deepEqual(found.map(({ contentType, text }) => [contentType, text]), [[101, words.join('')]], 'a text, which every SDK shows');
  assert.deepEqual(model.asked[0], { url: '/v1/chat/completions', authorization: 'Bearer k', model: 'm', stream: true, messages: [{ role: 'user', content: 'how are you?' }] });

  const before_ = (await ok(alice, '/msg/get_stream_msgs', { conversationID })).streams;
  assert.equal(before_, null);
  await ask({ recvID: BOT.userID }, 'and now?');
  const [open] = await until('it answers', async () => (await ok(alice, '/msg/get_stream_msgs', { conversationID })).streams);
  await killed(server);
  await startServer();
  const second = await finished(alice, { conversationID, clientMsgID: open.clientMsgID });
  assert.deepEqual(second.map(({ text }) => text), [words.join('')], 'nothing is missing and nothing is twice');
  line.close();
});

test("a bot that connects as platform 12, as OpenIM's AI channel does, answers a user, and a group where it is mentioned", async (context) => {
  const words = ['five ', 'to ', 'twelve 👍'];
  const model = await fakeModel(words);
  const robot = `robot${Date.now()}`;
  await ok(root, '/user/user_register', { users: [{ userID: robot, nickname: 'Robot' }] });
  const { token } = await ok(root, '/auth/get_user_token', { userID: robot, platformID: 12 });
  const room = (await ok(alice, '/group/create_group', { ownerUserID: alice.userID, memberUserIDs: [robot, bob.userID], groupInfo: { groupName: 'r', groupType: 2 } })).groupInfo.groupID;
  const agent = fork(new URL('sdk/builds/agent.mjs', import.meta.url), CHANNEL ? [CHANNEL] : [], {
    execArgv: ['--experimental-websocket', '--no-warnings'], stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { ...process.env, AGENT: JSON.stringify({ token, api: at.api, ws: at.ws, model: `http://127.0.0.1:${MODEL_PORT}/v1` }) },
  });
  programs.add(agent);
  context.after(async () => { await killed(agent); model.close(); });
  await until('it has logged in', async () => {
    const [status] = await ok(root, '/user/get_users_online_status', { userIDs: [robot] });
    return status?.detailPlatformStatus?.some(({ platformID }) => platformID === 12);
  });
  const line = await Socket.open(at.ws, alice);
  const ask = (target, contentType, content) =>
    ok(root, '/msg/send_msg', { sendID: alice.userID, ...target, contentType, sessionType: target.groupID ? 3 : 1, content });
  const answers = () => line.messages().filter(({ sendID, contentType }) => sendID === robot && contentType === 101)
    .map(({ groupID, content }) => [groupID, JSON.parse(content).content]);
  await ask({ recvID: robot }, 101, { content: 'what is the time?' });
  await until('it answers alice', () => answers().length === 1);
  await ask({ groupID: room }, 101, { content: 'does anybody know?' });
  await ask({ groupID: room }, 106, { text: '@Robot and now?', atUserList: [robot], isAtSelf: false });
  await until('it answers the group', () => answers().length === 2);
  assert.deepEqual(answers(), [['', words.join('')], [room, words.join('')]]);
  assert.deepEqual(model.asked.map(({ url, messages }) => [url, messages[0].content]), [['/v1/chat/completions', 'what is the time?'], ['/v1/chat/completions', '@Robot and now?']]);
  line.close();
});
