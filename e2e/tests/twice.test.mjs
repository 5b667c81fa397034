// A record that is in the topic of push twice, as when its producer died or heard no answer, is pushed once to a connection that is open.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Socket } from './sdk/lib/socket.mjs';
import { at, login, user } from './lib/api.mjs';
import { again } from './lib/kafka.mjs';

const { KAFKA_LOG, KAFKA_PORT, PUSH_METRICS } = process.env;
let alice, bob;
before(async () => {
  await login();
  [alice, bob] = await Promise.all(['alice', 'bob'].map(user));
  for (const who of [alice, bob]) who.line = await Socket.open(at.ws, who);
});
after(() => { for (const who of [alice, bob]) who.line.close(); });

async function say(content) {
  const clientMsgID = randomUUID();
  await alice.line.must('send', {
    sendID: alice.userID, recvID: bob.userID, clientMsgID, contentType: 101, sessionType: 1, content: Buffer.from(JSON.stringify({ content })),
  });
  await bob.line.message(content, (message) => message.clientMsgID === clientMsgID);
  return clientMsgID;
}
const repeats = async () => Number((await (await fetch(PUSH_METRICS)).text()).match(/^push_repeats\S* (\d+)/m)[1]);

test('a record that is in the topic twice is pushed once', async () => {
  const first = await say('first');
  const before = await repeats();
  assert.ok(await again(KAFKA_LOG, KAFKA_PORT, 'toPush') > 0);
  // Behind the repeats, in the same partition.
  const last = await say('last');
  assert.ok(await repeats() > before, 'push has read them again');
  const heard = bob.line.messages().filter(({ notification }) => !notification).map(({ clientMsgID }) => clientMsgID);
  assert.deepEqual(heard, [first, last]);
});
