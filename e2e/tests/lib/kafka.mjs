// A topic's records once more, as a producer appends them that has heard no answer: batches are taken from the broker's log and sent as they are, without
// the numbers by which the broker would know them (Kafka's protocol: Produce 7, record batch 2). One broker without TLS.
import { readFileSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';

const HEADER = 61; // of a batch
const table = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0x82f63b78 : n >>> 1;
  return n;
});
const crc32c = (bytes) => ~bytes.reduce((sum, byte) => (sum >>> 8) ^ table[(sum ^ byte) & 255], ~0) >>> 0;
const int = (bits, value) => {
  const bytes = Buffer.alloc(bits / 8);
  bytes.writeIntBE(value, 0, bits / 8);
  return bytes;
};
const text = (value) => Buffer.concat([int(16, Buffer.byteLength(value)), Buffer.from(value)]);

/** The batches of a partition's log, each ready to be sent again. */
function batches(folder) {
  const found = [];
  for (const name of readdirSync(folder).filter((name) => name.endsWith('.log')).sort()) {
    const log = readFileSync(join(folder, name));
    for (let at = 0; at + HEADER <= log.length;) {
      const end = at + 12 + log.readInt32BE(at + 8);
      if (end > log.length || log[at + 16] !== 2) break; // not all of it is written yet
      const batch = Buffer.from(log.subarray(at, end));
      batch.writeBigInt64BE(0n, 0);
      batch.fill(255, 43, 57); // who has produced it, and its number: none
      batch.writeUInt32BE(crc32c(batch.subarray(21)), 17);
      found.push(batch);
      at = end;
    }
  }
  return found;
}

/** Appends a batch; rejects when the broker does not take it. */
function produce(port, topic, partition, batch) {
  const body = Buffer.concat([
    int(16, 0), int(16, 7), int(32, 1), text('again'), int(16, -1), int(16, -1), int(32, 10_000), int(32, 1), text(topic), int(32, 1), int(32, partition),
    int(32, batch.length), batch,
  ]);
  return new Promise((resolve, reject) => {
    let answer = Buffer.alloc(0);
    const socket = connect(port, '127.0.0.1', () => socket.end(Buffer.concat([int(32, body.length), body])));
    socket.setTimeout(20_000, () => socket.destroy(new Error('the broker does not answer')));
    socket.on('error', reject).on('data', (data) => { answer = Buffer.concat([answer, data]); }).on('close', () => {
      // size, correlation, topics, name, partitions, index: then the error
      const at = 4 + 4 + 4 + 2 + Buffer.byteLength(topic) + 4 + 4;
      const code = answer.length >= at + 2 ? answer.readInt16BE(at) : undefined;
      return code === 0 ? resolve() : reject(new Error(`${topic} ${partition}: error ${code}`));
    });
  });
}

/** Appends everything that a topic holds once more; how many batches. */
export async function again(folder, port, topic) {
  const partitions = readdirSync(folder).filter((name) => name.replace(/-\d+$/, '') === topic);
  let count = 0;
  for (const name of partitions) {
    for (const batch of batches(join(folder, name))) {
      await produce(port, topic, Number(name.slice(topic.length + 1)), batch);
      count++;
    }
  }
  return count;
}
