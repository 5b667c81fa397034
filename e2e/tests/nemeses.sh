#!/usr/bin/env bash
# What goes wrong while messages flow: processes that stand still or die, Redis that fails over and steps its clock, etcd that is away when services start,
# Kafka's disk that is full, clocks of services that step. Services in processes of their own, found through etcd; two gateways; everything listens on loopback alone. After each, the checker
# has to have found nothing: messages too large, backdated ones, storms of @all, clients that hang up and retries with another body are among what it sends.
#   e2e/tests/nemeses.sh [core | NAME…]     all if omitted, one after the other; core: a few of them in one run of half a minute; SEED repeats choices
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib/loopback.sh"
seed=${SEED:-1}
disk=$work/kafka
at_end() { umount "$disk"; }
mkdir "$disk"
# What Kafka stores has to fit into this machine's memory, and can be made not to.
mount -t tmpfs -o size=256m tmpfs "$disk"
starter=supervised

start_etcd() {
  supervised etcd "$bin/etcd" --data-dir "$work/etcd" --unsafe-no-fsync --log-level error \
    --listen-client-urls http://127.0.0.1:23790 --advertise-client-urls http://127.0.0.1:23790 \
    --listen-peer-urls http://127.0.0.1:23800 --initial-advertise-peer-urls http://127.0.0.1:23800 --initial-cluster default=http://127.0.0.1:23800
  until_listens etcd 23790
}
# Clocks that are put ahead and back: Redis is given one by the linker; the services are linked statically, and read theirs by themselves when they are
# built with debug assertions (crates/model/src/clock.rs).
gcc -shared -fPIC -O2 -o "$work/clock.so" "$root/e2e/tests/lib/clock.c"
mkdir "$work/clocks"
clock() { # SECONDS NAME…: the command that puts them ahead
  local seconds=$1 files; shift
  files=$(printf "\"$work/clocks/%s\"," "$@")
  printf '%s' "node -e 'const b=Buffer.alloc(8);b.writeBigInt64LE(${seconds}n);for(const n of [${files%,}]){const f=fs.openSync(n,\"r+\");fs.writeSync(f,b);fs.closeSync(f)}'"
}
head -c 8 /dev/zero > "$work/clocks/redis"
with_clock=(env LD_PRELOAD="$work/clock.so" CLOCK_FILE="$work/clocks/redis")
replica() { # PORT [MASTER_PORT]
  mkdir -p "$work/redis-$1"
  supervised "redis-$1" "${with_clock[@]}" redis-server --bind 127.0.0.1 --port "$1" --dir "$work/redis-$1" --save '' ${2:+--replicaof 127.0.0.1 "$2"}
  until_listens "redis-$1" "$1"
}
sentinel() { # PORT
  mkdir "$work/sentinel-$1"
  printf '%s\n' "port $1" 'bind 127.0.0.1' "dir $work/sentinel-$1" 'sentinel monitor chat 127.0.0.1 23679 2' \
    'sentinel down-after-milliseconds chat 3000' 'sentinel failover-timeout chat 6000' > "$work/sentinel-$1/sentinel.conf"
  start "sentinel-$1" redis-server "$work/sentinel-$1/sentinel.conf" --sentinel
}
number=0 instances=()
start_service() { # SERVICE NAME GATEWAY_PORT: its admin port is 24000 and its number
  number=$((number + 1))
  instances+=("$2")
  admin[$2]=$((24000 + number))
  head -c 8 /dev/zero > "$work/clocks/$2"
  supervised "$2" env OPENIM_CLOCK_FILE="$work/clocks/$2" IMENV_ADMINPORT="${admin[$2]}" IMENV_RPCBASEPORT=$((24100 + 20 * number)) IMENV_GATEWAY_PORT="$3" \
    IMENV_LOG_STORAGELOCATION="$work/log/$2" "$server" "$1" --config "$work/config"
}

start_mongodb --sync-on-commit
replica 23679; replica 23680 23679
for port in 23379 23380 23381; do sentinel $port; done
start_etcd
start_kafka PLAINTEXT log.segment.bytes=1048576 log.index.size.max.bytes=262144 offsets.topic.num.partitions=4
write_config "discovery: {enable: etcd}" 'redis: {redisMode: sentinel, sentinelMode: {masterName: chat, sentinelsAddrs: ["127.0.0.1:23379", "127.0.0.1:23380"]}}' \
  'kafka: {address: ["127.0.0.1:23092"], partitions: 4}' 'etcd: {address: ["127.0.0.1:23790"]}'
"$server" migrate --config "$work/config" > "$work/migrate.out" 2>&1 || { tail -3 "$work/migrate.out"; exit 1; }
for service in auth user relation conversation group third msg transfer push api gateway cron; do start_service "$service" "$service" 23001; done
start_service gateway gateway-2 23011
for instance in $(seq $number); do
  end=$((SECONDS + deadline))
  until curl -sf -o /dev/null "http://127.0.0.1:$((24000 + instance))/readyz"; do
    [ $SECONDS -lt $end ] || { echo "service $instance is not ready"; tail -n 3 "$work"/log/*/*; exit 1; }
    sleep 0.2
  done
done

# begin SECONDS FAULTS…: the checker sends for so long; until_checked waits for its word. freeze=NAME:SECONDS and kill=NAME are about a process here,
# everything else is the checker's.
begin() {
  local seconds=$1 word options=(); shift
  for word; do
    case $word in
      freeze=*:*) word=${word#freeze=}; options+=(--freeze "$work/${word%:*}.pid:${word#*:}") ;;
      kill=*) options+=(--kill "$work/${word#kill=}.pid") ;;
      *) options+=("$word") ;;
    esac
  done
  "$built/checker" --api http://127.0.0.1:23002 --ws ws://127.0.0.1:23001/,ws://127.0.0.1:23011/ --secret "$api_secret" --seed "$seed" --seconds "$seconds" \
    --conversations 6 --groups 2 --members 6 --streams "${streams:-3}" --pause-ms 40 --round 400 --payload 200 --oversize-every 100 --backdate-every 25 --at-all-every 20 --kill-every 3 "${options[@]}" \
    > "$work/checker.json" 2> "$work/checker.log" & checking=$! enough=$seconds
}
master="redis-cli -p 23379 sentinel get-master-addr-by-name chat | tail -1"
# However long the sentinels take.
cat > "$work/fail-over" <<END_OF_FILE
port=\$($master) end=\$((\$(date +%s) + $deadline))
old=\$(cat "$work/redis-\$port.pid")
kill -STOP "\$old"
while [ "\$($master)" = "\$port" ] && [ "\$(date +%s)" -lt "\$end" ]; do sleep 0.2; done
kill -CONT "\$old"
[ "\$($master)" != "\$port" ] || { echo "no other Redis has taken over" >&2; exit 1; }
END_OF_FILE
of_master() { echo "$1 \$(cat $work/redis-\$($master).pid)"; }
# server_is_ahead SECONDS: or clocks step and nobody sees it.
server_is_ahead() {
  local post=(curl -sf -m "$deadline" -H 'operationID: clock' -H 'content-type: application/json')
  local token now
  token=$("${post[@]}" http://127.0.0.1:23002/auth/get_admin_token -d "{\"secret\":\"$api_secret\",\"userID\":\"imAdmin\"}" | grep -o '"token":"[^"]*' | cut -d'"' -f4)
  bash -c "$(clock "$1" "${instances[@]}")"
  now=$("${post[@]}" -H "token: $token" http://127.0.0.1:23002/msg/get_server_time -d '{}' | grep -o '"serverTime":[0-9]*' | cut -d: -f2)
  bash -c "$(clock 0 "${instances[@]}")"
  [ $((now / 1000 - $(date +%s) - $1)) -gt -60 ] || { echo "the services do not follow their clocks: $now"; exit 1; }
}
# step_clock SECONDS WHOSE NAME…: as an option of the checker
stepped=()
step_clock() {
  local seconds=$1 whose=$2; shift 2
  stepped+=(--nemesis "the clock of $whose goes $seconds s ahead=$(clock "$seconds" "$@")")
}
# The disk has no room until Kafka has felt it: it stops, or says that it cannot write.
cat > "$work/fill-disk" <<END_OF_FILE
was=\$(cat "$work/kafka.pid") end=\$((\$(date +%s) + $deadline))
dd if=/dev/zero "of=$disk/full" bs=64k 2> /dev/null
while [ "\$(cat "$work/kafka.pid")" = "\$was" ] && ! grep -q 'No space left' "$work/kafka.out"; do
  [ "\$(date +%s)" -lt "\$end" ] || { echo "Kafka did not notice that its disk is full" >&2; exit 1; }
  sleep 0.2
done
sleep 8
rm "$disk/full"
END_OF_FILE
# Push is frozen until more than a thousand messages wait for it, and no less than 18 s.
cat > "$work/backlog" <<END_OF_FILE
stored() { curl -sf -m $deadline "http://127.0.0.1:${admin[transfer]}/metrics" | sed -n 's/^msg_insert_mongo_success_total \([0-9]*\).*/\1/p'; }
push=\$(cat "$work/push.pid") before=\$(stored) begun=\$(date +%s)
kill -STOP "\$push"
until waiting=\$((\$(stored) - before)) && [ "\$waiting" -gt 1000 ] && [ \$((\$(date +%s) - begun)) -ge 18 ]; do
  [ \$((\$(date +%s) - begun)) -lt $deadline ] || break
  sleep 0.5
done
kill -CONT "\$push"
[ "\$waiting" -gt 1000 ] || { echo "only \$waiting messages waited for push" >&2; exit 1; }
END_OF_FILE
# The clock of Redis is where it was put.
redis_is_ahead() { # SECONDS
  echo "[ \$((\$(redis-cli -p 23679 time | head -1) - \$(date +%s) - $1)) -gt -60 ]"
}
# What the checker is to do beside sending and reading has happened.
has_done_all() {
  node -e '
    const seen = JSON.parse(fs.readFileSync(process.argv[1]));
    for (const kind of ["hungUp", "retried", "refused", "pushed"]) if (!(seen[kind] > 0)) { console.log(`${kind}: ${seen[kind]}`); process.exit(1); }' "$work/checker.json"
}
# etcd is away, and who starts then has to wait for it.
without_etcd() {
  unsupervised etcd
  kill -KILL "$(cat "$work/gateway.pid")" "$(cat "$work/push.pid")"
  sleep 6
  start_etcd
}

# As e2e/upstream.sh wants it; the master of Redis is the first one there.
beside=$work/beside; mkdir "$beside"
for name in mongodb kafka transfer push msg gateway; do ln -s "$work/$name.pid" "$beside/$name.pid"; done
ln -s "$work/redis-23679.pid" "$beside/redis.pid"

all=(gateway push redis redis-fails-over redis-dies redis-clock mongodb kafka services etcd-at-start disk-full)
[ "$profile" = release ] || all+=(clocks clock-apart)
nemesis() { # NAME
  echo "$1"
  case $1 in
    gateway) begin 25 freeze=gateway:12 ;;
    push) begin 30 --nemesis "push is frozen while more than a thousand messages wait=sh $work/backlog" ;;
    redis) begin 15 --nemesis "Redis stands still=$(of_master 'kill -STOP'); sleep 2; $(of_master 'kill -CONT')" ;;
    redis-fails-over) begin 25 --nemesis "Redis hangs until another has taken over=sh $work/fail-over" ;;
    redis-dies) begin 25 --nemesis "the master of Redis dies=$(of_master 'kill -KILL')" ;;
    redis-clock) begin 25 --nemesis "the clock of Redis goes an hour ahead=$(clock 3600 redis) && $(redis_is_ahead 3600)" --nemesis "an hour back=$(clock -3600 redis)" --nemesis "and is right=$(clock 0 redis)" ;;
    mongodb) begin 25 freeze=mongodb:8 kill=mongodb ;;
    kafka) begin 40 freeze=kafka:8 kill=kafka ;;
    services) begin 40 kill=transfer kill=push kill=msg kill=gateway kill=gateway-2 kill=conversation freeze=transfer:4 freeze=msg:4 ;;
    etcd-at-start) begin 25; sleep 4; without_etcd ;;
    disk-full) begin 45 --nemesis "Kafka's disk is full=sh $work/fill-disk" ;;
    clocks | clock-apart)
      [ "$profile" != release ] || { echo "programs that are shipped have the machine's clock alone: OPENIM_PROFILE=gate"; exit 2; }
      server_is_ahead 3600
      stepped=()
      if [ "$1" = clocks ]; then
        for seconds in 3600 -3600 0; do step_clock $seconds "all services" "${instances[@]}"; done
      else # calls of whoever is a minute ahead or back are refused until its clock is right
        for service in msg transfer push gateway-2; do
          for seconds in 60 0 -60 0; do step_clock $seconds "$service" "$service"; done
        done
      fi
      # An hour ahead, every open stream has been silent for too long.
      streams=0 begin 25 "${stepped[@]}"
      ;;
    core)
      begin 26 freeze=gateway:3 --nemesis "Redis fails over=redis-cli -p 23379 sentinel failover chat" kill=transfer freeze=push:4 kill=gateway-2 \
        freeze=mongodb:2
      ;;
    beside) # what e2e/upstream.sh does to any server
      OPENIM_API=http://127.0.0.1:23002 OPENIM_WS=ws://127.0.0.1:23001/ OPENIM_SECRET=$api_secret "$root/e2e/upstream.sh" "$beside" transfer push msg gateway
      return
      ;;
    *) echo "there is no '$1'; there are: core ${all[*]}"; exit 2 ;;
  esac
  until_checked
  has_done_all
}
names=("$@"); [ $# -gt 0 ] || names=("${all[@]}")
for name in "${names[@]}"; do nemesis "$name"; done
