import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { until } from './sdk/lib/wait.mjs';
import { as, at, login, root, user } from './lib/api.mjs';
import { age, expire, kill, plant } from './lib/database.mjs';
import { save, show } from './lib/shown.mjs';

const PART = 5 << 20;
const md5 = (data) => createHash('md5').update(data).digest('hex');
let alice, eve;

before(async () => {
  await login();
  [alice, eve] = [await user('alice'), await user('eve')];
});

after(() => save('objects'));
/** A call on what belongs to somebody else must be refused. */
async function foreign(who, path, body) {
  const answer = await as(who, path, body);
  assert.equal(answer.errCode, 1002, `${path}: ${JSON.stringify(answer)}`);
  show(path, 'foreign');
}

async function ok(who, path, body) {
  const answer = await as(who, path, body);
  assert.equal(answer.errCode, 0, `${path}: ${JSON.stringify(answer)}`);
  show(path, 'works');
  return answer.data;
}
const split = (data) => Array.from({ length: Math.ceil(data.length / PART) }, (_, i) => data.subarray(i * PART, (i + 1) * PART));

/** What the SDK does with a file. */
async function announce(who, name, data, extra = {}) {
  const parts = split(data).map(md5);
  const body = {
    hash: md5(parts.join(',')), size: data.length, partSize: PART, maxParts: Math.min(20, parts.length), cause: 'msg-file', name,
    contentType: 'application/x-test', ...extra,
  };
  return { parts, answer: await as(who, '/object/initiate_multipart_upload', body) };
}
async function put(sign, pieces) {
  assert.notEqual(sign, null);
  for (const part of sign.parts) {
    const answer = await fetch(part.url || sign.url, { method: 'PUT', body: pieces[part.partNumber - 1] });
    assert.equal(answer.status, 200, await answer.text());
  }
}
async function upload(who, name, data) {
  const { parts, answer } = await announce(who, name, data);
  assert.equal(answer.errCode, 0, JSON.stringify(answer));
  show('/object/initiate_multipart_upload', 'works');
  const { url, upload: begun } = answer.data;
  if (begun === null) return { url, known: true };
  assert.equal(begun.partSize, PART);
  assert.ok(begun.expireTime > Date.now());
  await put(begun.sign, split(data));
  const done = await ok(who, '/object/complete_multipart_upload', { uploadID: begun.uploadID, parts, name, contentType: 'application/x-test', cause: 'msg-file' });
  return { url: done.url, known: false, uploadID: begun.uploadID, parts };
}

test('the limits are those of S3', async () => {
  assert.deepEqual(await ok(alice, '/object/part_limit', {}), { minPartSize: PART, maxPartSize: 5 * 2 ** 30, maxNumSize: 10_000 });
  assert.deepEqual(await ok(alice, '/object/part_size', { size: 7 }), { size: PART });
  assert.equal((await as(alice, '/object/part_size', { size: 0 })).errCode, 1001);
});

test('a file in three parts comes back byte for byte, and equal content is not uploaded twice', async () => {
  const data = randomBytes(2 * PART + 12_345);
  const name = `${alice.userID}/big.bin`;
  const sent = await upload(alice, name, data);
  assert.equal(sent.url, `${at.api}/object/${name}`);
  const got = await fetch(sent.url);
  assert.equal(got.headers.get('content-type'), 'application/x-test');
  show('/object/*name', 'works');
  assert.ok(Buffer.from(await got.arrayBuffer()).equals(data));
  // The answer to "complete" may be lost: asking again is no error.
  await ok(alice, '/object/complete_multipart_upload', { uploadID: sent.uploadID, parts: sent.parts, name, contentType: 'application/x-test', cause: 'msg-file' });
  assert.equal((await upload(alice, `${alice.userID}/copy.bin`, data)).known, true);
  // Who knows no more than a sum and a size has to send what he names.
  const again = await upload(eve, `${eve.userID}/copy.bin`, data);
  assert.equal(again.known, false);
  assert.equal(md5(Buffer.from(await (await fetch(again.url)).arrayBuffer())), md5(data));
});

test('a small file is one part, signed anew on request', async () => {
  const data = randomBytes(321);
  const name = `${alice.userID}/small.txt`;
  const { parts, answer } = await announce(alice, name, data);
  const { uploadID } = answer.data.upload;
  const signed = await ok(alice, '/object/auth_sign', { uploadID, partNumbers: [1] });
  await put(signed, [data]);
  const { url } = await ok(alice, '/object/complete_multipart_upload', { uploadID, parts, name, contentType: 'text/plain', cause: 'msg-file' });
  assert.equal(md5(Buffer.from(await (await fetch(url)).arrayBuffer())), md5(data));
  const access = await ok(alice, '/object/access_url', { name });
  assert.ok(access.expireTime > Date.now());
  assert.equal((await (await fetch(access.url)).arrayBuffer()).byteLength, 321);
});

test('another upload and another name are refused', async () => {
  const data = randomBytes(100);
  const mine = await announce(alice, `${alice.userID}/x`, data);
  const { uploadID } = mine.answer.data.upload;
  await foreign(eve, '/object/auth_sign', { uploadID, partNumbers: [1] });
  const steal = { uploadID, parts: mine.parts, name: `${eve.userID}/x`, contentType: '', cause: '' };
  await foreign(eve, '/object/complete_multipart_upload', steal);
  assert.equal((await announce(eve, `${alice.userID}/x`, data)).answer.errCode, 1002);
  show('/object/initiate_multipart_upload', 'foreign');
  assert.equal((await announce(eve, `${eve.userID}/../${alice.userID}/x`, data)).answer.errCode, 1001);
});

test('what does not fit is named', async () => {
  const data = randomBytes(100);
  const name = `${alice.userID}/bad`;
  const refused = async (extra, text) => {
    const { answer } = await announce(alice, name, data, extra);
    assert.equal(answer.errCode, 1001, JSON.stringify(answer));
    assert.ok(answer.errDlt.includes(text), answer.errDlt);
  };
  await refused({ partSize: 7 }, 'partSize');
  await refused({ hash: 'xyz' }, 'hash');
  await refused({ size: -1 }, 'size');
  await refused({ name: '' }, 'name');
  const { parts, answer } = await announce(alice, name, data);
  const { uploadID } = answer.data.upload;
  for (const [path, body] of [
    ['/object/auth_sign', { uploadID, partNumbers: [2] }],
    ['/object/auth_sign', { uploadID: 'rubbish', partNumbers: [1] }],
    ['/object/complete_multipart_upload', { uploadID, parts: [md5('other')], name, contentType: '', cause: '' }],
    ['/object/complete_multipart_upload', { uploadID, parts: [], name, contentType: '', cause: '' }],
  ]) assert.equal((await as(alice, path, body)).errCode, 1001, path);
  // Announced, never uploaded: completing must not make an object of nothing.
  assert.notEqual((await as(alice, '/object/complete_multipart_upload', { uploadID, parts, name, contentType: '', cause: '' })).errCode, 0);
  assert.equal((await as(alice, '/object/access_url', { name: `${alice.userID}/never` })).errCode, 1004);
});

test('who completes an upload keeps to the bounds of who begins one', async () => {
  const full = await user('full');
  const data = randomBytes(100);
  const name = (file) => `${full.userID}/${file}`;
  const { parts, uploadID } = await upload(full, name('first'), data);
  const complete = (more) => as(full, '/object/complete_multipart_upload', { uploadID, parts, name: name('first'), contentType: '', cause: '', ...more });
  for (const field of ['contentType', 'cause']) {
    const answer = await complete({ [field]: 'x'.repeat(257) });
    assert.deepEqual([answer.errCode, answer.errDlt.includes(field)], [1001, true], JSON.stringify(answer));
  }
  // So many rows are planted only where MongoDB is open to this test.
  if (!process.env.OPENIM_MONGO_URI) return;
  const row = { user_id: full.userID, hash: '', key: 'none', size: 1, content_type: '', group: '', create_time: Date.now() };
  plant({ object: Array.from({ length: 99_999 }, (_, number) => ({ ...row, _id: name(`${number}`) })) });
  const answer = await complete({ name: name('another') });
  assert.deepEqual([answer.errCode, answer.errDlt.includes('files, limit 100000')], [1001, true], JSON.stringify(answer));
  assert.equal((await as(full, '/object/access_url', { name: name('another') })).errCode, 1004);
  // Who got no answer asks again, and what is there takes no more room.
  assert.equal((await complete()).errCode, 0);
});

test('a form uploads exactly what was announced', async () => {
  const data = randomBytes(2048);
  const name = `${alice.userID}/${randomUUID()}.png`;
  const form = await ok(alice, '/object/initiate_form_data', { name, size: data.length, contentType: 'image/png', group: 'avatar' });
  assert.equal((await as(alice, '/object/complete_form_data', { id: form.id })).errCode, 1004);
  const post = (bytes) => {
    const body = new FormData();
    for (const [key, value] of Object.entries(form.formData)) body.append(key, value);
    body.append(form.file, new Blob([bytes], { type: 'image/png' }), 'x.png');
    return fetch(form.url, { method: 'POST', body });
  };
  const sent = await post(data);
  assert.ok(form.successCodes.includes(sent.status), `${sent.status}: ${await sent.text()}`);
  await foreign(eve, '/object/complete_form_data', { id: form.id });
  const { url } = await ok(alice, '/object/complete_form_data', { id: form.id });
  const got = await fetch(url);
  assert.deepEqual([got.headers.get('content-type'), md5(Buffer.from(await got.arrayBuffer()))], ['image/png', md5(data)]);
  await foreign(eve, '/object/initiate_form_data', { name: `${eve.userID}/a`, size: 1, absolute: true });
  const tooBig = await post(randomBytes(4096));
  assert.ok(!form.successCodes.includes(tooBig.status), 'a larger file than announced');
});

test('what a browser would run is saved instead of opened', async () => {
  for (const [contentType, disposition] of [['text/html', 'attachment'], ['image/svg+xml', 'attachment'], ['image/png', null]]) {
    const name = `${alice.userID}/${randomUUID()}`;
    const body = randomBytes(64);
    const { parts, answer } = await announce(alice, name, body, { contentType });
    await put(answer.data.upload.sign, split(body));
    await ok(alice, '/object/complete_multipart_upload', { uploadID: answer.data.upload.uploadID, parts, name, contentType, cause: '' });
    const { url } = await ok(alice, '/object/access_url', { name });
    assert.equal((await fetch(url)).headers.get('content-disposition'), disposition, contentType);
  }
});

test('a part has the length that was announced, an object no more than is allowed', async () => {
  const { answer } = await announce(alice, `${alice.userID}/long`, randomBytes(100));
  const [part] = answer.data.upload.sign.parts;
  assert.equal((await fetch(part.url, { method: 'PUT', body: randomBytes(101) })).status, 403);
  const size = (1 << 30) + 1;
  const tooLarge = await as(alice, '/object/initiate_form_data', { name: `${alice.userID}/big`, size, contentType: 'video/mp4' });
  assert.equal(tooLarge.errCode, 1001);
  assert.ok(tooLarge.errDlt.includes('maxBytes'), tooLarge.errDlt);
});

test('a user announces only so many bytes a day, and administrators more', async () => {
  const greedy = await user('greedy');
  const GIB = 1 << 30;
  const form = (who) => as(who, '/object/initiate_form_data', { name: `${greedy.userID}/${randomUUID()}`, size: GIB, contentType: 'video/mp4', absolute: who === root });
  for (let gib = 1; gib <= 100; gib++) {
    const answer = await form(greedy);
    assert.equal(answer.errCode, 0, `${gib} GiB: ${JSON.stringify(answer)}`);
  }
  // What is refused is not counted: the next one is refused too, whatever its size.
  for (const answer of [await form(greedy), await form(greedy)]) {
    assert.equal(answer.errCode, 1001, JSON.stringify(answer));
    assert.ok(answer.errDlt.includes('maxBytesPerDay'), answer.errDlt);
  }
  assert.equal((await form(root)).errCode, 0);
});

test('an upload that nobody finishes is given up, and its parts are removed', async () => {
  const data = randomBytes(200);
  const { answer } = await announce(alice, `${alice.userID}/abandoned`, data);
  const [part] = answer.data.upload.sign.parts;
  const write = async () => (await fetch(part.url, { method: 'PUT', body: data })).status;
  assert.equal(await write(), 200);
  expire(md5(md5(data)));
  // Cron begins with what is due.
  kill('cron');
  await until('the storage does not know the upload', async () => await write() === 404, 60_000);
});

test('administrators do not write where the server keeps its own objects', async () => {
  for (const name of ['backups/x/manifest.json', 'openim/data/hash/0123']) {
    const answer = await as(root, '/object/initiate_form_data', { name, size: 1, contentType: '', absolute: true });
    assert.equal(answer.errCode, 1002, JSON.stringify(answer));
  }
  assert.equal((await as(root, '/object/initiate_form_data', { name: 'a/../backups/x', size: 1, contentType: '', absolute: true })).errCode, 1001);
});

test('an upload that has expired must be begun again', async () => {
  const form = await ok(root, '/object/initiate_form_data', { name: `late/${randomUUID()}`, size: 10, contentType: 'text/plain', millisecond: 1 });
  await until('it has expired', async () => (await as(root, '/object/complete_form_data', { id: form.id })).errCode === 1701);
});

test('browsers may put parts from anywhere; unknown objects are 404', async () => {
  const { answer } = await announce(alice, `${alice.userID}/cors`, randomBytes(10));
  const [part] = answer.data.upload.sign.parts;
  const preflight = await fetch(part.url, { method: 'OPTIONS', headers: { origin: 'http://example.org', 'access-control-request-method': 'PUT' } });
  assert.ok(preflight.ok, `${preflight.status}`);
  assert.equal(preflight.headers.get('access-control-allow-origin'), '*');
  const missing = await fetch(`${at.api}/object/nobody/nothing`, { redirect: 'manual' });
  assert.equal(missing.status, 404);
});

test('what is older than expireDays goes, its content with the last name that leads to it', async () => {
  const [shared, alone] = [randomBytes(50), randomBytes(50)];
  const [first, second, old, fresh] = ['first', 'second', 'old', 'fresh'].map((name) => `${alice.userID}/${name}-${randomUUID()}`);
  for (const [name, data] of [[first, shared], [second, shared], [old, alone], [fresh, randomBytes(50)]]) await upload(alice, name, data);
  const signed = (await ok(alice, '/object/access_url', { name: old })).url;
  assert.equal((await fetch(signed)).status, 200);

  age('2', first, old);
  // Cron begins with what is due.
  kill('cron');
  const there = async (name) => (await as(alice, '/object/access_url', { name })).errCode;
  await until('the old names are gone', async () => await there(first) === 1004 && await there(old) === 1004, 60_000);
  assert.deepEqual([await there(second), await there(fresh)], [0, 0]);
  const { url } = await ok(alice, '/object/access_url', { name: second });
  assert.ok(Buffer.from(await (await fetch(url)).arrayBuffer()).equals(shared));
  await until('its content is gone', async () => (await fetch(signed)).status === 404, 20_000);
});
