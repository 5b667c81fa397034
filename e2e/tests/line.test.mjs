// What one user sends must not stop what is behind it, and everybody sees the same message at a seq.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Socket } from './sdk/lib/socket.mjs';
import { admin, at, login, ok, user } from './lib/api.mjs';

let alice, bob, single;
before(async () => {
  await login();
  [alice, bob] = await Promise.all(['alice', 'bob'].map(user));
  for (const who of [alice, bob]) who.line = await Socket.open(at.ws, who);
  single = `si_${[alice.userID, bob.userID].sort().join('_')}`;
});
after(() => { for (const who of [alice, bob]) who.line.close(); });
const chat = (content, extra = {}) => ({
  sendID: alice.userID, recvID: bob.userID, clientMsgID: randomUUID(), contentType: 101, sessionType: 1, content: Buffer.from(JSON.stringify({ content })), ...extra,
});
const pulled = async (seq) => {
  const answer = await ok(bob, '/msg/pull_msg_by_seq', { userID: bob.userID, seqRanges: [{ conversationID: single, begin: seq, end: seq, num: 10 }] });
  return answer?.msgs?.[single]?.Msgs ?? [];
};
const byRest = (fields) => admin('/msg/send_msg', { sendID: alice.userID, recvID: bob.userID, contentType: 101, sessionType: 1, content: { content: 'x' }, ...fields });

test('what is too long as a whole or in a field is refused, and says which', async () => {
  for (const [fields, named] of [
    [{ senderNickname: 'n'.repeat(100_000) }, 'senderNickname'], [{ senderFaceURL: 'n'.repeat(70_000) }, 'senderFaceURL'],
    [{ ex: 'n'.repeat(70_000) }, 'ex'], [{ content: { content: 'n'.repeat(530_000) } }, 'content'],
    [{ content: { content: 'n'.repeat(524_200) }, ex: 'e'.repeat(65_536), senderFaceURL: 'f'.repeat(65_536), senderNickname: 'n'.repeat(1024) }, 'the message'],
  ]) {
    const answer = await byRest(fields);
    assert.equal(answer.errCode, 1001, `${named}: ${JSON.stringify(answer).slice(0, 200)}`);
    assert.ok(answer.errDlt.includes(named), answer.errDlt);
  }
});
test('behind the longest message that is accepted the next one arrives', async () => {
  let [accepted, refused] = [500_000, 530_000];
  while (refused - accepted > 1000) {
    const middle = Math.floor((accepted + refused) / 2);
    const { errCode } = await byRest({ content: { content: 'n'.repeat(middle) }, ex: 'e'.repeat(65_536), senderFaceURL: 'f'.repeat(65_536) });
    assert.ok([0, 1001].includes(errCode), `${errCode}`);
    if (errCode === 0) accepted = middle; else refused = middle;
  }
  const message = chat('behind it');
  await alice.line.must('send', message);
  const got = await bob.line.message('the next one', (item) => item.clientMsgID === message.clientMsgID);
  assert.ok(got.seq > 1, 'the long ones have seqs');
});
test('a retry with another body changes nothing: what is pushed is what is pulled', async () => {
  const first = chat('the first body');
  await alice.line.must('send', first);
  const { seq } = await bob.line.message('the message', (item) => item.clientMsgID === first.clientMsgID);
  await alice.line.must('send', { ...first, content: Buffer.from('{"content":"another body"}') });
  // Sent behind the retry in the same chat: when it is there, the retry was handled.
  const next = chat('next');
  await alice.line.must('send', next);
  const behind = await bob.line.message('the next one', (item) => item.clientMsgID === next.clientMsgID);
  assert.equal(behind.seq, seq + 1);
  const pushed = bob.line.messages().filter((item) => item.clientMsgID === first.clientMsgID);
  assert.ok(pushed.every((item) => item.seq === seq && item.content.toString().includes('the first body')), JSON.stringify(pushed));
  const [stored] = await pulled(seq);
  assert.equal(Buffer.from(stored.content, 'base64').toString(), '{"content":"the first body"}');
});
