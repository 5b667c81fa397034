// A database of upstream's as files (fixtures/upstream): one gzipped BSON file a collection.
import { readFileSync, readdirSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { BSON } from '../sdk/node_modules/mongodb/lib/index.js';

const folder = new URL('../fixtures/upstream/', import.meta.url);

/** Documents by collection; numbers keep their types. */
export function fixture() {
  const files = readdirSync(folder).filter((name) => name.endsWith('.bson.gz'));
  return Object.fromEntries(files.map((name) => {
    const bytes = gunzipSync(readFileSync(new URL(name, folder)));
    const documents = [];
    for (let at = 0; at < bytes.length; at += bytes.readInt32LE(at)) {
      documents.push(BSON.deserialize(bytes.subarray(at, at + bytes.readInt32LE(at)), { promoteValues: false }));
    }
    return [name.replace('.bson.gz', ''), documents];
  }));
}

/** The same with plain numbers and texts. */
export const plain = (document) => JSON.parse(BSON.EJSON.stringify(document, { relaxed: true }));

/** Writes documents as upstream has them. */
export async function load(db, documents) {
  for (const [collection, rows] of Object.entries(documents)) {
    for (let at = 0; at < rows.length; at += 200) await db.collection(collection).insertMany(rows.slice(at, at + 200));
  }
}

/** Messages of all blocks: conversation to seq to slot. */
export function messagesOf(blocks) {
  const all = new Map();
  for (const { doc_id: id, msgs } of blocks.map(plain)) {
    const conversation = id.slice(0, id.lastIndexOf(':'));
    const seqs = all.get(conversation) ?? all.set(conversation, new Map()).get(conversation);
    for (const slot of msgs) if (slot?.msg) seqs.set(slot.msg.seq, slot);
  }
  return all;
}
