// An AI's bot as OpenIM's own AI channel is one: it logs in with the JavaScript SDK and a token for platform 12, and answers by an endpoint that speaks as
// OpenAI's does, in groups only who mentions it. Its parent gives it {token, api, ws, model} in AGENT and is told when it is logged in.
//   agent.mjs            with the SDK alone
//   agent.mjs FOLDER     with the channel itself: FOLDER has @openim/openclaw-channel, built; this file is what it takes for the OpenClaw gateway
import { createRequire, register } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const { token, api, ws, model } = JSON.parse(process.env.AGENT);
const PLATFORM = JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).PlatformID;

async function complete(question) {
  const answer = await fetch(`${model}/chat/completions`, {
    method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: question }] }),
  });
  return (await answer.json()).choices[0].message.content;
}

/** The channel in what a gateway is to it: its configuration, and an agent that answers. */
async function channel(folder) {
  // It names its own files without their extension, as bundlers take them.
  register(`data:text/javascript,${encodeURIComponent(`export const resolve = (name, context, next) =>
    next(/^\\.{1,2}\\/[^.]+$/.test(name) ? name + '.js' : name, context);`)}`);
  const reply = {
    async dispatchReplyWithBufferedBlockDispatcher({ ctx, dispatcherOptions }) {
      await dispatcherOptions.deliver({ text: await complete(ctx.RawBody) });
    },
  };
  let service;
  const logger = { info() {}, warn: console.error, error: console.error };
  const config = { channels: { openim: { accounts: { default: { token, wsAddr: ws, apiAddr: api } } } } };
  const { default: begin } = await import(pathToFileURL(resolve(folder, 'dist/index.js')));
  begin({ config, logger, runtime: { channel: { reply } }, registerChannel() {}, registerService(one) { service = one; } });
  await service.start();
}

async function alone() {
  const { getSDK, CbEvents } = createRequire(import.meta.url)('@openim/client-sdk');
  const sdk = getSDK();
  const self = JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).UserID;
  const answered = new Set();
  async function hear(message) {
    const mentioned = message.atTextElem?.atUserList?.includes(self);
    if (message.sendID === self || answered.has(message.clientMsgID) || (message.groupID && !mentioned)) return;
    answered.add(message.clientMsgID);
    const text = await complete(message.atTextElem?.text ?? message.textElem.content);
    const target = message.groupID ? { recvID: '', groupID: message.groupID } : { recvID: message.sendID, groupID: '' };
    await sdk.sendMessage({ ...target, message: (await sdk.createTextMessage(text)).data });
  }
  for (const name of [CbEvents.OnRecvNewMessages, CbEvents.OnRecvOfflineNewMessages]) sdk.on(name, ({ data }) => data.forEach(hear));
  await sdk.login({ userID: self, token, platformID: PLATFORM, apiAddr: api, wsAddr: ws });
}

if (process.argv[2]) await channel(process.argv[2]);
else await alone();
process.on('disconnect', () => process.exit(0));
process.send({ ready: true, platform: PLATFORM });
