#!/usr/bin/env bash
# The services without Kubernetes: all in one process, then each in its own, found through a real etcd, while instances and etcd itself come
# and go. A wrong file stops the start with its line. Servers and services of this test listen on loopback alone.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
build_services
build_checker
node_modules
server=$OPENIM_CACHE/target/x86_64-unknown-linux-gnu/release/openim-server
work=$(mktemp -d)
declare -A running
stop() { # NAME SIGNAL: and wait for its end
  kill "-$2" "${running[$1]}" 2> /dev/null || true
  wait "${running[$1]}" 2> /dev/null || true
  unset "running[$1]"
}
finish() {
  local code=$? name
  exec 2> /dev/null # the shell tells of each that is killed
  for name in "${!running[@]}"; do kill -KILL "${running[$name]}" 2> /dev/null || true; done
  wait
  [ $code = 0 ] || tail -n 5 "$work"/*.out
  rm -rf "$work"
  exit $code
}
trap finish EXIT
start() { # NAME COMMAND…
  local name=$1; shift
  "$@" > "$work/$name.out" 2>&1 & running[$name]=$!
}
until_listens() { # NAME PORT
  local end=$((SECONDS + 60))
  until (exec 3<> "/dev/tcp/127.0.0.1/$2") 2> /dev/null; do
    kill -0 "${running[$1]}" 2> /dev/null || { echo "$1 has ended:"; tail -5 "$work/$1.out"; exit 1; }
    [ $SECONDS -lt $end ] || { echo "$1 does not listen on port $2:"; tail -5 "$work/$1.out"; exit 1; }
    sleep 0.2
  done
}

start mongodb "$OPENIM_CACHE/secantus/bin/secantusd-rs" --host 127.0.0.1 --port 23017 --storage-path "$work/mongodb" --cache-size 128M
start redis redis-server --bind 127.0.0.1 --port 23679 --dir "$work" --save ''
cat > "$work/kafka.properties" <<END_OF_FILE
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:23093
listeners=PLAINTEXT://127.0.0.1:23092,CONTROLLER://127.0.0.1:23093
advertised.listeners=PLAINTEXT://127.0.0.1:23092
controller.listener.names=CONTROLLER
log.dirs=$work/kafka
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
END_OF_FILE
kafka=(java -Xmx384m -XX:TieredStopAtLevel=1 -Dlog4j2.level=WARN -cp "$OPENIM_CACHE/kafka/libs/*")
"${kafka[@]}" kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qk -c "$work/kafka.properties" > "$work/format.out" 2>&1 || { cat "$work/format.out"; exit 1; }
start kafka "${kafka[@]}" kafka.Kafka "$work/kafka.properties"
start_etcd() {
  start etcd "$bin/etcd" --data-dir "$work/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls http://127.0.0.1:23790 --advertise-client-urls http://127.0.0.1:23790 \
    --listen-peer-urls http://127.0.0.1:23800 --initial-advertise-peer-urls http://127.0.0.1:23800 --initial-cluster default=http://127.0.0.1:23800
  until_listens etcd 23790
}
until_listens mongodb 23017; until_listens redis 23679; until_listens kafka 23092

mkdir "$work/config"
cp "$root"/config/{webhooks,notification}.yaml "$work/config"
secret=a-secret-of-this-test-alone
write_config() { # DISCOVERY
  cat > "$work/config/config.yaml" <<END_OF_FILE
secret: $secret
log: {storageLocation: "$work/log"}
mongo: {uri: "mongodb://127.0.0.1:23017", database: from_source}
redis: {address: "127.0.0.1:23679"}
kafka: {address: ["127.0.0.1:23092"], partitions: 4}
etcd: {address: ["127.0.0.1:23790"]}
discovery: {enable: $1}
api: {openImApiPort: 23002}
gateway: {port: 23001, drainSeconds: 1}
adminPort: 23000
rpcBasePort: 23100
END_OF_FILE
}
export OPENIM_ENDPOINTS="{\"api\":\"http://127.0.0.1:23002\",\"ws\":\"ws://127.0.0.1:23001/\",\"adminUserID\":\"imAdmin\",\"secret\":\"$secret\",\"kubeconfig\":\"\"}"
until_ready() { # NAME ADMIN_PORT
  local end=$((SECONDS + 60))
  until curl -sf -o /dev/null "http://127.0.0.1:$2/readyz"; do
    kill -0 "${running[$1]}" 2> /dev/null || { echo "$1 has ended:"; tail -5 "$work/$1.out" "$work"/log/"$1"*; exit 1; }
    [ $SECONDS -lt $end ] || { echo "$1 is not ready"; tail -5 "$work"/log/"$1"*; exit 1; }
    sleep 0.2
  done
}
check() { "$checker_bin/checker" --conversations 4 --seconds "$1" --pause-ms 40 > "$work/checker.json" 2> "$work/checker.log" || { cat "$work/checker.json"; tail -5 "$work/checker.log"; exit 1; }; cat "$work/checker.json"; }

echo "a wrong file stops the start with its line"
write_config none
answer=$("$server" all --config "$work/config" 2>&1) && { echo "it started"; exit 1; }
grep -q 'config.yaml, line 7: discovery.enable: .*`static`, `kubernetes`' <<< "$answer" || { echo "$answer"; exit 1; }
write_config static
echo 'groupMade: {isSendMsg: true}' >> "$work/config/notification.yaml"
answer=$("$server" all --config "$work/config" 2>&1) && { echo "it started"; exit 1; }
grep -q "notification.yaml, line $(wc -l < "$work/config/notification.yaml"): notification.groupMade: .*groupCreated" <<< "$answer" || { echo "$answer"; exit 1; }
cp "$root/config/notification.yaml" "$work/config"

echo "all services in one process"
start all env IMENV_API_REQUESTSPERSECOND=50 IMENV_GATEWAY_MAXCONNECTIONS=20 "$server" all --config "$work/config"
until_ready all 23000
check 8
echo 'friendVerify: true' >> "$work/config/config.yaml"
node --experimental-websocket --no-warnings --test --test-force-exit --test-timeout=60000 --test-reporter=spec "$root/e2e/tests/limits.test.mjs"
ls "$work"/log/all.*.log > /dev/null
stop all TERM
grep -q '"message":"process.stopped"' "$work"/log/all.*.log || { tail -3 "$work"/log/all.*.log; exit 1; }

echo "each in a process of its own, found through etcd"
write_config etcd
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
until_registered() { # SECONDS SERVICE COUNT
  local end=$((SECONDS + $1))
  until [ "$(registered "$2")" = "$3" ]; do
    [ $SECONDS -lt $end ] || { echo "$(registered "$2") of $2 are registered, not $3"; exit 1; }
    sleep 0.3
  done
}
until_registered 10 msg 2
until_registered 10 gateway 2
curl -sf http://127.0.0.1:23002/prometheus_discovery/msg | grep -q '"targets":\["127.0.0.1:240[0-9]*","127.0.0.1:240[0-9]*"\]'
check 8
echo "one that dies is dropped, one that stops leaves at once, and etcd may be away: nothing is lost"
"$checker_bin/checker" --conversations 4 --seconds 45 --pause-ms 40 > "$work/checker.json" 2> "$work/checker.log" & checking=$!
stop msg KILL
until_registered 20 msg 1
stop gateway-2 TERM
[ "$(registered gateway)" = 1 ] || { echo "a gateway that has stopped is still registered"; exit 1; }
stop etcd KILL
sleep 12
start_etcd
until_registered 20 msg 1
until_registered 20 gateway 1
start_service msg msg-3 0
until_registered 20 msg 2
wait $checking || { cat "$work/checker.json"; tail -5 "$work/checker.log"; exit 1; }
cat "$work/checker.json"
