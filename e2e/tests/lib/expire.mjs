// Ends the time of unfinished uploads of content with a hash: node expire.mjs URI DATABASE HASH
import { MongoClient } from '../sdk/node_modules/mongodb/lib/index.js';

const [uri, database, hash] = process.argv.slice(2);
const client = await MongoClient.connect(uri, { serverSelectionTimeoutMS: 10_000 });
const { matchedCount } = await client.db(database).collection('upload').updateMany({ key: { $regex: hash } }, { $set: { until: new Date(0) } });
await client.close();
if (matchedCount !== 1) throw new Error(`${matchedCount} uploads of ${hash} are unfinished`);
