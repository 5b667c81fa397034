#!/usr/bin/env bash
# How many streams the services keep up with: each writer appends 30 packets a second to a stream of its own, and what all of them have become in the end is
# compared. All services in one process, with MongoDB, Kafka and Redis on loopback. It fails if a text is not what was written, or if that takes a tenth longer
# than writing it, beside two seconds for the beginning and the end.
#   e2e/stream-load.sh [STREAMS [SECONDS]]      1000 and 30 unless given; OPENIM_PROFILE=release measures what is shipped, APPEND_MS how often writers append
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$root/e2e/tests/lib/loopback.sh"
streams=${1:-1000} seconds=${2:-30} append_ms=${APPEND_MS:-300}
start_servers --sync-on-commit
write_config 'discovery: {enable: static}' "${plain[@]}"
start services "$server" all --config "$work/config"
until_ready services 23000
cpu() { # NAME: seconds of processor time
  awk -v ticks="$(getconf CLK_TCK)" '{sub(/.*\) /, ""); print ($12 + $13) / ticks}' "/proc/${running[$1]}/stat"
}
declare -A before
for name in services mongodb kafka redis; do before[$name]=$(cpu $name); done
"$built/checker" --conversations 0 --streams "$streams" --packets $((30 * seconds)) --append-ms "$append_ms" --seconds "$seconds" > "$work/checker.json"
for name in services mongodb kafka redis; do
  awk -v name=$name -v before="${before[$name]}" -v after="$(cpu $name)" 'BEGIN {printf "%-9s %7.1f s of processor time\n", name, after - before}'
done
node -e '
  const { streams, packets, seconds, anomalies, retried } = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
  const [, , wanted, writing] = process.argv.map(Number);
  console.log(`${streams} streams, ${packets} packets in ${seconds.toFixed(1)} s: ${Math.round(packets / seconds)} a second of ${30 * wanted}; ${retried} calls repeated, ${anomalies} anomalies`);
  if (streams < wanted || seconds > 1.1 * writing + 2) throw new Error("the services do not keep up");
' "$work/checker.json" "$streams" "$seconds"
