// A conversation whose messages were all removed goes on counting where it was, also for a transfer that starts anew.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { sleep, until } from './sdk/lib/wait.mjs';
import { admin, as, login, user } from './lib/api.mjs';
import { kubectl } from './lib/database.mjs';

const { CLUSTER_NAME: cluster } = process.env;
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
  kubectl('rollout', 'status', `deployment/${cluster}-transfer`, '--timeout=300s');
  const { clientMsgID } = await say('three');
  await until('a third message', async () => await newest() === 3, 30_000);
  assert.deepEqual(await pulled(3), [[3, clientMsgID]]);
});

test('one message with a time of long ago hides no other', async () => {
  const [carol, dave] = await Promise.all([user('carol'), user('dave')]);
  const pair = (one, other) => `si_${[one.userID, other.userID].sort().join('_')}`;
  const tell = (to, content, extra = {}) => admin('/msg/send_msg', {
    sendID: carol.userID, recvID: to.userID, sessionType: 1, contentType: 101, content: { content }, ...extra,
  });
  const newestOf = async (to) => (await data(as(carol, '/msg/newest_seq', { userID: carol.userID })))?.maxSeqs?.[pair(carol, to)] ?? 0;
  const seen = async (to, end) => {
    const seqRanges = [{ conversationID: pair(carol, to), begin: 1, end, num: 100 }];
    const answer = await data(as(carol, '/msg/pull_msg_by_seq', { userID: carol.userID, seqRanges }));
    return (answer?.msgs?.[pair(carol, to)]?.Msgs ?? []).map(({ seq }) => seq);
  };
  for (const content of ['one', 'two', 'three']) await data(tell(dave, content));
  // In seconds instead of milliseconds; long ago; tomorrow.
  for (const sendTime of [1_700_000_000, 1_700_000_000_000, Date.now() + 86_400_000]) {
    const refused = await tell(dave, 'when?', { sendTime });
    assert.equal(refused.errCode, 1001, JSON.stringify(refused));
    assert.ok(refused.errDlt.includes('sendTime'), refused.errDlt);
  }
  await data(tell(dave, 'yesterday', { sendTime: Date.now() - 80_000_000 }));
  // A back end that brings what was said elsewhere.
  await data(tell(dave, 'imported', { sendTime: 1_700_000_000_000, isImport: true }));
  await data(tell(bob, 'imported first', { sendTime: 1_700_000_000_001, isImport: true }));
  await data(tell(bob, 'now'));
  await until('all messages', async () => await newestOf(dave) === 5 && await newestOf(bob) === 2, 20_000);
  kubectl('rollout', 'restart', `deployment/${cluster}-cron`);
  await until('what is old at the front is gone', async () => (await seen(bob, 2)).join() === '2', 60_000);
  assert.deepEqual(await seen(dave, 5), [1, 2, 3, 4, 5]);
});

test('messages vanish for who wants it so, by two crons at once', async () => {
  const spec = (replicas) => JSON.stringify({ spec: { services: { cron: { replicas } } } });
  const stays = (await data(as(alice, '/msg/newest_seq', { userID: alice.userID }))).maxSeqs[conversation];
  await data(as(bob, '/conversation/set_conversations', {
    userIDs: [bob.userID], conversation: { conversationID: conversation, conversationType: 1, userID: alice.userID, isMsgDestruct: true, msgDestructTime: 1 },
  }));
  await sleep(1500);
  try {
    kubectl('patch', 'openimcluster', cluster, '--type', 'merge', '-p', spec(2));
    await until('two crons', () => kubectl('get', 'deployment', `${cluster}-cron`, '-o', 'jsonpath={.status.readyReplicas}') === '2', 60_000);
    // They begin with what is due.
    kubectl('rollout', 'restart', `deployment/${cluster}-cron`);
    await until('they are gone for bob', async () => (await pulled(stays)).length === 0, 60_000);
    const own = { userID: alice.userID, seqRanges: [{ conversationID: conversation, begin: 1, end: stays, num: 100 }] };
    const kept = (await data(as(alice, '/msg/pull_msg_by_seq', own))).msgs[conversation].Msgs;
    assert.deepEqual(kept.map(({ seq }) => seq), [stays], 'the other one keeps them');
    const { conversation: row } = await data(as(bob, '/conversation/get_conversation', { ownerUserID: bob.userID, conversationID: conversation }));
    assert.deepEqual([row.minSeq, row.latestMsgDestructTime > Date.now() - 120_000], [stays + 1, true]);
  } finally {
    kubectl('patch', 'openimcluster', cluster, '--type', 'merge', '-p', spec(1));
  }
});
