// What the protocol says of each notification: its row in docs/protocol/notifications.md, and the fields of its message in crates/protocol/proto.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { typeOf } from '../sdk/lib/socket.mjs';

const page = readFileSync(new URL('../../../docs/protocol/notifications.md', import.meta.url), 'utf8');
const cells = (line) => line.split('|').slice(1, -1).map((cell) => cell.trim());
/** By number: its message (none where the content is free), session type (none where it depends), whether it is a chat message, goes to phones and is stored. */
export const rows = new Map(page.split('\n').filter((line) => /^\| \d{4}/.test(line)).map(cells).flatMap(([numbers, , content, session, , chat, phone, key]) => {
  const messages = content.split(', ');
  return numbers.split(', ').map((number, index) => [Number(number), {
    message: /^\w+$/.test(messages[0]) ? messages[index] ?? messages[0] : undefined,
    session: /^\d$/.test(session) ? Number(session) : undefined, chat: chat === 'yes', phone: phone === 'yes', stored: key.startsWith('stored'),
  }]);
}));

const isOf = { string: (value) => typeof value === 'string', bool: (value) => typeof value === 'boolean' };
const isNumber = (value) => Number.isInteger(value);
/** Whether it has each field of its message, of its type, and nothing else: lists and messages may be null. */
export function isWhole(type, value, path = type) {
  const { fields } = typeOf(`sdkws.${type}`);
  assert.deepEqual(Object.keys(value).sort(), Object.keys(fields).sort(), path);
  for (const [name, field] of Object.entries(fields)) {
    const kind = field.type.split('.').at(-1);
    const check = (item) => {
      if (field.type.startsWith('.')) isWhole(kind, item, `${path}.${name}`);
      else assert.ok((isOf[kind] ?? isNumber)(item), `${path}.${name} is ${JSON.stringify(item)}, not ${kind}`);
    };
    if (field.repeated) for (const item of value[name] ?? []) check(item);
    else if (!field.type.startsWith('.') || value[name] !== null) check(value[name]);
  }
}

const times = new Set(['createTime', 'joinTime', 'operationTime', 'reqTime', 'handleTime', 'notificationUpdateTime', 'muteEndTime', 'revokeTime']);
const ids = /^(uuid|\w*VersionID)$/;
const began = Date.now();
/** The same with `now` for each time since this file was loaded, `later` for a later one, `made` for ids that the server makes, `counted` for versions. */
export function settled(value) {
  return JSON.parse(JSON.stringify(value), (key, item) => {
    if (times.has(key) && item >= began) return item <= Date.now() ? 'now' : 'later';
    if (ids.test(key) && /^[0-9a-f]{24,32}$/.test(item)) return 'made';
    if (/Version$/.test(key) && item > 0) return 'counted';
    return item;
  });
}
