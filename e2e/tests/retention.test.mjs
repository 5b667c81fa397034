// A conversation whose messages were all removed goes on counting where it was, also for a transfer that starts anew.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { before, test } from 'node:test';
import { sleep, until } from '../sdk/lib/wait.mjs';
import { admin, as, at, login, user } from './lib/api.mjs';

const { CLUSTER_NAMESPACE: namespace, CLUSTER_NAME: cluster } = process.env;
const kubectl = (...words) => execFileSync('kubectl', ['--kubeconfig', at.kubeconfig, '-n', namespace, ...words], { encoding: 'utf8' });
const data = async (answer) => {
  const { errCode, data, ...rest } = await answer;
  assert.equal(errCode, 0, JSON.stringify(rest));
  return data;
};

let alice, bob, conversation;
const newest = async () => (await data(as(bob, '/msg/newest_seq', { userID: bob.userID })))?.maxSeqs?.[conversation] ?? 0;
const say = (content) => data(admin('/msg/send_msg', {
  sendID: alice.userID, recvID: bob.userID, sessionType: 1, contentType: 101, content: { content },
}));
async function pulled(end) {
  const seqRanges = [{ conversationID: conversation, begin: 1, end, num: 100 }];
  const answer = await data(as(bob, '/msg/pull_msg_by_seq', { userID: bob.userID, seqRanges }));
  return (answer?.msgs?.[conversation]?.Msgs ?? []).map(({ seq, clientMsgID }) => [seq, clientMsgID]);
}

before(async () => {
  await login();
  [alice, bob] = await Promise.all([user('alice'), user('bob')]);
  conversation = `si_${[alice.userID, bob.userID].sort().join('_')}`;
});

test('a message after all were removed is seen', async () => {
  await say('one');
  await say('two');
  await until('two messages', async () => await newest() === 2, 20_000);
  await sleep(1100);
  await data(admin('/msg/delete_msg_physical', { conversationIDs: [conversation], timestamp: 1 }));
  assert.deepEqual(await pulled(2), []);

  kubectl('rollout', 'restart', `deployment/${cluster}-transfer`);
  kubectl('rollout', 'status', `deployment/${cluster}-transfer`, '--timeout=90s');
  const { clientMsgID } = await say('three');
  await until('a third message', async () => await newest() === 3, 30_000);
  assert.deepEqual(await pulled(3), [[3, clientMsgID]]);
});
