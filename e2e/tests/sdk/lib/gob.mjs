// gob as the Go and WASM SDKs write and read it (docs/protocol/websocket.md#gob): enough for requests, and to look at what the server writes.

const unsigned = (number) => {
  if (number < 128) return Buffer.from([number]);
  const bytes = [];
  for (let left = number; left > 0; left = Math.floor(left / 256)) bytes.unshift(left % 256);
  return Buffer.from([256 - bytes.length, ...bytes]);
};
const signed = (number) => unsigned(number >= 0 ? number * 2 : (-number - 1) * 2 + 1);
const bytes = (data) => Buffer.concat([unsigned(Buffer.byteLength(data)), Buffer.from(data)]);
const message = (...parts) => { const body = Buffer.concat(parts); return Buffer.concat([unsigned(body.length), body]); };
const KINDS = { int: 2, bytes: 5, text: 6 };
export const REQUEST = [['ReqIdentifier', 'int'], ['Token', 'text'], ['SendID', 'text'], ['OperationID', 'text'], ['MsgIncr', 'text'], ['Data', 'bytes']];

/** The definition of a struct, as a message of its own. */
export function definition(id, fields, name = 'GeneralWsReq') {
  const common = [Buffer.from([1]), bytes(name), Buffer.from([1]), signed(id), Buffer.from([0])];
  const list = fields.flatMap(([field, kind]) => [Buffer.from([1]), bytes(field), Buffer.from([1]), signed(KINDS[kind]), Buffer.from([0])]);
  return message(signed(-id), Buffer.from([3, 1]), ...common, Buffer.from([1]), unsigned(fields.length), ...list, Buffer.from([0, 0]));
}
/** A value; fields that are zero are left out. */
export function value(id, fields, values) {
  let last = -1;
  const parts = fields.flatMap(([field, kind], index) => {
    const item = values[field];
    if (!item || item.length === 0) return [];
    const delta = index - last;
    last = index;
    return [unsigned(delta), kind === 'int' ? signed(item) : bytes(item)];
  });
  return message(signed(id), ...parts, Buffer.from([0]));
}

class Reader {
  constructor(data) { Object.assign(this, { data, at: 0 }); }
  unsigned() {
    const first = this.data[this.at++];
    if (first < 128) return first;
    let number = 0;
    for (let left = 256 - first; left > 0; left--) number = number * 256 + this.data[this.at++];
    return number;
  }
  signed() { const number = this.unsigned(); return number % 2 ? -(number - 1) / 2 - 1 : number / 2; }
  bytes() { const size = this.unsigned(); const part = this.data.subarray(this.at, this.at + size); this.at += size; return part; }
  expect(...wanted) { for (const byte of wanted) if (this.data[this.at++] !== byte) throw new Error(`gob: no ${byte} at ${this.at - 1}`); }
}

/** A stream of one struct: its fields as they are defined ([name, kind]), and its values by name. */
export function read(data) {
  const kindOf = Object.fromEntries(Object.entries(KINDS).map(([name, id]) => [id, name]));
  const stream = new Reader(data);
  const fields = [];
  let values;
  while (stream.at < data.length) {
    const reader = new Reader(stream.bytes());
    const id = reader.signed();
    if (id < 0) {
      reader.expect(3, 1, 1);
      reader.bytes();
      reader.expect(1);
      reader.signed();
      reader.expect(0, 1);
      for (let left = reader.unsigned(); left > 0; left--) {
        reader.expect(1);
        const name = reader.bytes().toString();
        reader.expect(1);
        fields.push([name, kindOf[reader.signed()]]);
        reader.expect(0);
      }
      reader.expect(0, 0);
      continue;
    }
    values = {};
    for (let index = -1, delta = reader.unsigned(); delta !== 0; delta = reader.unsigned()) {
      index += delta;
      const [name, kind] = fields[index];
      values[name] = kind === 'int' ? reader.signed() : reader.bytes();
    }
  }
  return { fields, values };
}
