# The services on loopback without Kubernetes, for tests: sourced after lib.sh and before everything else. Ports 23000 to 24999; all of it ends with the test.
#
# The test starts again in a network of its own, which has loopback alone: tests that run at the same time do not meet, and nothing is downloaded while one
# runs. What it needs to build or download, beside the programs, belongs in a function `prepare`, defined before this file is sourced.
# shellcheck disable=SC2034 # `server` and others are for who sources this
: "${built:?source e2e/lib.sh first}" "${bin:?}" "${deadline:?}"
if [ -z "${OPENIM_APART:-}" ]; then
  build_services
  build_checker
  node_modules
  ! declare -F prepare > /dev/null || prepare
  export OPENIM_APART=own
  apart=(unshare --net)
  [ "$(id -u)" = 0 ] || apart+=(--user --map-root-user)
  # Where that is not allowed, the ports of this machine are used, and one such test runs at a time.
  if "${apart[@]}" ip link set lo up 2> /dev/null; then exec "${apart[@]}" "$BASH" -c 'ip link set lo up && exec "$BASH" "$@"' "$0" "$0" "$@"; fi
  OPENIM_APART=shared
fi
server=$built/openim-server
work=$(mktemp -d)
export RUST_BACKTRACE=0 # an error is one line, and the last lines are shown
secret=a-secret-of-this-test-alone api_secret=another-for-back-ends-alone
export OPENIM_ENDPOINTS="{\"api\":\"http://127.0.0.1:23002\",\"ws\":\"ws://127.0.0.1:23001/\",\"adminUserID\":\"imAdmin\",\"secret\":\"$api_secret\",\"clusterSecret\":\"$secret\",\"kubeconfig\":\"\"}"
export OPENIM_MONGO_URI=mongodb://127.0.0.1:23017/from_source
declare -A running
stop() { # NAME SIGNAL: and wait for its end
  kill "-$2" "${running[$1]}" 2> /dev/null || true
  wait "${running[$1]}" 2> /dev/null || true
  unset "running[$1]"
}
at_end() { :; } # for tests that leave more behind than files
finish() {
  local code=$? name
  exec 2> /dev/null # the shell tells of each that is killed
  set +e
  for name in "${!running[@]}"; do kill -KILL "${running[$name]}" 2> /dev/null || true; done
  for name in "$work"/*.pid; do kill -KILL "$(cat "$name")" 2> /dev/null || true; done # of those that were supervised
  wait
  [ $code = 0 ] || tail -n 5 "$work"/*.out
  at_end
  rm -rf "$work"
  exit $code
}
trap finish EXIT
start() { # NAME COMMAND…
  local name=$1; shift
  "$@" > "$work/$name.out" 2>&1 & running[$name]=$!
}
until_listens() { # NAME PORT
  local end=$((SECONDS + deadline))
  until (exec 3<> "/dev/tcp/127.0.0.1/$2") 2> /dev/null; do
    kill -0 "${running[$1]}" 2> /dev/null || { echo "$1 has ended:"; tail -5 "$work/$1.out"; exit 1; }
    [ $SECONDS -lt $end ] || { echo "$1 does not listen on port $2:"; tail -5 "$work/$1.out"; exit 1; }
    sleep 0.2
  done
}
# With starter=supervised the servers are begun again whenever they end.
begin_mongodb() { # OPTION…: --sync-on-commit where it is killed, or it loses what it has confirmed
  ${starter:-start} mongodb "$OPENIM_CACHE/secantus/bin/secantusd-rs" --host 127.0.0.1 --port 23017 --storage-path "$work/mongodb" --cache-size 128M "$@"
}
start_mongodb() { begin_mongodb "$@"; until_listens mongodb 23017; }
# start_servers OPTION…: MongoDB with these options, Redis and Kafka; `plain` is what the configuration says of them.
plain=('redis: {address: "127.0.0.1:23679"}' 'kafka: {address: ["127.0.0.1:23092"], partitions: 4}')
start_servers() {
  begin_mongodb "$@"
  ${starter:-start} redis redis-server --bind 127.0.0.1 --port 23679 --dir "$work" --save ''
  start_kafka PLAINTEXT
  until_listens mongodb 23017
  until_listens redis 23679
}
# start_s3: a real S3 server; `s3` is what the configuration says of it, to be followed by a bucket.
s3='endpoint: "http://127.0.0.1:23070", accessKeyID: openim, secretAccessKey: a-secret-of-this-test'
start_s3() {
  mkdir -p "$work/s3" "$work/meta"
  start s3 env ROOT_ACCESS_KEY=openim ROOT_SECRET_KEY=a-secret-of-this-test \
    "$bin/versitygw" --port 127.0.0.1:23070 --cors-allow-origin '*' posix --sidecar "$work/meta" "$work/s3"
  until_listens s3 23070
}
kafka_format=() # more words for the tool that makes its folder, such as users
start_kafka() { # PROTOCOL [PROPERTY…]: PLAINTEXT, SSL or SASL_SSL
  local libs="$OPENIM_CACHE/kafka/libs/*" protocol=$1; shift
  cat > "$work/kafka.properties" <<END_OF_FILE
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:23093
listeners=$protocol://127.0.0.1:23092,CONTROLLER://127.0.0.1:23093
advertised.listeners=$protocol://127.0.0.1:23092
inter.broker.listener.name=$protocol
listener.security.protocol.map=$protocol:$protocol,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=$work/kafka
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
$(printf '%s\n' "$@")
END_OF_FILE
  local java=(java -Xmx384m -Dlog4j2.level=WARN -cp "$libs") compiler=${kafka_compiler--XX:TieredStopAtLevel=1}
  [ -z "$compiler" ] || java+=("$compiler")
  "${java[@]}" kafka.tools.StorageTool format "${kafka_format[@]}" -t MkU3OEVBNTcwNTJENDM2Qk -c "$work/kafka.properties" > "$work/format.out" 2>&1 || { cat "$work/format.out"; exit 1; }
  ${starter:-start} kafka "${java[@]}" kafka.Kafka "$work/kafka.properties"
  until_listens kafka 23092
}
write_config() { # LINE…: beside what every test has
  mkdir -p "$work/config"
  {
    cat <<END_OF_FILE
secret: $secret
apiSecret: $api_secret
log: {storageLocation: "$work/log"}
mongo: {uri: "mongodb://127.0.0.1:23017", database: from_source}
api: {openImApiPort: 23002}
gateway: {port: 23001, drainSeconds: 1}
adminPort: 23000
rpcBasePort: 23100
END_OF_FILE
    printf '%s\n' "$@"
  } > "$work/config/config.yaml"
}
until_ready() { # NAME ADMIN_PORT
  local end=$((SECONDS + deadline))
  until curl -sf -o /dev/null "http://127.0.0.1:$2/readyz"; do
    kill -0 "${running[$1]}" 2> /dev/null || { echo "$1 has ended:"; tail -5 "$work/$1.out" "$work"/log/"$1"*; exit 1; }
    [ $SECONDS -lt $end ] || { echo "$1 is not ready"; tail -5 "$work"/log/"$1"*; exit 1; }
    sleep 0.2
  done
}
# start_each SERVICE…: each in a process of its own, as in the cluster, after `write_config` without discovery or with a static one. With starter=supervised they
# start again whenever they end, and `$work/again SERVICE` kills one. admin[SERVICE] is its admin port.
declare -A admin=()
start_each() {
  local service number=${#admin[@]}
  "$server" migrate --config "$work/config" > "$work/migrate.out" 2>&1 || { tail -5 "$work/migrate.out"; exit 1; }
  for service; do
    number=$((number + 1))
    admin[$service]=$((24000 + number))
    ${starter:-start} "$service" env IMENV_ADMINPORT=${admin[$service]} IMENV_LOG_STORAGELOCATION="$work/log/$service" "$server" "$service" --config "$work/config"
  done
  for service; do until_ready "$service" "${admin[$service]}"; done
  printf '#!/bin/sh\nkill -KILL "$(cat %q/"$1".pid)"\n' "$work" > "$work/again"
  chmod +x "$work/again"
}
start_checker() { # [SECONDS]: without them until until_checked
  "$built/checker" --conversations 4 ${1:+--seconds "$1"} --pause-ms 40 > "$work/checker.json" 2> "$work/checker.log" & checking=$!
  enough=${1:-}
}
until_checked() { # the checker has sent enough and found nothing
  [ -n "$enough" ] || kill "$checking" 2> /dev/null || true
  wait $checking || { cat "$work/checker.json"; tail -5 "$work/checker.log"; exit 1; }
  cat "$work/checker.json"
}
check() { start_checker "$1"; until_checked; }
stored() { curl -sf "http://127.0.0.1:$1/metrics" | sed -n 's/^msg_insert_mongo_success_total \([0-9]*\).*/\1/p'; } # ADMIN_PORT: how many messages its transfer has
until_stored() { # COUNT ADMIN_PORT: until there are so many more
  local end=$((SECONDS + deadline)) enough=$(($1 + $(stored "$2")))
  until [ "$(stored "$2")" -ge "$enough" ]; do
    [ $SECONDS -lt $end ] || { echo "$(stored "$2") messages are stored, not $enough"; exit 1; }
    sleep 0.2
  done
}
# supervised NAME COMMAND…: begun again whenever it ends, until the test does; $work/NAME.pid has the id of the process that runs.
supervised() {
  local name=$1; shift
  (
    exec >> "$work/$name.out" 2>&1
    while kill -0 $$; do
      setpriv --pdeathsig KILL -- "$@" & echo $! > "$work/$name.pid.new"; mv "$work/$name.pid.new" "$work/$name.pid"
      wait $! || true
      sleep 0.5 # what cannot start does not keep the processor busy
    done
  ) & running[$name]=$!
}
# unsupervised NAME: ends it; one that stands still too.
unsupervised() { stop "$1" KILL; kill -KILL "$(cat "$work/$1.pid")" 2> /dev/null || true; }
