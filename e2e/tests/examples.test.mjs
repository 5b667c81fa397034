// The examples of the documentation work as they are written: the commands of docs/develop/rest.md, and the receiver of docs/develop/webhooks.md.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { LIMITED, until } from './sdk/lib/wait.mjs';

const page = (name) => readFileSync(new URL(`../../docs/develop/${name}.md`, import.meta.url), 'utf8');
const blocks = (text, language) => [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map((match) => match[1]);

test('the REST examples send a message that its receiver reads', { skip: !process.env.OPENIM_ENDPOINTS && 'needs a cluster' }, () => {
  const at = JSON.parse(process.env.OPENIM_ENDPOINTS);
  // Users of this run: the ids of the page may be registered already.
  const own = Date.now().toString(36);
  const script = blocks(page('rest'), 'sh').join('\n').replaceAll(/(?<![a-z])(alice|bob)(?![a-z])/g, `$1${own}`);
  const said = execFileSync('bash', ['-euo', 'pipefail', '-c', script], { ...LIMITED, env: { ...process.env, API: at.api, SECRET: at.secret } });
  const answers = said.trim().split('\n').map((line) => JSON.parse(line));
  assert.equal(answers.length, 4, said);
  for (const answer of answers) assert.equal(answer.errCode, 0, said);
  assert.match(answers[1].data.token, /^\S+\.\S+\.\S+$/);
  const [message] = answers[3].data.msgs[`si_alice${own}_bob${own}`].Msgs;
  assert.equal(message.sendID, `alice${own}`);
  assert.equal(JSON.parse(Buffer.from(message.content, 'base64')).content, 'Hello Bob');
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
