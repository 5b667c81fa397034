// A move from a live upstream: its database is imported while it changes, whatever dies; afterwards its users find everything as they left it.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { Long, MongoClient, ObjectId } from './sdk/node_modules/mongodb/lib/index.js';
import { Socket } from './sdk/lib/socket.mjs';
import { LIMITED, sleep, until } from './sdk/lib/wait.mjs';
import { admin, at, login, ok, root } from './lib/api.mjs';
import { fixture, load, messagesOf, plain } from './lib/upstream.mjs';

const { SERVER, CONFIG, READY, MONGODB, REDIS } = process.env;
const client = new MongoClient(MONGODB, { serverSelectionTimeoutMS: 10_000 });
const [theirs, ours, large] = ['upstream', 'from_source', 'large'].map((name) => client.db(name));
const upstream = fixture();
const messages = messagesOf(upstream.msg);

const environment = (database) => ({ ...process.env, IMENV_MONGO_DATABASE: database });
const words = (source, options) => ['import', '--config', CONFIG, '--from', MONGODB, '--database', source, ...options];
const run = (database, all) => execFileSync(SERVER, all, { ...LIMITED, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], env: environment(database) });
const imports = (source, target, ...options) => run(target, words(source, options));
function refused(call) {
  try {
    call();
  } catch (error) {
    return error.stderr;
  }
  return assert.fail('it was not refused');
}
/** What a database holds, as a text for each collection. */
async function content(db) {
  const all = {};
  for (const { name } of await db.listCollections().toArray()) {
    const rows = await db.collection(name).find().toArray();
    // Entries of logs have ids of their own.
    if (rows.length > 0) all[name] = rows.map((row) => JSON.stringify(plain(name.endsWith('_log') ? { ...row, _id: 0 } : row))).sort();
  }
  return all;
}
let services;
async function startServices() {
  services = spawn(SERVER, ['all', '--config', CONFIG], { stdio: 'ignore' });
  await until('the services serve', () => fetch(READY).then(({ ok: is }) => is, () => false), 60_000);
  await until('somebody logs in', () => login().catch(() => false), 30_000);
}
const as = async (userID) => {
  const { token } = await ok(root, '/auth/get_user_token', { userID, platformID: 2 });
  return { userID, token };
};
const text = (content) => Buffer.from(content ?? '', 'base64').toString();

before(() => load(theirs, upstream));
after(async () => {
  services?.kill('SIGKILL');
  await client.close();
});

test('a dry run lists what there is and writes nothing', async () => {
  const count = [...messages.values()].reduce((sum, seqs) => sum + seqs.size, 0);
  const told = imports('upstream', 'untouched', '--dry-run');
  assert.match(told, new RegExp(`the source holds ${count} messages`));
  assert.doesNotMatch(told, /not moved/);
  await theirs.collection('attribute').insertOne({ any: 'thing' });
  assert.match(imports('upstream', 'untouched', '--dry-run'), /not moved: 1 of attribute/);
  assert.match(refused(() => imports('upstream', 'untouched')), /--leave-out/);
  await theirs.collection('attribute').drop();
  assert.deepEqual(await client.db('untouched').listCollections().toArray(), []);
});

test('an import that is killed again and again ends where one does that is not', async () => {
  const copies = 4;
  for (let copy = 0; copy < copies; copy += 1) {
    const renamed = (id) => `${id}x${copy}`;
    const fresh = (rows, change) => rows.map((row) => ({ ...row, _id: new ObjectId(), ...change(row) }));
    await load(large, {
      msg: fresh(upstream.msg, ({ doc_id: id }) => ({ doc_id: `${renamed(id.slice(0, id.lastIndexOf(':')))}${id.slice(id.lastIndexOf(':'))}` })),
      seq: fresh(upstream.seq, ({ conversation_id: id }) => ({ conversation_id: renamed(id) })),
      seq_user: fresh(upstream.seq_user, ({ conversation_id: id }) => ({ conversation_id: renamed(id) })),
    });
  }
  const told = imports('large', 'whole', '--verify');
  console.log(told.split('\n').filter((line) => line.includes('a second')).join('\n'));
  let killed = 0;
  for (const share of [0.05, 0.3, 0.6, 0.9]) {
    const running = spawn(SERVER, words('large', []), { stdio: 'ignore', env: environment('killed') });
    const ended = new Promise((resolve) => { running.once('exit', (_, signal) => resolve(signal)); });
    const enough = share * await client.db('whole').collection('messages').estimatedDocumentCount();
    while (running.exitCode === null && await client.db('killed').collection('messages').countDocuments() < enough) await sleep(2);
    running.kill('SIGKILL');
    killed += await ended === 'SIGKILL' ? 1 : 0;
  }
  assert.ok(killed > 0, 'none was killed in the middle');
  imports('large', 'killed', '--verify');
  for (const name of ['whole', 'killed']) {
    assert.match(imports('large', name, '--finish'), /all are the same; start the services/);
  }
  const [whole, after] = [await content(client.db('whole')), await content(client.db('killed'))];
  for (const name of Object.keys({ ...whole, ...after })) {
    // Of two messages that were sent twice, either may have the plain key.
    const bare = (rows = []) => rows.map((row) => { const { k: _, ...rest } = JSON.parse(row); return JSON.stringify(rest); }).sort();
    assert.deepEqual(bare(after[name]), bare(whole[name]), name);
  }
});

test('an import is aborted without a trace', async () => {
  imports('upstream', 'aborted');
  assert.match(run('aborted', ['import', '--config', CONFIG, '--abort']), /everything that was imported is removed/);
  assert.deepEqual(await content(client.db('aborted')), {});
});

let changed, grown, cached, cachedRead;
test('changes are brought over until upstream stops', async () => {
  const untouched = await content(theirs);
  imports('upstream', 'from_source', '--verify');
  assert.deepEqual(await content(theirs), untouched, 'the source is only read');
  assert.match(refused(() => run('from_source', ['import', '--config', CONFIG, '--from', MONGODB, '--database', 'large'])), /an import from .*upstream was started/);
  // A message more, one revoked, one deleted by its receiver, a read position, a profile.
  [grown] = [...messages].filter(([id, seqs]) => id.startsWith('si_l6b') && seqs.size > 250).map(([id]) => id);
  const last = Math.max(...messages.get(grown).keys());
  const slot = (seq) => messages.get(grown).get(seq).msg;
  changed = { last: last + 1, revoked: 100, deleted: 101, receiver: slot(101).recv_id };
  const place = (seq) => [{ doc_id: `${grown}:${Math.floor((seq - 1) / 100)}` }, `msgs.${(seq - 1) % 100}`];
  const [sendTime, createTime] = [slot(last).send_time, slot(last).create_time].map((ms) => Long.fromNumber(Number(ms))); // a plain number would be written as a double
  const added = { ...slot(last), seq: Long.fromNumber(last + 1), send_time: sendTime, create_time: createTime, client_msg_id: 'one-more', content: '{"content":"one more"}' };
  for (const [seq, field, value] of [
    [last + 1, '', { msg: added, revoke: null, del_list: [], is_read: false }],
    [changed.revoked, '.revoke', { role: 20, user_id: slot(100).send_id, nickname: 'n', time: Long.fromNumber(1_796_020_000_000) }],
    [changed.deleted, '.del_list', [changed.receiver]],
  ]) {
    const [filter, path] = place(seq);
    assert.equal((await theirs.collection('msg').updateOne(filter, { $set: { [path + field]: value } })).matchedCount, 1);
  }
  const read = { user_id: changed.receiver, conversation_id: grown };
  await theirs.collection('seq_user').updateOne(read, { $set: { read_seq: Long.fromNumber(last), min_seq: 0, max_seq: 0 } }, { upsert: true });
  await theirs.collection('user').updateOne({ user_id: changed.receiver }, { $set: { nickname: 'Moved' } });
  assert.match(imports('upstream', 'from_source'), /and wrote [4-6], with/);
  // Of a second conversation only Redis knows that it was read.
  [cached] = [...messages].filter(([id]) => id.startsWith('si_l6b') && id !== grown).map(([id]) => id);
  const newest = Math.max(...messages.get(cached).keys());
  const reader = messages.get(cached).get(1).msg.recv_id;
  execFileSync('redis-cli', ['-u', REDIS, 'HSET', `SEQ_USER_READ:${cached}:${reader}`, 'value', `${newest}`], { ...LIMITED });
  cachedRead = { reader, newest };
  assert.match(imports('upstream', 'from_source', '--redis', REDIS, '--finish'), /all are the same; start the services/);
  assert.deepEqual((await ours.listCollections().toArray()).filter(({ name }) => name.startsWith('import')), [], 'no note is left');
});

test('an export is what upstream had written', async () => {
  assert.match(run('from_source', ['export', '--config', CONFIG, '--to', MONGODB, '--database', 'back']), /exported \d+ documents/);
  const back = client.db('back');
  const bare = ({ _id, ...row }) => plain(row);
  for (const name of Object.keys(upstream).filter((one) => !['msg', 'seq', 'seq_user'].includes(one))) {
    const sorted = async (db) => (await db.collection(name).find().sort({ _id: 1 }).toArray()).map(plain).map((row) => {
      row.logs?.sort((one, other) => one.version - other.version || one.e_id.localeCompare(other.e_id));
      return row;
    });
    assert.deepEqual(await sorted(back), await sorted(theirs), name);
  }
  const [there, here] = [theirs, back].map((db) => db.collection('msg').find().sort({ doc_id: 1 }).toArray());
  assert.deepEqual(messagesOf(await here), messagesOf((await there).map((block) => ({ ...block, msgs: block.msgs.map((slot) => ({ revoke: null, del_list: [], is_read: false, ...slot })) }))));
  const reads = async (db) => (await db.collection('seq_user').find().toArray()).map(bare).map((row) => JSON.stringify(Object.entries(row).sort())).sort();
  assert.deepEqual((await reads(back)).filter((row) => !row.includes(cached)), (await reads(theirs)).filter((row) => !row.includes(cached)));
  assert.match(refused(() => run('from_source', ['export', '--config', CONFIG, '--to', MONGODB, '--database', 'back'])), /not empty/);
});

test('users find their conversations, friends, groups and messages', async () => {
  await startServices();
  const rows = upstream.conversation.map(plain);
  const owners = [...new Set(rows.map((row) => row.owner_user_id))];
  const read = new Map(upstream.seq_user.map(plain).map((row) => [`${row.user_id} ${row.conversation_id}`, row.read_seq]));
  for (const userID of [...owners.slice(0, 4), ...owners.slice(-4)]) {
    const who = await as(userID);
    const own = rows.filter((row) => row.owner_user_id === userID);
    const { conversations } = await ok(who, '/conversation/get_all_conversations', { ownerUserID: userID });
    assert.deepEqual(conversations.map((row) => row.conversationID).sort(), own.map((row) => row.conversation_id).sort(), userID);
    const { seqs } = await ok(who, '/msg/get_conversations_has_read_and_max_seq', { userID, conversationIDs: own.map((row) => row.conversation_id) });
    for (const { conversation_id: id } of own.filter((row) => ![grown, cached].includes(row.conversation_id) && messages.has(row.conversation_id))) {
      const newest = Math.max(...messages.get(id).keys());
      assert.deepEqual([seqs[id].maxSeq, seqs[id].hasReadSeq], [newest, read.get(`${userID} ${id}`) ?? 0], `${userID} ${id}`);
    }
    const friends = upstream.friend.map(plain).filter((row) => row.owner_user_id === userID);
    const page = { pagination: { pageNumber: 1, showNumber: 100 } };
    const listed = await ok(who, '/friend/get_friend_list', { userID, ...page });
    assert.deepEqual((listed.friendsInfo ?? []).map((one) => one.friendUser.userID).sort(), friends.map((row) => row.friend_user_id).sort(), userID);
    const list = upstream.friend_version.map(plain).find((row) => row.d_id === userID);
    if (list) {
      const synced = await ok(who, '/friend/get_incremental_friends', { userID, versionID: list._id.$oid, version: list.version });
      assert.deepEqual([synced.full, synced.insert ?? [], synced.versionID], [false, [], list._id.$oid], 'a client continues to sync incrementally');
    }
  }
  for (const { group_id: groupID } of upstream.group.map(plain).slice(0, 5)) {
    const members = upstream.group_member.map(plain).filter((row) => row.group_id === groupID);
    const who = await as(members[0].user_id);
    const listed = await ok(who, '/group/get_group_member_list', { groupID, pagination: { pageNumber: 1, showNumber: 100 } });
    assert.deepEqual(listed.members.map((one) => [one.userID, one.roleLevel]).sort(), members.map((row) => [row.user_id, row.role_level]).sort());
  }
});

test('history is whole across the borders of blocks, and goes on', async () => {
  const receiver = await as(changed.receiver);
  const socket = await Socket.open(at.ws, receiver);
  const seqs = await socket.must('readAndMaxSeqs', { userID: receiver.userID, conversationIDs: [grown] });
  assert.deepEqual([seqs.seqs[grown].maxSeq, seqs.seqs[grown].hasReadSeq], [changed.last, changed.last - 1], 'one unread message');
  const seen = [];
  for (let begin = 1; begin <= changed.last; begin += 90) {
    const end = Math.min(begin + 89, changed.last);
    const pulled = await socket.must('pullByRange', { userID: receiver.userID, seqRanges: [{ conversationID: grown, begin, end, num: 100 }] });
    seen.push(...pulled.msgs[grown].Msgs);
  }
  for (let seq = 1; seq <= changed.last; seq += 1) {
    const shown = seen.find((one) => one.seq === seq);
    const stored = messages.get(grown).get(seq)?.msg;
    if (seq === changed.revoked) {
      assert.equal(shown.contentType, 2101, 'it is revoked');
    } else if (seq === changed.deleted) {
      assert.ok(!shown || shown.content.length === 0 || shown.status === 4, 'its receiver has deleted it');
    } else if (seq === changed.last) {
      assert.deepEqual([shown.clientMsgID, shown.content.toString()], ['one-more', '{"content":"one more"}']);
    } else if (stored) {
      assert.deepEqual([shown.clientMsgID, shown.content.toString(), shown.sendTime], [stored.client_msg_id, stored.content, stored.send_time], `seq ${seq}`);
    }
  }
  const reader = await as(cachedRead.reader);
  const { seqs: both } = await ok(reader, '/msg/get_conversations_has_read_and_max_seq', { userID: reader.userID, conversationIDs: [cached] });
  assert.deepEqual([both[cached].maxSeq, both[cached].hasReadSeq], [cachedRead.newest, cachedRead.newest], 'Redis knew that all is read');
  const last = await socket.must('lastMessages', { userID: receiver.userID, conversationIDs: [grown] });
  assert.equal(Object.values(last.msgs)[0].clientMsgID, 'one-more');
  const sender = messages.get(grown).get(1).msg;
  const [from] = [sender.send_id, sender.recv_id].filter((id) => id !== receiver.userID);
  await ok(root, '/msg/send_msg', { sendID: from, recvID: receiver.userID, sessionType: 1, contentType: 101, content: { content: 'after the move' } });
  const pushed = await socket.message('a new message', (one) => text(one.content.toString('base64')).includes('after the move'));
  assert.equal(pushed.seq, changed.last + 1, 'seqs go on where upstream stopped');
  socket.close();
  const { users } = await admin('/user/get_users_info', { userIDs: [receiver.userID] }).then(({ data }) => ({ users: data.usersInfo }));
  assert.equal(users[0].nickname, 'Moved');
});
