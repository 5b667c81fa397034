#!/usr/bin/env bash
# Kafka with an authorizer, as the operator sets it up: the services are a user who may use their topics and nothing else. And its disk: what is read
# is removed when it takes more than its share, what is not read never. Everything of this test listens on loopback alone.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib/loopback.sh"

# As credentials.rs and render/backing.rs write it.
login='org.apache.kafka.common.security.plain.PlainLoginModule required username="openim" password="of-admin" user_openim-app="of-app" user_openim="of-admin";'
start_kafka SASL_PLAINTEXT 'listener.security.protocol.map=SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT' \
  sasl.enabled.mechanisms=PLAIN sasl.mechanism.inter.broker.protocol=PLAIN sasl.mechanism.controller.protocol=PLAIN \
  "listener.name.sasl_plaintext.plain.sasl.jaas.config=$login" "listener.name.controller.plain.sasl.jaas.config=$login" \
  authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer 'super.users=User:openim;User:openim-b' \
  auto.create.topics.enable=false log.retention.check.interval.ms=1000
start_mongodb
start redis redis-server --bind 127.0.0.1 --port 23679 --dir "$work" --save ''
until_listens redis 23679

configure() { # USER PASSWORD
  write_config 'redis: {address: "127.0.0.1:23679"}' "kafka: {address: ['127.0.0.1:23092'], username: $1, password: $2, partitions: 4}"
  rm -rf "${work:?}/$1"; cp -r "$work/config" "$work/$1"
  printf '%s\n' security.protocol=SASL_PLAINTEXT sasl.mechanism=PLAIN \
    "sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username=\"$1\" password=\"$2\";" > "$work/$1.properties"
}
configure openim of-admin
configure openim-app of-app
# kafka_tool USER CLASS WORD…: one of Kafka's own tools, as a user; what it says is in $work/tool.out.
kafka_tool() {
  local user=$1 class=$2; shift 2
  local properties=--command-config
  case $class in
    kafka.*) ;;
    consumer.ConsoleConsumer) properties=--consumer.config ;;&
    ProducerPerformance) properties=--producer.config ;;&
    *) class=org.apache.kafka.tools.$class ;;
  esac
  java -Xmx256m -XX:TieredStopAtLevel=1 -Dlog4j2.level=ERROR -cp "$OPENIM_CACHE/kafka/libs/*" "$class" "$@" \
    "$properties" "$work/$user.properties" > "$work/tool.out" 2>&1
}
at=(--bootstrap-server 127.0.0.1:23092) to=(--producer-props bootstrap.servers=127.0.0.1:23092)
refused() { # WHAT USER CLASS WORD…: Kafka says that this user may not
  local what=$1; shift
  kafka_tool "$@" || true
  has AuthorizationException < "$work/tool.out" || has 'Not authorized' < "$work/tool.out" || has 'Authorization failed' < "$work/tool.out" ||
    { echo "$what was not refused:"; tail -5 "$work/tool.out"; exit 1; }
}
offsets() { # earliest|latest: the sum over the partitions of accepted messages
  kafka_tool openim GetOffsetShell "${at[@]}" --topic toTransfer --time "$1" || { cat "$work/tool.out"; exit 1; }
  awk -F: '/^toTransfer:/ { sum += $3 } END { print sum + 0 }' "$work/tool.out"
}

echo "the services' user may nothing before it is given its rights"
"$server" migrate --config "$work/openim" > "$work/migrate.out" 2>&1 || { tail -5 "$work/migrate.out"; exit 1; }
refused "writing" openim-app ProducerPerformance "${to[@]}" --topic toTransfer --num-records 1 --record-size 10 --throughput -1
"$server" kafka-rights openim-app --config "$work/openim-app" > "$work/rights.out" 2>&1 && { echo "it gave them to itself"; exit 1; }
has CreateAcls < "$work/rights.out" || { cat "$work/rights.out"; exit 1; }
for _ in 1 2; do "$server" kafka-rights openim-app openim-app-b --config "$work/openim"; done

echo "with them the services run: they send, read and commit"
start all "$server" all --config "$work/openim-app"
until_ready all 23000
check 10
stop all TERM
kafka_tool openim consumer.group.ConsumerGroupCommand "${at[@]}" --describe --group transfer || { cat "$work/tool.out"; exit 1; }
# Group, topic, partition, committed offset, end, lag.
awk '$1 == "transfer" && $4 ~ /^[0-9]+$/ { sum += $4; lag += $6 } END { exit !(sum > 0 && lag == 0) }' "$work/tool.out" ||
  { echo "transfer has not committed what it read:"; cat "$work/tool.out"; exit 1; }

echo "and nothing else"
kafka_tool openim TopicCommand "${at[@]}" --create --topic foreign --partitions 1 || { cat "$work/tool.out"; exit 1; }
refused "making a topic" openim-app TopicCommand "${at[@]}" --create --topic another --partitions 1
# Who may not see a topic hears that there is none.
kafka_tool openim-app TopicCommand "${at[@]}" --list
[ "$(grep -c '^to' "$work/tool.out")" = 4 ] || { echo "it does not see its topics:"; cat "$work/tool.out"; exit 1; }
has foreign < "$work/tool.out" && { echo "it sees a foreign topic"; exit 1; }
refused "removing a topic" openim-app TopicCommand "${at[@]}" --delete --topic toTransfer
refused "growing a topic" openim-app TopicCommand "${at[@]}" --alter --topic toTransfer --partitions 9
refused "setting a topic" openim-app kafka.admin.ConfigCommand "${at[@]}" --alter --entity-type topics --entity-name toTransfer --add-config retention.ms=1
refused "reading a foreign topic" openim-app consumer.ConsoleConsumer "${at[@]}" --topic foreign --group transfer --from-beginning --timeout-ms 20000
refused "reading as a foreign group" openim-app consumer.ConsoleConsumer "${at[@]}" --topic toTransfer --group foreign --timeout-ms 20000
refused "writing to a foreign topic" openim-app ProducerPerformance "${to[@]}" --topic foreign --num-records 1 --record-size 10 --throughput -1
"$server" kafka-room --volume 300000000 --config "$work/openim-app" > "$work/room.out" 2>&1 && { echo "it changed the settings of topics"; exit 1; }
has DescribeLogDirs < "$work/room.out" || { cat "$work/room.out"; exit 1; }

echo "what nobody has read stays, whatever it takes"
room() { "$server" kafka-room --volume 300000000 --config "$work/openim" > "$work/room.out" 2>&1 || { cat "$work/room.out"; exit 1; }; }
held() { sed -n 's/.*most: \([0-9]*\) bytes.*/\1/p' "$work/room.out"; }
room
kafka_tool openim TopicCommand "${at[@]}" --describe --topic toTransfer
has 'retention.ms=-1' < "$work/tool.out" && has 'segment.bytes=16777216' < "$work/tool.out" || { echo "it is not set:"; cat "$work/tool.out"; exit 1; }
kafka_tool openim-app ProducerPerformance "${to[@]}" --topic toTransfer --num-records 250000 --record-size 1000 --throughput -1 || { cat "$work/tool.out"; exit 1; }
room; room
has transfer < "$work/room.out" || { echo "nobody is waited for:"; cat "$work/room.out"; exit 1; }
[ "$(held)" -gt 240000000 ] && [ "$(offsets earliest)" -le $(($(offsets latest) - 250000)) ] || { echo "what was not read is gone:"; cat "$work/room.out"; exit 1; }

echo "what is read is removed"
kafka_tool openim consumer.group.ConsumerGroupCommand "${at[@]}" --group transfer --topic toTransfer --reset-offsets --to-latest --execute ||
  { cat "$work/tool.out"; exit 1; }
end=$((SECONDS + deadline))
until room; [ "$(held)" -lt 90000000 ]; do
  [ $SECONDS -lt $end ] || { echo "it takes its room still:"; cat "$work/room.out"; exit 1; }
  sleep 1
done
[ "$(offsets earliest)" = "$(offsets latest)" ]
