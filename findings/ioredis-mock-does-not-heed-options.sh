#!/usr/bin/env bash
# npm ioredis-mock 8.13.1: options that Redis has are taken without an error and not heeded.
#
# Expected: what the documentation of Redis says of each (and Redis 7.0 does), or the error that the package raises for commands it does not know.
# Seen: SET KEEPTTL drops the time to live; EXPIRE GT shortens one; "ZADD key GT CH score member" stores a member named CH with the score NaN;
# "ZADD key INCR 2 member" answers 0. A test of sequence numbers that only grow, or of sessions that expire, passes here and not on Redis.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts ioredis-mock@8.13.1 ioredis@5.11.1 > /dev/null
cat > main.js <<'END'
const Redis = require("ioredis-mock");

(async () => {
  const redis = new Redis();
  await redis.set("session", "a", "EX", 100);
  await redis.set("session", "b", "KEEPTTL");
  console.log("time to live that was kept:", await redis.ttl("session"));
  await redis.expire("session", 100);
  await redis.expire("session", 50, "GT");
  console.log("after 50, only if greater than 100:", await redis.ttl("session"));
  await redis.zadd("seqs", "GT", "CH", 7, "group");
  console.log("one member with 7:", JSON.stringify(await redis.zrange("seqs", 0, -1, "WITHSCORES")));
  console.log("7 and 2 more:", await redis.zadd("seqs", "INCR", 2, "group"));
  redis.disconnect();
})();
END
seen=$(node main.js)
expected='time to live that was kept: -1
after 50, only if greater than 100: 50
one member with 7: ["group","7","CH","NaN"]
7 and 2 more: 0'
printf 'ioredis-mock 8.13.1:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
