#!/usr/bin/env bash
# A recorded run in pieces: each sends many messages through all services, in one process on loopback, while that process, MongoDB, Redis and Kafka are killed
# and frozen, and adds a line to docs/recorded-run.tsv. The number of a piece is its seed: it makes the same choices again.
#   e2e/record.sh [PIECES [MESSAGES]]     one piece of 200 000 messages if omitted; started again, it continues after the last piece
#   e2e/record.sh --until MESSAGES        pieces until so many messages are acknowledged in all
#   e2e/record.sh --sum                   what all pieces come to
#   e2e/record.sh --publish               writes that into docs/GUARANTEES.md
set -euo pipefail
export OPENIM_PROFILE=${OPENIM_PROFILE:-release} # a long run is worth compiling for
. "$(dirname "$0")/lib.sh"
table=$root/docs/recorded-run.tsv
total() { awk -F'\t' 'NR > 1 {n += $4} END {print n + 0}' "$table"; }
sum() {
  awk -F'\t' 'NR > 1 {n++; acknowledged += $4; deliveries += $5; faults += $6; anomalies += $7; seconds += $8}
    END {printf "%d pieces: %d messages acknowledged, %d deliveries, %d faults, %d anomalies, %d seconds\n", n, acknowledged, deliveries, faults, anomalies, seconds}' "$table"
}
case ${1:-} in
  --sum | --publish) [ -e "$table" ] || { echo "no runs are recorded yet"; exit; } ;;&
  --sum) sum; exit ;;
  --publish)
    node -e '
      const [page, sum] = process.argv.slice(1), text = fs.readFileSync(page, "utf8"), line = /^`e2e\/record\.sh --sum`: .*$/m;
      if (!line.test(text)) { console.error(`${page} has no line for the sum`); process.exit(1); }
      fs.writeFileSync(page, text.replace(line, `\`e2e/record.sh --sum\`: **${sum}**.`));' "$root/docs/GUARANTEES.md" "$(sum)"
    exit
    ;;
esac
messages=200000 pieces=1 until=
if [ "${1:-}" = --until ]; then until=$2; else pieces=${1:-1} messages=${2:-$messages}; fi
mkdir -p "$root/e2e/out"
[ -e "$table" ] || printf 'date\tcommit\tseed\tacknowledged\tdeliveries\tfaults\tanomalies\tseconds\n' > "$table"

commit=$(git -C "$root" rev-parse --short HEAD)
[ -z "$(git -C "$root" status --porcelain -uno -- . ":!docs/recorded-run.tsv")" ] || commit="$commit+"
kafka_compiler= # a long run is worth compiling for
. "$root/e2e/tests/lib/loopback.sh"
starter=supervised
start_mongodb --sync-on-commit
supervised redis redis-server --bind 127.0.0.1 --port 23679 --dir "$work" --save ''
until_listens redis 23679
start_kafka PLAINTEXT
write_config 'redis: {address: "127.0.0.1:23679"}' 'kafka: {address: ["127.0.0.1:23092"], partitions: 8}'
supervised all "$server" all --config "$work/config"
until_ready all 23000

faults=()
for name in all mongodb redis kafka; do faults+=(--kill "$work/$name.pid" --freeze "$work/$name.pid:3"); done
piece() {
  local number; number=$(wc -l < "$table")
  local output=$root/e2e/out/record-$number.json code=0
  "$built/checker" --api http://127.0.0.1:23002 --ws ws://127.0.0.1:23001/ --secret "$api_secret" --seed "$number" --messages "$messages" \
    --conversations 96 --groups 4 --members 6 --pause-ms 0 --round 500 --gzip false --payload 100 \
    --settle-seconds 300 --backdate-every 100 --at-all-every 50 --hang-up-every 500 --again --kill-every "${NEMESIS_EVERY:-20}" "${faults[@]}" \
    > "$output" 2> "${output%.json}.log" || code=$?
  [ -s "$output" ] || { tail -5 "${output%.json}.log"; return 1; }
  node -e '
    const seen = JSON.parse(fs.readFileSync(process.argv[1]));
    const line = [new Date().toISOString().slice(0, 16), process.argv[2], seen.seed, seen.acknowledged, seen.pushed, seen.killed, seen.anomalies, Math.round(seen.seconds)];
    fs.appendFileSync(process.argv[3], line.join("\t") + "\n");' "$output" "$commit" "$table"
  tail -1 "$table"
  [ $code = 0 ] || { cat "$output"; return 1; }
}
while [ "${until:-}" ] && [ "$(total)" -lt "$until" ] || { [ -z "$until" ] && [ "$pieces" -gt 0 ]; }; do
  piece
  pieces=$((pieces - 1))
done
