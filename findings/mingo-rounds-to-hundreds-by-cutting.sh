#!/usr/bin/env bash
# npm mingo 7.2.6: $round to a place before the decimal point cuts positive numbers and goes away from zero with negative ones.
#
# Expected: the documentation of MongoDB for $round: a negative place rounds to that digit, -1234 to hundreds is -1200 and 1273 is 1300.
# Seen: 1273 becomes 1200 and -1234 becomes -1300, both to the next hundred below. To a place after the point, and to whole numbers, it rounds.
# Sums that are grouped by rounded figures differ between the stand-in and MongoDB.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts mingo@7.2.6 > /dev/null
cat > main.js <<'END'
const { aggregate } = require("mingo");

for (const [number, place] of [[12.73, 1], [-7.8, 0], [1273, -2], [-1234, -2]]) {
  const [{ rounded }] = aggregate([{}], [{ $project: { rounded: { $round: [number, place] } } }]);
  console.log(`${number} to place ${place}: ${rounded}`);
}
END
seen=$(node main.js)
expected='12.73 to place 1: 12.7
-7.8 to place 0: -8
1273 to place -2: 1200
-1234 to place -2: -1300'
printf 'mingo 7.2.6:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
