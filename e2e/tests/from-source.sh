#!/usr/bin/env bash
# The services without Kubernetes: all in one process, then each in its own, found through a real etcd, while instances and etcd itself come
# and go. A wrong file stops the start with its line. Servers and services of this test listen on loopback alone.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
prepare() { [ -n "${OPENIM_BUILT:-}" ] || cargo_static test -q --no-run --lib; }
. "$(dirname "$0")/lib/loopback.sh"

start_etcd() {
  start etcd "$bin/etcd" --data-dir "$work/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls http://127.0.0.1:23790 --advertise-client-urls http://127.0.0.1:23790 \
    --listen-peer-urls http://127.0.0.1:23800 --initial-advertise-peer-urls http://127.0.0.1:23800 --initial-cluster default=http://127.0.0.1:23800
  until_listens etcd 23790
}
start_servers

echo "a recreated topic is read from its beginning"
OPENIM_TEST_KAFKA=127.0.0.1:23092 cargo_static test -q --lib -- --ignored recreated_topic_is_read_from_its_beginning > "$work/recreated.out" 2>&1 &&
  grep -q '^test result: ok. 1 passed' "$work/recreated.out" || { tail -20 "$work/recreated.out"; exit 1; }

found_by() { # DISCOVERY
  write_config "discovery: {enable: $1}" "${plain[@]}" \
    'etcd: {address: ["127.0.0.1:23790"]}'
  cp "$root"/config/{webhooks,notification}.yaml "$work/config"
}

echo "a wrong file stops the start with its line"
found_by none
answer=$("$server" all --config "$work/config" 2>&1) && { echo "it started"; exit 1; }
grep -q 'config.yaml, line 9: discovery.enable: .*`static`, `kubernetes`' <<< "$answer" || { echo "$answer"; exit 1; }
found_by static
echo 'groupMade: {isSendMsg: true}' >> "$work/config/notification.yaml"
answer=$("$server" all --config "$work/config" 2>&1) && { echo "it started"; exit 1; }
grep -q "notification.yaml, line $(wc -l < "$work/config/notification.yaml"): notification.groupMade: .*groupCreated" <<< "$answer" || { echo "$answer"; exit 1; }
found_by static

echo "all services in one process"
start all env IMENV_API_REQUESTSPERSECOND=50 IMENV_GATEWAY_MAXCONNECTIONS=20 IMENV_MULTILOGIN_LOGOUTREVOKES=true \
  IMENV_ADDRESSLIMITS_REQUESTSPERSECOND=20 IMENV_ADDRESSLIMITS_HANDSHAKESPERSECOND=4 IMENV_ADDRESSLIMITS_CONNECTIONS=3 "$server" all --config "$work/config"
until_ready all 23000
check 8
printf '%s\n' 'friendVerify: true' 'historyForNewMembers: false' >> "$work/config/config.yaml"
tested limits.test.mjs
ls "$work"/log/all.*.log > /dev/null
stop all TERM
grep -q '"message":"process.stopped"' "$work"/log/all.*.log || { tail -3 "$work"/log/all.*.log; exit 1; }

echo "each in a process of its own, found through etcd"
found_by etcd
start_etcd
number=0
start_service() { # SERVICE NAME GATEWAY_PORT
  number=$((number + 1))
  start "$2" env IMENV_ADMINPORT=$((24000 + number)) IMENV_RPCBASEPORT=$((24100 + 20 * number)) IMENV_GATEWAY_PORT="$3" \
    IMENV_LOG_STORAGELOCATION="$work/log/$2" "$server" "$1" --config "$work/config"
  until_ready "$2" $((24000 + number))
}
for service in auth user relation conversation group third msg transfer push api gateway cron; do start_service "$service" "$service" 23001; done
start_service msg msg-2 0
start_service gateway gateway-2 23011
registered() { # SERVICE: how many instances etcd has
  local key
  key=$(printf 'openim/%s/' "$1" | base64)
  curl -sf http://127.0.0.1:23790/v3/kv/range -d "{\"key\":\"$key\",\"range_end\":\"$(printf 'openim/%s0' "$1" | base64)\"}" |
    node -e 'console.log(JSON.parse(require("node:fs").readFileSync(0)).count ?? 0)'
}
until_registered() { # SERVICE COUNT
  local end=$((SECONDS + deadline))
  until [ "$(registered "$1")" = "$2" ]; do
    [ $SECONDS -lt $end ] || { echo "$(registered "$1") of $1 are registered, not $2"; exit 1; }
    sleep 0.3
  done
}
until_registered msg 2
until_registered gateway 2
curl -sf http://127.0.0.1:23002/prometheus_discovery/msg | has '"targets":\["127.0.0.1:240[0-9]*","127.0.0.1:240[0-9]*"\]'
check 8
echo "one that dies is dropped, one that stops leaves at once, and etcd may be away: nothing is lost"
start_checker
stop msg KILL
until_registered msg 1
stop gateway-2 TERM
[ "$(registered gateway)" = 1 ] || { echo "a gateway that has stopped is still registered"; exit 1; }
stop etcd KILL
sleep 12
start_etcd
until_registered msg 1
until_registered gateway 1
start_service msg msg-3 0
until_registered msg 2
until_stored 500 24008
until_checked
echo "what is in Kafka twice is pushed once"
KAFKA_LOG=$work/kafka KAFKA_PORT=23092 PUSH_METRICS=http://127.0.0.1:24009/metrics \
  tested twice.test.mjs
