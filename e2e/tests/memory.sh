#!/usr/bin/env bash
# Memory has a bound: the largest messages, a chat and a group full of them, whose readers all come at once, and readers who do not read. Each
# service is a process of its own on loopback; what msg and the gateway ever had in memory is looked at in the end.
#   CHAT=1000 GROUP=1000 e2e/tests/memory.sh    how many messages, as in soak; fewer in the gate
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib/loopback.sh"

most() { # NAME MEGABYTES: the process has never had more in memory
  local kilobytes
  kilobytes=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/${running[$1]}/status")
  echo "$1: $((kilobytes / 1000)) MB at most, $2 MB are allowed"
  [ "$kilobytes" -lt $(($2 * 1000)) ] || { curl -sf "http://127.0.0.1:$3/metrics" | grep memory_budget; exit 1; }
}
start_servers
write_config 'discovery: {enable: static}' "${plain[@]}"
start_each auth user relation conversation group third msg transfer push api gateway

export CHAT=${CHAT:-250} GROUP=${GROUP:-80} MSG_METRICS=http://127.0.0.1:${admin[msg]}/metrics
node --experimental-websocket --no-warnings --max-old-space-size=1024 "$root/e2e/tests/memory.mjs"
most msg 300 "${admin[msg]}"
most gateway 200 "${admin[gateway]}"
