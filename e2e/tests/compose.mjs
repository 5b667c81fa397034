// Two users and a message, stored by one run and read by a later one: compose.mjs write | read; $NOTE is a file that remembers them in between.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { Socket } from './sdk/lib/socket.mjs';
import { until } from './sdk/lib/wait.mjs';
import { admin, at, login, ok, user } from './lib/api.mjs';

await until('an administrator logs in', () => login().then(() => true, (error) => { if (error.name === 'AssertionError') throw error; return false; }));

/** What is stored of a conversation, for a user. */
async function texts({ userID, token }, conversationID) {
  const answer = await ok({ token }, '/msg/pull_msg_by_seq', {
    userID, seqRanges: [{ conversationID, begin: 1, end: 1, num: 1 }], order: 1,
  });
  return answer.msgs?.[conversationID]?.Msgs?.map(({ content }) => JSON.parse(Buffer.from(content, 'base64')).content) ?? [];
}

if (process.argv[2] === 'write') {
  const [alice, bob] = [await user('alice'), await user('bob')];
  const socket = await Socket.open(at.ws, bob);
  const sent = await admin('/msg/send_msg', {
    sendID: alice.userID, recvID: bob.userID, senderPlatformID: 2, contentType: 101, sessionType: 1,
    content: { content: 'kept' },
  });
  assert.equal(sent.errCode, 0, JSON.stringify(sent));
  const conversationID = `si_${[alice.userID, bob.userID].sort().join('_')}`;
  await until('the message is pushed', () => socket.messages().some(({ serverMsgID }) => serverMsgID === sent.data.serverMsgID));
  socket.line.close();
  await until('the message is stored', async () => (await texts(bob, conversationID)).includes('kept'));
  writeFileSync(process.env.NOTE, JSON.stringify({ bob, conversationID }));
} else {
  const { bob, conversationID } = JSON.parse(readFileSync(process.env.NOTE, 'utf8'));
  await until('the message is there', async () => (await texts(bob, conversationID)).length > 0);
  assert.deepEqual(await texts(bob, conversationID), ['kept']);
}
