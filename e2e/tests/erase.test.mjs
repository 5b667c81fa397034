// A person leaves: what there was is exported, then erased, whatever dies meanwhile; a backup of before brings nobody back, and is worth nothing
// without its key.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Binary, MongoClient } from './sdk/node_modules/mongodb/lib/index.js';
import { Socket } from './sdk/lib/socket.mjs';
import { LIMITED, until } from './sdk/lib/wait.mjs';
import { admin, as, at, call, login, ok, root, user } from './lib/api.mjs';
import { save, show } from './lib/shown.mjs';

const { SERVER, CONFIG, BUCKETS, READY, MONGODB, DATABASE } = process.env;
const run = (...words) => execFileSync(SERVER, [...words.slice(0, 1), '--config', CONFIG, ...words.slice(1)], { ...LIMITED, stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 });
const refused = (...words) => {
  try {
    run(...words);
  } catch (error) {
    return error.stderr;
  }
  return assert.fail(`${words.join(' ')} was not refused`);
};
let services;
async function startServices() {
  services = spawn(SERVER, ['all', '--config', CONFIG], { stdio: 'ignore' });
  await until('the services serve', () => fetch(READY).then(({ ok }) => ok, () => false), 60_000);
  await until('somebody logs in', () => login().catch(() => false), 30_000);
}
const stopServices = (signal) => new Promise((resolve) => { services.once('exit', resolve); services.kill(signal); });

const page = { pagination: { pageNumber: 1, showNumber: 100 } };
const SECRET = `secret${randomUUID().slice(0, 8)}`;
const NAME = `Name${randomUUID().slice(0, 8)}`;
const backup = `before-${randomUUID().slice(0, 8)}`;
const client = new MongoClient(MONGODB, { serverSelectionTimeoutMS: 10_000 });
const db = client.db(DATABASE);
let alice, bob, carol, groupID, single, socket;

const say = async (from, target, content, contentType = 101) => ok(root, '/msg/send_msg', { sendID: from.userID, contentType, content, ...target });
async function pulled(who, conversation) {
  const end = (await ok(who, '/msg/newest_seq', { userID: who.userID })).maxSeqs?.[conversation] ?? 0;
  if (end === 0) return [];
  const answer = await ok(who, '/msg/pull_msg_by_seq', { userID: who.userID, seqRanges: [{ conversationID: conversation, begin: 1, end: Math.min(end, 1000), num: 1000 }] });
  return answer?.msgs?.[conversation]?.Msgs ?? [];
}
const text = (message) => Buffer.from(message.content ?? '', 'base64').toString();
const report = async () => (await ok(root, '/user/unregister_user', { userIDs: [alice.userID] })).users[0];
const settled = () => until('everything went', async () => { const told = await report(); return told.state !== 'erasing' && told; }, 120_000);
/** All documents of the database that hold a text, as their collection. */
async function holding(wanted) {
  const found = [];
  for (const { name } of await db.listCollections().toArray()) {
    for await (const row of db.collection(name).find({}, { raw: true })) if (row.includes(wanted)) found.push(name);
  }
  return found;
}

before(async () => {
  await startServices();
  [alice, bob, carol] = await Promise.all(['alice', 'bob', 'carol'].map(user));
  single = `si_${[alice.userID, bob.userID].sort().join('_')}`;
  await ok(alice, '/user/update_user_info', { userInfo: { userID: alice.userID, nickname: NAME } });
  await ok(root, '/friend/import_friend', { ownerUserID: alice.userID, friendUserIDs: [bob.userID] });
  await ok(carol, '/friend/add_black', { ownerUserID: carol.userID, blackUserID: alice.userID });
  ({ groupInfo: { groupID } } = await ok(alice, '/group/create_group', { memberUserIDs: [bob.userID, carol.userID], ownerUserID: alice.userID, groupInfo: { groupName: 'g', groupType: 2 } }));
  for (let n = 0; n < 3; n++) await say(alice, { recvID: bob.userID, sessionType: 1 }, { content: `${SECRET} ${n}` });
  await say(alice, { groupID, sessionType: 3 }, { content: `${SECRET} in the group` });
  await until('they are stored', async () => (await pulled(bob, single)).filter((message) => text(message).includes(SECRET)).length === 3, 30_000);
  const [first, second] = (await pulled(bob, single)).filter((message) => text(message).includes(SECRET));
  await ok(alice, '/msg/edit_msg', { userID: alice.userID, conversationID: single, seq: first.seq, content: JSON.stringify({ content: `${SECRET} edited` }) });
  await ok(alice, '/msg/revoke_msg', { userID: alice.userID, conversationID: single, seq: second.seq });
  const quoteMessage = { clientMsgID: first.clientMsgID, sendID: alice.userID, senderNickname: NAME, seq: first.seq, contentType: 101, content: SECRET, textElem: { content: SECRET } };
  await say(bob, { recvID: alice.userID, sessionType: 1 }, { text: 'I quote', quoteMessage }, 114);
  const sent = (await pulled(bob, single)).length;
  await until('the quote is stored', async () => (await pulled(bob, single)).length > sent - 1 && (await pulled(bob, single)).some((message) => text(message).includes('I quote')), 30_000);
  await ok(alice, '/user/process_user_command_add', { userID: alice.userID, type: 1, uuid: 'u', value: SECRET });
  await ok(alice, '/third/logs/upload', { platform: 2, fileURLs: [{ filename: SECRET, URL: 'http://x' }] });
  await ok(alice, '/third/fcm_update_token', { platformID: 2, fcmToken: SECRET, account: alice.userID });
  const data = Buffer.from(`${SECRET} in a file`);
  const md5 = (bytes) => createHash('md5').update(bytes).digest('hex');
  const parts = [md5(data)];
  const { upload } = await ok(alice, '/object/initiate_multipart_upload', {
    hash: md5(parts.join(',')), size: data.length, partSize: 5 << 20, maxParts: 1, cause: 'msg-file', name: `${alice.userID}/a.txt`, contentType: 'text/plain',
  });
  assert.equal((await fetch(upload.sign.parts[0].url, { method: 'PUT', body: data })).status, 200);
  await ok(alice, '/object/complete_multipart_upload', { uploadID: upload.uploadID, parts, name: `${alice.userID}/a.txt`, contentType: 'text/plain', cause: 'msg-file' });
  // After hooks that their receiver does not take: one of a message of alice, and one in which bob quotes it.
  const aside = (hook, body) => {
    const record = { hook, operation_id: 'o', query: '', body: JSON.stringify(body), since: Date.now(), key: randomUUID() };
    const free = new Date(Date.now() + 7 * 86_400_000);
    return { _id: `hook/${hook}/${record.key}`, kind: 'hook', payload: new Binary(Buffer.from(JSON.stringify(record))), free, made: new Date() };
  };
  const quote = JSON.stringify({ text: 'I quote', quoteMessage });
  await db.collection('job').insertMany([
    aside('afterSendSingleMsg', { sendID: alice.userID, recvID: bob.userID, clientMsgID: 'c', senderNickname: NAME, content: JSON.stringify({ content: SECRET }), contentType: 101, ex: SECRET }),
    aside('afterSendSingleMsg', { sendID: bob.userID, recvID: alice.userID, clientMsgID: 'c', senderNickname: 'bob', content: quote, contentType: 114, ex: '' }),
  ]);
  socket = await Socket.open(at.ws, alice);
});
after(async () => { save('erase'); await client.close(); await stopServices('SIGKILL'); });

test('an export has everything and nothing that lets somebody in', () => {
  const lines = run('export-user', alice.userID).trimEnd().split('\n').map((line) => JSON.parse(line));
  const kinds = new Set(lines.map(({ kind }) => kind));
  for (const kind of ['profiles', 'friends', 'blocked', 'groups', 'conversations', 'messages', 'commands', 'clientLogs', 'devices', 'tokens', 'files']) assert.ok(kinds.has(kind), kind);
  assert.deepEqual(lines.at(-1), { kind: 'end', row: { userID: alice.userID, lines: lines.length - 1 } });
  const said = lines.filter(({ kind }) => kind === 'messages');
  assert.equal(said.filter(({ row }) => row.content?.includes(SECRET)).length, 5, 'three, one in the group, and the note of the edit');
  assert.equal(said.filter(({ row }) => row.editedContent?.includes('edited')).length, 1);
  assert.equal(said.filter(({ row }) => row.revokedAt > 0).length, 1);
  const hooks = lines.filter(({ kind }) => kind === 'hooks');
  assert.deepEqual(hooks.map(({ row }) => [row.hook, JSON.parse(row.body).sendID]), [['afterSendSingleMsg', alice.userID]], 'what others tell is theirs');
  for (const { kind, row } of lines.filter(({ kind }) => kind === 'devices' || kind === 'tokens')) assert.ok(!('token' in row) && (kind !== 'tokens' || !('_id' in row)), kind);
  assert.match(refused('export-user', 'nobody'), /nobody is not registered/);
});

test('a backup says nothing to whoever reads the bucket', () => {
  assert.match(run('backup', backup), new RegExp(`backup ${backup}: \\d+ documents in \\d+ collections`));
  const folder = join(BUCKETS, 'backups/backups', backup);
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  assert.ok(files.some((file) => file.includes('/messages/')));
  for (const file of files) for (const word of [SECRET, NAME, alice.userID]) assert.ok(!readFileSync(file).includes(word), file);
  assert.ok(!readdirSync(BUCKETS).includes('files') || !readdirSync(join(BUCKETS, 'files')).includes('backups'), 'not among the files of users');
});

test('whoever is at a bound is told it, and what makes room', async () => {
  const { userID, token } = await user('dave');
  const now = new Date();
  const group = { memberUserIDs: [bob.userID], ownerUserID: userID, groupInfo: { groupName: 'g', groupType: 2 } };
  const conversation = { conversationID: `si_${[userID, bob.userID].sort().join('_')}`, conversationType: 1, userID: bob.userID };
  for (const [collection, most, owner, row, path, body] of [
    ['black', 10_000, 'owner_user_id', (n) => ({ block_user_id: `b${n}` }), '/friend/add_black', { ownerUserID: userID, blackUserID: bob.userID }],
    ['friend_request', 10_000, 'from_user_id', (n) => ({ to_user_id: `t${n}`, handle_result: 0, create_time: now }), '/friend/add_friend', { fromUserID: userID, toUserID: bob.userID }],
    ['group_member', 10_000, 'user_id', (n) => ({ group_id: `g${n}`, role_level: 20, join_time: now }), '/group/create_group', group],
    ['conversation', 10_000, 'owner_user_id', (n) => ({ conversation_id: `si_${n}` }), '/conversation/set_conversations', { userIDs: [userID], conversation }],
    ['user_command', 1000, 'user_id', (n) => ({ type: 1, uuid: `u${n}` }), '/user/process_user_command_add', { userID, type: 2, uuid: 'u', value: 'v' }],
    ['client_log', 1000, 'user_id', (n) => ({ log_id: `${userID}-${n}`, create_time: now }), '/third/logs/upload', { platform: 2, fileURLs: [{ filename: 'f', URL: 'http://x' }] }],
  ]) {
    await db.collection(collection).insertMany(Array.from({ length: most }, (_, n) => ({ [owner]: userID, ...row(n) })));
    const answer = await as({ token }, path, body);
    assert.ok(answer.errCode === 1001 && answer.errDlt.includes(`limit ${most};`), `${path}: ${JSON.stringify(answer)}`);
    await db.collection(collection).deleteMany({ [owner]: userID });
    assert.equal((await as({ token }, path, body)).errCode, 0, `${path}: one fewer`);
  }
});

test('administrators and accounts are not erased, nor by others', async () => {
  const unregister = (who, userIDs) => as(who, '/user/unregister_user', { userIDs });
  assert.equal((await unregister(alice, [alice.userID])).errCode, 1002);
  show('/user/unregister_user', 'foreign');
  assert.match((await unregister(root, [root.userID])).errDlt, /adminUserIDs/);
  assert.equal((await unregister(root, [alice.userID, 'nobody'])).errCode, 1101);
  assert.equal((await unregister(root, [])).errCode, 1001);
  assert.equal((await ok(root, '/user/get_users_info', { userIDs: [alice.userID] })).usersInfo.length, 1, 'one that is refused erases none');
});

test('a user is erased, though everything dies in the middle', async () => {
  const began = await report();
  assert.equal(began.state, 'erasing');
  await until('the connection ends', () => socket.closed, 10_000);
  const answer = await as(alice, '/user/get_users_info', { userIDs: [bob.userID] });
  assert.ok([1504, 1505, 1506, 1507].includes(answer.errCode), JSON.stringify(answer));
  assert.deepEqual((await ok(root, '/user/get_users_info', { userIDs: [alice.userID] })).usersInfo ?? [], []);
  await stopServices('SIGKILL');
  // Whoever held the job is gone: nobody waits for the end of the minute.
  await db.collection('erasure').updateOne({ _id: alice.userID }, { $set: { due: new Date() } });
  await startServices();
  for (const who of [bob, carol]) who.token = (await admin('/auth/get_user_token', { userID: who.userID, platformID: 2 })).data.token;
  const told = await settled();
  assert.ok(told.erased.messages >= 5 && told.erased.groups === 1 && told.erased.files === 1 && told.erased.profiles === 1 && told.erased.hooks === 2, JSON.stringify(told));
  assert.equal(told.problem, '');
  show('/user/unregister_user', 'works');
});

test('nobody can read, and nothing stores, what the user said or is called', async () => {
  const mine = await pulled(bob, single);
  assert.deepEqual(mine.map(({ seq }) => seq), mine.map((_, index) => index + 1), 'no holes');
  for (const message of [...mine, ...await pulled(bob, `sg_${groupID}`)]) assert.ok(!text(message).includes(SECRET) && !text(message).includes(NAME), JSON.stringify(message));
  assert.ok(mine.some((message) => text(message).includes('I quote')), 'what others said stays');
  assert.deepEqual((await ok(bob, '/friend/get_friend_id', { userID: bob.userID })).friendIDs ?? [], []);
  assert.equal((await ok(carol, '/friend/get_black_list', { userID: carol.userID, ...page })).total, 0);
  const { groupInfos: [group] } = await ok(bob, '/group/get_groups_info', { groupIDs: [groupID] });
  assert.ok([bob.userID, carol.userID].includes(group.ownerUserID), 'the group goes on');
  assert.equal((await as(bob, '/object/access_url', { name: `${alice.userID}/a.txt` })).errCode, 1004);
  assert.ok(!readdirSync(join(BUCKETS, 'files'), { recursive: true, withFileTypes: true }).some((entry) => entry.isFile() && readFileSync(join(entry.parentPath, entry.name)).includes(SECRET)));
  for (const word of [SECRET, NAME]) assert.deepEqual(await holding(word), [], word);
  const hooks = await db.collection('job').find({ kind: 'hook' }).toArray();
  const bodies = hooks.map(({ payload }) => JSON.parse(JSON.parse(payload.buffer.toString()).body));
  assert.deepEqual(bodies.map(({ sendID }) => sendID).sort(), [alice.userID, bob.userID].sort(), 'they are told all the same');
  assert.equal(JSON.parse(bodies.find(({ sendID }) => sendID === bob.userID).content).text, 'I quote');
});

test('the id is nobody\'s until what came late is looked for, then it is a new person\'s', async () => {
  const register = () => admin('/user/user_register', { users: [{ userID: alice.userID, nickname: 'another' }] });
  const early = await register();
  assert.ok(early.errCode !== 0 && /is being erased/.test(early.errDlt), JSON.stringify(early));
  // A day later.
  await db.collection('erasure').updateOne({ _id: alice.userID }, { $set: { due: new Date() } });
  const told = await until('the second pass', async () => { const now = await report(); return now.state === 'erased' && now; }, 60_000);
  assert.ok(told.endTime >= told.beginTime);
  assert.equal((await register()).errCode, 0);
  const token = (await admin('/auth/get_user_token', { userID: alice.userID, platformID: 2 })).data.token;
  const anew = { userID: alice.userID, token };
  const range = [{ conversationID: single, begin: 1, end: 100, num: 100 }];
  const answer = await ok(anew, '/msg/pull_msg_by_seq', { userID: anew.userID, seqRanges: range });
  for (const message of answer?.msgs?.[single]?.Msgs ?? []) assert.equal(text(message), '', 'nothing of the person before');
  assert.deepEqual((await ok(anew, '/conversation/get_all_conversations', { ownerUserID: anew.userID })).conversations ?? [], []);
});

test('a restore takes nothing that was changed, and brings nobody back who was erased', async () => {
  await stopServices('SIGTERM');
  const folder = join(BUCKETS, 'backups/backups', backup);
  const chunk = join(folder, 'messages', readdirSync(join(folder, 'messages'))[0]);
  const manifest = join(folder, 'manifest.json');
  const whole = { [chunk]: readFileSync(chunk), [manifest]: readFileSync(manifest) };
  const put = (file, bytes) => writeFileSync(file, bytes);
  const forged = JSON.parse(whole[manifest]);
  forged.collections.pop();
  put(manifest, JSON.stringify(forged));
  assert.match(refused('restore', backup, '--replace'), /written with another key, or was changed/);
  put(manifest, JSON.stringify({ ...JSON.parse(whole[manifest]), format: 1 }));
  assert.match(refused('restore', backup, '--replace'), /neither encrypted nor signed/);
  put(manifest, whole[manifest]);
  process.env.IMENV_BACKUP_KEY = 'f'.repeat(64);
  assert.match(refused('restore', backup, '--replace'), /written with another key, or was changed/);
  delete process.env.IMENV_BACKUP_KEY;
  const changed = Buffer.from(whole[chunk]);
  changed[changed.length >> 1] ^= 1;
  put(chunk, changed);
  assert.match(refused('restore', backup, '--replace'), /was modified or damaged/);
  put(chunk, whole[chunk]);
  const said = run('restore', backup, '--replace');
  assert.match(said, /erased again: 1/);
  assert.ok((await holding(SECRET)).length > 0, 'the backup has it');
  await startServices();
  await settled();
  for (const word of [SECRET, NAME]) assert.deepEqual(await holding(word), [], word);
  for (const who of [bob]) who.token = (await admin('/auth/get_user_token', { userID: who.userID, platformID: 2 })).data.token;
  assert.ok((await pulled(bob, single)).some((message) => text(message).includes('I quote')));
  assert.equal((await call('/user/get_users_info', { userIDs: [bob.userID] }, { token: root.token })).data.usersInfo.length, 1);
});

test('a backup is not written where everybody reads', () => {
  process.env.IMENV_OBJECT_S3_CDNPREFIX = 'https://cdn.example.org';
  process.env.IMENV_BACKUP_S3_BUCKET = 'files';
  assert.match(refused('backup', 'public'), /is public/);
  delete process.env.IMENV_OBJECT_S3_CDNPREFIX;
  delete process.env.IMENV_BACKUP_S3_BUCKET;
  process.env.IMENV_BACKUP_KEY = '';
  assert.match(refused('backup', 'keyless'), /backup.key/);
  delete process.env.IMENV_BACKUP_KEY;
});
