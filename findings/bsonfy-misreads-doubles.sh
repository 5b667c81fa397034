#!/usr/bin/env bash
# npm bsonfy 1.0.2: a double is not read from a Buffer of Node, and Infinity and 1e300 are written as the integer 0.
#
# Expected: the BSON specification: type 1 is a double of 8 bytes. The same document as a plain Uint8Array is read rightly, and bson 7.3.4 writes and reads all.
# Seen: 1.5 in a Buffer, which is what a socket or a file of Node gives, is read as another number. Whole numbers
# beyond 64 bits, and Infinity, which counts as one, are written as a 64-bit integer and become 0. Neither raises an error.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts bsonfy@1.0.2 bson@7.3.4 > /dev/null
cat > main.js <<'END'
const { BSON } = require("bsonfy");
const bson = require("bson");

const plain = new Uint8Array(bson.serialize({ a: 1.5 }));
console.log("1.5 in a Uint8Array is 1.5:", BSON.deserialize(plain).a === 1.5);
console.log("1.5 in a Buffer is 1.5:", BSON.deserialize(Buffer.from(plain)).a === 1.5);
for (const a of [1e15, 1e300, Infinity]) {
  console.log(`${a} is written as ${bson.deserialize(BSON.serialize({ a })).a}, by bson as ${bson.deserialize(bson.serialize({ a })).a}`);
}
END
seen=$(node main.js)
expected='1.5 in a Uint8Array is 1.5: true
1.5 in a Buffer is 1.5: false
1000000000000000 is written as 1000000000000000, by bson as 1000000000000000
1e+300 is written as 0, by bson as 1e+300
Infinity is written as 0, by bson as Infinity'
printf 'bsonfy 1.0.2:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
