// A bot that answers by an OpenAI-compatible endpoint while it is still thinking: its answers grow as streams (streams.md). Node 20 or later,
// no packages. OpenIM calls it with the hooks afterSendSingleMsg and, if somebody mentions it in a group, afterSendGroupMsg.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const {
  OPENIM_API, OPENIM_SECRET, // where the REST API is, and the API secret of the cluster
  OPENIM_ADMIN = 'imAdmin', BOT = 'assistant', SIGNING_SECRET = '', // the Secret of spec.webhooks.signingSecretName
  MODEL_URL = 'http://127.0.0.1:11434/v1', MODEL = 'llama3.2', MODEL_KEY = '', PORT = '8000',
  TYPE = 'text', // or markdown, for applications that show it (streams.md)
} = process.env;
const PAUSE = 200; // ms between two appends
const PATIENCE = 60_000; // ms for which an append is repeated
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let token = '';
async function call(path, body) {
  for (let attempt = 0; ; attempt++) {
    const response = await fetch(OPENIM_API + path, {
      method: 'POST', signal: AbortSignal.timeout(15_000), body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', operationID: `bot-${Date.now()}`, ...(token && { token }) },
    });
    const answer = await response.json();
    // The administrator's token is valid for a day.
    if (answer.errCode >= 1501 && answer.errCode <= 1507 && attempt === 0) await login();
    else return answer;
  }
}
async function login() {
  token = '';
  const answer = await call('/auth/get_admin_token', { userID: OPENIM_ADMIN, secret: OPENIM_SECRET });
  if (answer.errCode !== 0) throw new Error(JSON.stringify(answer));
  token = answer.data.token;
}
// Without an answer nobody knows whether it happened. The same call again is answered as the first one, and nothing is there twice.
async function insist(path, body) {
  for (const end = Date.now() + PATIENCE; ; await sleep(500)) {
    const answer = await call(path, body).catch((error) => ({ errCode: 500, errDlt: String(error) }));
    if (answer.errCode === 0) return answer.data;
    const passes = [429, 500, 90004, 90007].includes(answer.errCode);
    if (!passes || Date.now() > end) throw new Error(`${path}: ${JSON.stringify(answer)}`);
  }
}

/** What the model says, piece by piece, as server-sent events bring it. */
async function* completion(question) {
  const response = await fetch(`${MODEL_URL}/chat/completions`, {
    method: 'POST', headers: { 'content-type': 'application/json', ...(MODEL_KEY && { authorization: `Bearer ${MODEL_KEY}` }) },
    body: JSON.stringify({ model: MODEL, stream: true, messages: [{ role: 'user', content: question }] }),
  });
  if (!response.ok) throw new Error(`the model answered ${response.status}`);
  const decoder = new TextDecoder();
  let rest = '';
  for await (const bytes of response.body) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith('data:')) continue;
      const data = line.slice(5).trim();
      if (data === '[DONE]') return;
      const piece = JSON.parse(data).choices?.[0]?.delta?.content;
      if (piece) yield piece;
    }
  }
}

async function answer(message) {
  const chat = message.groupID ? { groupID: message.groupID, sessionType: 3 } : { recvID: message.sendID, sessionType: 1 };
  const conversationID = message.groupID ? `sg_${message.groupID}` : `si_${[BOT, message.sendID].sort().join('_')}`;
  // The hook may come twice: the same id makes one answer of it.
  const clientMsgID = createHash('md5').update(`${message.sendID} ${message.clientMsgID}`).digest('hex');
  await insist('/msg/send_msg', { ...chat, sendID: BOT, clientMsgID, contentType: 143, content: { type: TYPE, content: '' } });
  let startIndex = 0, packets = [], sent = Date.now();
  const append = async (end) => {
    await insist('/msg/append_stream_msg', { conversationID, clientMsgID, startIndex, packets, end });
    startIndex += packets.length;
    packets = [];
    sent = Date.now();
  };
  try {
    for await (const piece of completion(question(message))) {
      packets.push(piece);
      if (Date.now() - sent >= PAUSE) await append(false);
    }
  } catch (error) {
    console.error(error);
    packets.push(startIndex + packets.length > 0 ? ' … (interrupted)' : 'I cannot answer now.');
  }
  await append(true);
}

function question(message) {
  const content = JSON.parse(message.content);
  return content.content ?? content.text ?? '';
}
const isForBot = (message) => message.sendID !== BOT && [101, 106].includes(message.contentType)
  && (message.groupID ? (message.atUserList ?? []).includes(BOT) : message.recvID === BOT);

function isSigned({ headers, url }, body) {
  if (!SIGNING_SECRET) return true;
  const timestamp = headers['x-openim-timestamp'] ?? '';
  const expected = Buffer.from('sha256=' + createHmac('sha256', SIGNING_SECRET).update(`${timestamp}.${url.split('?')[1] ?? ''}.`).update(body).digest('hex'));
  const given = Buffer.from(headers['x-openim-signature-v2'] ?? '');
  return Math.abs(Date.now() / 1000 - timestamp) < 300 && given.length === expected.length && timingSafeEqual(given, expected);
}

await login();
await call('/user/user_register', { users: [{ userID: BOT, nickname: 'Assistant' }] }); // 1102: it is registered already
const answering = new Set();
createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray());
  if (!isSigned(request, body)) return response.writeHead(403).end();
  response.setHeader('content-type', 'application/json').end('{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}');
  if (!/\/callbackAfterSend(Single|Group)MsgCommand/.test(request.url)) return;
  const message = JSON.parse(body), id = `${message.sendID} ${message.clientMsgID}`;
  if (!isForBot(message) || answering.has(id)) return;
  answering.add(id);
  await answer(message).catch((error) => console.error(error)).finally(() => answering.delete(id));
}).listen(Number(PORT), () => console.log(`${BOT} listens on port ${PORT}`));
