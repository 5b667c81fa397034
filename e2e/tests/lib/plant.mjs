// Writes rows as only somebody with the database can: node plant.mjs URI DATABASE, and {collection: [rows]} as JSON on the standard input.
import { readFileSync } from 'node:fs';
import { MongoClient } from '../sdk/node_modules/mongodb/lib/index.js';

const [uri, database] = process.argv.slice(2);
const client = await MongoClient.connect(uri, { serverSelectionTimeoutMS: 10_000 });
for (const [collection, rows] of Object.entries(JSON.parse(readFileSync(0, 'utf8')))) {
  const dated = rows.map((row) => ('create_time' in row ? { ...row, create_time: new Date(row.create_time) } : row));
  await client.db(database).collection(collection).insertMany(dated);
}
await client.close();
