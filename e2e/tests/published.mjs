// For openapi-published.sh: the published description of OpenIM's platform API as schemathesis can judge by it, the users and groups that its examples name, and
// what came out.
//   published.mjs prepare FILE      writes the description, registers who is named, and prints an administrator's token
//   published.mjs report NDJSON     how many operations there are, how many passed, how many of these succeeded at least once
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';

const published = JSON.parse(readFileSync(new URL('../tools/contract/platform-v3.json', import.meta.url), 'utf8'));
const operations = Object.entries(published.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, operation })));

/**
 * What the description says otherwise than upstream's server does: what is unset is null, for lists and messages; a map is an object, where the description has
 * a list of keys and values, and so are the labels of a target; and a result of batch_send_msg says whose it is.
 */
function asOnTheWire(schema) {
  if (Array.isArray(schema)) return schema.map(asOnTheWire);
  if (schema === null || typeof schema !== 'object') return schema;
  const read = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, asOnTheWire(value)]));
  const entry = read.items?.properties ?? {};
  if (read.type === 'array' && Object.keys(entry).sort().join() === 'key,value') return { type: 'object', nullable: true, additionalProperties: entry.value };
  if (read['x-source-go-type']?.endsWith('StringMap')) return { type: 'object', nullable: true, additionalProperties: { type: 'string' } };
  if (read['x-source-go-type'] === 'openim.apistruct.SingleReturnResult') read.properties.recvID = { type: 'string' };
  if (read.$ref) return { nullable: true, allOf: [{ $ref: read.$ref }] };
  return ['array', 'object'].includes(read.type) ? { ...read, nullable: true } : read;
}

/** The texts under keys like these in all examples. */
function named(keys) {
  const found = new Set();
  const look = (value, key = '') => {
    if (typeof value === 'string' && keys.test(key)) found.add(value);
    if (value !== null && typeof value === 'object') for (const [name, item] of Object.entries(value)) look(item, Array.isArray(value) ? key : name);
  };
  for (const { operation } of operations) {
    const body = operation.requestBody?.content?.['application/json'] ?? {};
    for (const example of [body.example, ...Object.values(body.examples ?? {}).map(({ value }) => value)]) look(example);
  }
  return [...found];
}

async function prepare(file) {
  const { login, ok, root } = await import('./lib/api.mjs');
  for (const { operation } of operations) operation.responses = asOnTheWire(operation.responses);
  const schemas = Object.entries(published.components.schemas).map(([name, schema]) => [name, asOnTheWire(schema)]);
  published.components.schemas = Object.fromEntries(schemas);
  writeFileSync(file, JSON.stringify(published));
  await login();
  const users = named(/^(?!group|conversation|log|upload|version)\w*(userIDs?|UserIDs?|userID[12]|sendID|recvIDs?|userIDList)$/);
  await ok(root, '/user/user_register', { users: users.map((userID) => ({ userID, nickname: userID })) });
  for (const groupID of named(/^groupIDs?$/)) {
    await ok(root, '/group/create_group', { ownerUserID: users[0], memberUserIDs: users.slice(1, 9), groupInfo: { groupID, groupName: groupID, groupType: 2 } });
  }
  console.log(root.token);
}

function report(file) {
  const seen = new Map(operations.map(({ name }) => [name, { failed: false, succeeded: false, asked: 0 }]));
  for (const line of readFileSync(file, 'utf8').split('\n').filter(Boolean)) {
    const { recorder } = JSON.parse(line).ScenarioFinished ?? {};
    const outcome = seen.get(recorder?.label);
    if (!outcome) continue;
    const checks = Object.values(recorder.checks).flat();
    outcome.failed ||= checks.some((check) => check.status !== 'success');
    for (const { response } of Object.values(recorder.interactions)) {
      outcome.asked += 1;
      outcome.succeeded ||= /^\[|"errCode":0/.test(Buffer.from(response?.content?.$base64 ?? '', 'base64').toString());
    }
  }
  const all = [...seen];
  const names = (which) => all.filter(([, outcome]) => which(outcome)).map(([name]) => name);
  const failed = names(({ failed, asked }) => failed || asked === 0);
  console.log(`${all.length - failed.length} of ${all.length} operations answer as published; ${names(({ succeeded }) => succeeded).length} of them succeeded at least once`);
  console.log(`only refused: ${names(({ succeeded }) => !succeeded).join(', ')}`);
  assert.deepEqual(failed, [], 'these do not answer as published');
}

const [what, file] = process.argv.slice(2);
if (what === 'prepare') await prepare(file);
else report(file);
