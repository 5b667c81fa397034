// Makes named objects older: node age.mjs URI DATABASE DAYS NAME…
import { MongoClient } from '../sdk/node_modules/mongodb/lib/index.js';

const [uri, database, days, ...names] = process.argv.slice(2);
const client = await MongoClient.connect(uri, { serverSelectionTimeoutMS: 10_000 });
const { matchedCount } = await client.db(database).collection('object')
  .updateMany({ _id: { $in: names } }, { $set: { create_time: new Date(Date.now() - days * 86_400_000) } });
await client.close();
if (matchedCount !== names.length) throw new Error(`${matchedCount} of ${names.length} objects are there`);
