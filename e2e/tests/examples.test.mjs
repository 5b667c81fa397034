// The examples of the documentation work as they are written: the commands of docs/develop/rest.md, the bot of docs/develop/sdk.md, and the receiver of
// docs/develop/webhooks.md.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LIMITED, until } from './sdk/lib/wait.mjs';

const page = (name) => readFileSync(new URL(`../../docs/develop/${name}.md`, import.meta.url), 'utf8');
const blocks = (text, language) => [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map((match) => match[1]);

test('the REST examples send a message that its receiver reads', { skip: !process.env.OPENIM_ENDPOINTS && 'needs a cluster' }, () => {
  const at = JSON.parse(process.env.OPENIM_ENDPOINTS);
  // Users of this run: the ids of the page may be registered already.
  const own = Date.now().toString(36);
  const script = blocks(page('rest'), 'sh').join('\n').replaceAll(/(?<![a-z])(alice|bob)(?![a-z])/g, `$1${own}`).replaceAll('hello-1', `hello-${own}`);
  const said = execFileSync('bash', ['-euo', 'pipefail', '-c', script], { ...LIMITED, env: { ...process.env, API: at.api, SECRET: at.secret } });
  const answers = said.trim().split('\n').map((line) => JSON.parse(line));
  assert.equal(answers.length, 7, said);
  for (const answer of answers) assert.equal(answer.errCode, 0, said);
  assert.match(answers[1].data.token, /^\S+\.\S+\.\S+$/);
  const [message] = answers[3].data.msgs[`si_alice${own}_bob${own}`].Msgs;
  assert.equal(message.sendID, `alice${own}`);
  assert.equal(JSON.parse(Buffer.from(message.content, 'base64')).content, 'Hello Bob');
  assert.deepEqual(answers[5].data.members.map(({ userID }) => userID).sort(), [`alice${own}`, `bob${own}`]);
  assert.equal(answers[6].data.status, 2);
});

test('the bot answers', { skip: !process.env.OPENIM_ENDPOINTS && 'needs a cluster' }, async (context) => {
  const { admin, at, login, ok, user } = await import('./lib/api.mjs');
  await login();
  const alice = await user('alice');
  const { userID: bot } = await user('bot');
  const { token } = (await admin('/auth/get_user_token', { userID: bot, platformID: 12 })).data;
  const work = mkdtempSync(join(tmpdir(), 'bot-'));
  symlinkSync(fileURLToPath(new URL('sdk/node_modules', import.meta.url)), join(work, 'node_modules'));
  writeFileSync(join(work, 'bot.mjs'), blocks(page('sdk'), 'js').find((text) => text.includes('You said')));
  const child = spawn(process.execPath, ['--experimental-websocket', '--no-warnings', join(work, 'bot.mjs')], {
    env: { ...process.env, API: at.api, WS: at.ws, BOT: bot, TOKEN: token }, stdio: ['ignore', 'pipe', 'inherit'] });
  context.after(() => { child.kill(); rmSync(work, { recursive: true }); });
  let printed = '';
  child.stdout.on('data', (text) => { printed += text; });
  await until('it is logged in', () => printed.includes('logged in'), 60_000);

  await admin('/msg/send_msg', { sendID: alice.userID, recvID: bot, sessionType: 1, contentType: 101, content: { content: 'hello' } });
  const conversationID = `si_${[alice.userID, bot].sort().join('_')}`;
  const heard = async () => {
    const { msgs } = await ok(alice, '/msg/pull_msg_by_seq', { userID: alice.userID, seqRanges: [{ conversationID, begin: 1, end: 10, num: 10 }] });
    return (msgs[conversationID]?.Msgs ?? []).map(({ sendID, content }) => [sendID, JSON.parse(Buffer.from(content, 'base64')).content]);
  };
  await until('the answer', async () => (await heard()).length === 2, 30_000);
  assert.deepEqual(await heard(), [[alice.userID, 'hello'], [bot, 'You said: hello']]);
});

test('the webhook receiver verifies signatures and rejects what it should', async (context) => {
  const work = mkdtempSync(join(tmpdir(), 'webhook-'));
  const file = join(work, 'receiver.mjs');
  writeFileSync(file, blocks(page('webhooks'), 'js')[0]);
  const port = await new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => { const { port } = server.address(); server.close(() => resolve(port)); });
  });
  const receiver = spawn(process.execPath, [file], { env: { ...process.env, PORT: port, SIGNING_SECRET: 's' }, stdio: 'inherit' });
  context.after(() => { receiver.kill(); rmSync(work, { recursive: true }); });
  await until('it listens', () => new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
    socket.on('error', () => resolve(false));
  }), 10_000);

  const post = async (content, { secret = 's', age = 0, query = '' } = {}) => {
    const body = JSON.stringify({ content });
    const timestamp = String(Math.floor(Date.now() / 1000) - age);
    const signature = 'sha256=' + createHmac('sha256', secret).update(`${timestamp}.${query}.${body}`).digest('hex');
    const answer = await fetch(`http://127.0.0.1:${port}/openim/callbackBeforeSendSingleMsgCommand${query && `?${query}`}`, {
      method: 'POST', body, headers: { 'x-openim-timestamp': timestamp, 'x-openim-signature-v2': signature } });
    return answer.status === 200 ? answer.json() : answer.status;
  };
  assert.deepEqual(await post('hello'), { actionCode: 0, errCode: 0, errMsg: '', errDlt: '', nextCode: 0 });
  assert.equal((await post('hello', { query: 'key=a' })).nextCode, 0);
  const rejected = await post('a forbidden word');
  assert.deepEqual([rejected.actionCode, rejected.nextCode, rejected.errCode], [0, 1, 7001]);
  assert.equal(await post('hello', { secret: 'wrong' }), 403);
  assert.equal(await post('hello', { age: 600 }), 403);
});
