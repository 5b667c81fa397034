#!/usr/bin/env bash
# The same runs of the checker against any OpenIM server that runs already, ours or upstream's, so that what is found can be put side by side: a quiet one, one in
# which processes are frozen, one in which they are killed, all with one seed. Only what both promise counts: what was acknowledged is not lost, doubled,
# reordered or different for two readers. It neither brings nor builds a server.
# Nothing is read before READ_AFTER seconds after the end of sending: upstream's server remembers for a minute that a message was not there yet for whoever
# asked too early. "Not there for readers" is what two readers did not get within SETTLE seconds more, longer than that minute. Look into the server's
# MongoDB before anything is called lost.
#   OPENIM_API=http://… OPENIM_WS=ws://… OPENIM_SECRET=… e2e/upstream.sh FOLDER [SERVICE…]
# FOLDER has a file SERVICE.pid for each server and service, with the id of its process; whoever runs them begins them again when they end. Servers are
# mongodb, redis and kafka; the services that store, send and push messages are named.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
folder=${1:?a folder of process ids} seed=${SEED:-1}; shift
mkdir -p "$root/e2e/out"
[ -x "$built/checker" ] || build_checker
run() { # NAME SECONDS OPTION…
  local name=$1 seconds=$2 output=$root/e2e/out/beside-$1.json; shift 2
  "$built/checker" --api "${OPENIM_API:?}" --ws "${OPENIM_WS:?}" --seed "$seed" --seconds "$seconds" --conversations 10 --groups 2 --members 6 --pause-ms 40 \
    --payload 200 --backdate-every 25 --at-all-every 20 --read-after-end "${READ_AFTER:-20}" --settle-seconds "${SETTLE:-90}" --stored-only --only lost,doubled,reordered,divergent --hang-up-every "${hang_ups:-0}" "$@" \
    > "$output" 2> "${output%.json}.log" || true
  node -e '
    const [name, file, log] = process.argv.slice(1);
    let seen;
    try { seen = JSON.parse(fs.readFileSync(file)); } catch { console.log(`${name}: ended early: ${fs.readFileSync(log, "utf8").trim().split("\n").at(-1)}`); process.exit(0); }
    const kinds = Object.entries({ lost: "not there for readers", doubled: "doubled", reordered: "reordered", divergent: "divergent" })
      .map(([kind, said]) => `${seen.byKind[kind] ?? 0} ${said}`).join(", ");
    console.log(`${name}: ${seen.acknowledged} acknowledged, ${seen.killed} faults, ${kinds}; longest gap ${(seen.gapMs.max / 1000).toFixed(1)} s`);' "$name" "$output" "${output%.json}.log"
}
echo "seed $seed"
run quiet 20
# Each sender ends its connection after every 20th message and repeats it under its clientMsgID.
hang_ups=20 run hang-ups 20
freezes=() kills=()
for name in mongodb redis kafka "$@"; do freezes+=(--freeze "$folder/$name.pid:3"); done
for name in "$@"; do kills+=(--kill "$folder/$name.pid"); done
run redis 20 --kill "$folder/redis.pid"
run kafka 30 --kill "$folder/kafka.pid"
run mongodb 20 --kill "$folder/mongodb.pid"
run freezes $((8 * (${#freezes[@]} / 2 + 1))) "${freezes[@]}"
# Last: what a service leaves behind when it dies is not to be taken for the fault of another run.
[ $# = 0 ] || run kills $((8 * ($# + 1))) "${kills[@]}"
