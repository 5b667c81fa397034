#!/usr/bin/env bash
# npm ioredis-mock 8.13.1: XADD with an id of its own stores the entry under another id, and SCAN lists keys that nobody wrote.
#
# Expected: XADD answers the id it was given, 7-1, as the documentation of Redis says; ids have two parts. One stream is one key.
# Seen: 7-1 becomes 7-1-0 and the automatic part stays a star, 7-*-0; neither is found again by a range from its own id on. SCAN tells of a
# key for each entry. Code that resumes a stream from an id it chose itself, or that walks the keys, cannot be tested with it.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts ioredis-mock@8.13.1 ioredis@5.11.1 > /dev/null
cat > main.js <<'END'
const Redis = require("ioredis-mock");

(async () => {
  const redis = new Redis();
  console.log("7-1 is stored as:", await redis.xadd("feed", "7-1", "text", "a"));
  console.log("7-* is stored as:", await redis.xadd("feed", "7-*", "text", "b"));
  console.log("entries after 7-1:", JSON.stringify(await redis.xrange("feed", "(7-1", "+")));
  console.log("keys:", JSON.stringify((await redis.scan(0))[1].sort()));
  redis.disconnect();
})();
END
seen=$(node main.js)
expected='7-1 is stored as: 7-1-0
7-* is stored as: 7-*-0
entries after 7-1: []
keys: ["feed","stream:feed:7-*-0","stream:feed:7-1-0"]'
printf 'ioredis-mock 8.13.1:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
