#!/usr/bin/env bash
# npm mingo 7.2.6: an update that MongoDB refuses, as the field has another type, changes nothing and raises nothing.
#
# Expected: the documentation of MongoDB: $push and $addToSet fail when the field is no array, $inc and $mul when it is no number.
# Seen: one document matched, none modified, for each of them; a path that is set twice is refused as in MongoDB. Code that asks only whether an error came takes
# a member that was never added for one that was there already, in every test with the stand-in.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts mingo@7.2.6 > /dev/null
cat > main.js <<'END'
const { updateOne } = require("mingo");

for (const update of [
  { $push: { members: "a" } },
  { $addToSet: { members: "a" } },
  { $inc: { seq: 1 } },
  { $mul: { seq: 2 } },
  { $set: { seq: 1 }, $inc: { seq: 1 } },
]) {
  const documents = [{ _id: 1, members: 5, seq: "7" }];
  let answer;
  try { answer = JSON.stringify(updateOne(documents, { _id: 1 }, update)); } catch (error) { answer = error.message; }
  console.log(JSON.stringify(update), answer, JSON.stringify(documents[0]));
}
END
seen=$(node main.js)
expected='{"$push":{"members":"a"}} {"matchedCount":1,"modifiedCount":0} {"_id":1,"members":5,"seq":"7"}
{"$addToSet":{"members":"a"}} {"matchedCount":1,"modifiedCount":0} {"_id":1,"members":5,"seq":"7"}
{"$inc":{"seq":1}} {"matchedCount":1,"modifiedCount":0} {"_id":1,"members":5,"seq":"7"}
{"$mul":{"seq":2}} {"matchedCount":1,"modifiedCount":0} {"_id":1,"members":5,"seq":"7"}
{"$set":{"seq":1},"$inc":{"seq":1}} updating the path '\''seq'\'' would create a conflict at '\''seq'\'' {"_id":1,"members":5,"seq":"7"}'
printf 'mingo 7.2.6:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
