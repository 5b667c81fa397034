#!/usr/bin/env bash
# Other ways to the servers: Redis by Sentinel, whose master is killed, Redis as a cluster, both and Kafka by TLS with client certificates; then by users
# and passwords, Kafka by SCRAM and with the authorities of the system. Everything of this test listens on loopback alone.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib/loopback.sh"

certificates() {
  local name authority='basicConstraints=critical,CA:TRUE'
  mkdir "$work/tls"
  cd "$work/tls"
  for name in ca other-ca; do
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$name" -addext "$authority" -keyout $name.key -out $name.crt 2> /dev/null
  done
  for name in broker client; do
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout $name.key -out $name.csr 2> /dev/null
    openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out $name.crt \
      -extfile <(echo 'subjectAltName=IP:127.0.0.1') 2> /dev/null
  done
  # Java wants PKCS #8 and everything in one file.
  cat broker.key broker.crt > broker.pem
  cd - > /dev/null
}
certificates
start_mongodb
start_kafka SSL "ssl.keystore.type=PEM" "ssl.keystore.location=$work/tls/broker.pem" "ssl.truststore.type=PEM" \
  "ssl.truststore.location=$work/tls/ca.crt" "ssl.client.auth=required"
by_tls() { # CA
  echo "kafka: {address: ['127.0.0.1:23092'], partitions: 4, tls: {enableTLS: true, caCrt: $work/tls/$1.crt, clientCrt: $work/tls/client.crt, clientKey: $work/tls/client.key}}"
}

# Servers, sentinels and clients of Redis show each other certificates too.
redis_tls=(--tls-cert-file "$work/tls/broker.crt" --tls-key-file "$work/tls/broker.key" --tls-ca-cert-file "$work/tls/ca.crt")
redis-cli() { command redis-cli --tls --cert "$work/tls/client.crt" --key "$work/tls/client.key" --cacert "$work/tls/ca.crt" "$@"; }
redis_client() { # CA
  echo "tls: {enableTLS: true, caCrt: $work/tls/$1.crt, clientCrt: $work/tls/client.crt, clientKey: $work/tls/client.key}"
}
replica() { # PORT [MASTER_PORT]
  mkdir -p "$work/redis-$1"
  start "redis-$1" redis-server --bind 127.0.0.1 --port 0 --tls-port "$1" "${redis_tls[@]}" --tls-replication yes --dir "$work/redis-$1" --save '' \
    ${2:+--replicaof 127.0.0.1 "$2"}
  until_listens "redis-$1" "$1"
}
replica 23679; replica 23680 23679; replica 23681 23679
for port in 23379 23380 23381; do
  mkdir "$work/sentinel-$port"
  printf '%s\n' 'port 0' "tls-port $port" "tls-cert-file $work/tls/broker.crt" "tls-key-file $work/tls/broker.key" "tls-ca-cert-file $work/tls/ca.crt" \
    'tls-replication yes' 'bind 127.0.0.1' "dir $work/sentinel-$port" 'sentinel monitor chat 127.0.0.1 23679 2' \
    'sentinel down-after-milliseconds chat 3000' 'sentinel failover-timeout chat 6000' > "$work/sentinel-$port/sentinel.conf"
  start "sentinel-$port" redis-server "$work/sentinel-$port/sentinel.conf" --sentinel
  until_listens "sentinel-$port" $port
done
master() { redis-cli -p 23379 sentinel get-master-addr-by-name chat | tail -1; }
until_said() { # WHAT COMMAND…
  local what=$1 end=$((SECONDS + deadline)); shift
  until "$@" > /dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { echo "$what did not come true"; exit 1; }
    sleep 0.3
  done
}
until_said "every sentinel knows the other two and both replicas" \
  eval '[ "$(redis-cli -p 23381 sentinel master chat | grep -A1 -E "^num-(slaves|other-sentinels)$" | grep -c "^2$")" = 2 ]'

echo "a Kafka that the authority does not vouch for is not talked to"
sentinels='redis: {redisMode: sentinel, sentinelMode: {masterName: chat, sentinelsAddrs: ["127.0.0.1:23379", "127.0.0.1:23380"]}'
write_config "$(by_tls other-ca)" "$sentinels, $(redis_client ca)}"
start all "$server" all --config "$work/config"
until_said "the refusal in the log" eval 'grep -q "certificate verify failed" "$work"/log/all.*.log "$work/all.out"'
curl -sf -o /dev/null http://127.0.0.1:23000/readyz && { echo "it is ready"; exit 1; }
stop all KILL
rm -rf "$work/log"

echo "nor a Redis"
write_config "$(by_tls ca)" "$sentinels, $(redis_client other-ca)}"
start all "$server" all --config "$work/config"
until_said "the refusal in the log" eval 'grep -qi "certificate" "$work"/log/all.*.log "$work/all.out"'
stop all KILL
rm -rf "$work/log"

echo "Kafka by TLS, Redis by Sentinel; its master dies"
write_config "$(by_tls ca)" "$sentinels, $(redis_client ca)}"
start all "$server" all --config "$work/config"
until_ready all 23000
start_checker
routes() { redis-cli -p "$(master)" --scan --pattern 'ROUTE:*' | wc -l; }
until_said "routes on the master" eval '[ "$(routes)" -gt 0 ]'
# Sentinels that had no time for three seconds may have chosen another one already.
first=$(master)
stop "redis-$first" KILL
until_said "another master" eval '[ "$(master)" != "$first" ]'
until_said "the gateway's word on the new master" eval '[ "$(redis-cli -p "$(master)" --scan --pattern "GATEWAY_READY:*" | wc -l)" = 1 ]'
until_said "routes on the new master" eval '[ "$(routes)" -gt 0 ]'
until_stored 500 23000
until_checked
stop all TERM
for port in 23379 23380 23381; do stop "sentinel-$port" KILL; done
for port in 23679 23680 23681; do [ "$port" = "$first" ] || stop "redis-$port" KILL; done

echo "Redis as a cluster"
for port in 23691 23692 23693; do
  mkdir "$work/redis-$port"
  # The bus' own default, 10000 above, lies among the ports that outgoing connections take.
  start "redis-$port" redis-server --bind 127.0.0.1 --port 0 --tls-port $port "${redis_tls[@]}" --tls-cluster yes --tls-replication yes \
    --dir "$work/redis-$port" --save '' --cluster-enabled yes --cluster-port $((port + 100))
  until_listens "redis-$port" $port
done
redis-cli --cluster create 127.0.0.1:23691 127.0.0.1:23692 127.0.0.1:23693 --cluster-yes > "$work/create.out" || { cat "$work/create.out"; exit 1; }
until_said "the cluster is whole" eval 'redis-cli -p 23691 cluster info | has cluster_state:ok && redis-cli -p 23693 cluster info | has cluster_state:ok'
write_config "$(by_tls ca)" "redis: {redisMode: cluster, address: '127.0.0.1:23690,127.0.0.1:23692', $(redis_client ca)}"
start all "$server" all --config "$work/config"
until_ready all 23000
start_checker
keys() { for port in 23691 23692 23693; do redis-cli -p $port --scan --pattern 'ROUTE:*'; done | wc -l; }
until_said "routes on the cluster" eval '[ "$(keys)" -gt 3 ]'
until_stored 500 23000
until_checked
stop all TERM

echo "Kafka by SCRAM and the authorities of the system; Redis by a user, its sentinel by a password"
for port in 23691 23692 23693; do stop "redis-$port" KILL; done
stop kafka KILL
rm -rf "$work/kafka" "$work/log"
kafka_format=(--add-scram 'SCRAM-SHA-256=[name=chat,password=of-kafka]' --add-scram 'SCRAM-SHA-512=[name=chat,password=of-kafka]')
module=org.apache.kafka.common.security.scram.ScramLoginModule
start_kafka SASL_SSL "ssl.keystore.type=PEM" "ssl.keystore.location=$work/tls/broker.pem" "ssl.truststore.type=PEM" \
  "ssl.truststore.location=$work/tls/ca.crt" "sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512" "sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512" \
  "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=$module required;" \
  "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=$module required username=\"chat\" password=\"of-kafka\";"
mkdir "$work/redis-23682" "$work/sentinel-23382"
start redis-23682 redis-server --bind 127.0.0.1 --port 23682 --dir "$work/redis-23682" --save '' --user default off --user chat on '>of-redis' '~*' '&*' +@all
until_listens redis-23682 23682
printf '%s\n' 'port 23382' 'bind 127.0.0.1' "dir $work/sentinel-23382" 'requirepass of-sentinel' 'sentinel monitor chat 127.0.0.1 23682 1' \
  'sentinel auth-user chat chat' 'sentinel auth-pass chat of-redis' > "$work/sentinel-23382/sentinel.conf"
start sentinel-23382 redis-server "$work/sentinel-23382/sentinel.conf" --sentinel
until_listens sentinel-23382 23382
by_scram() { echo "kafka: {address: ['127.0.0.1:23092'], partitions: 4, username: chat, password: of-kafka, saslMechanism: $1, tls: {enableTLS: true}}"; }
by_user() { # PASSWORD_OF_SENTINEL
  echo "redis: {redisMode: sentinel, username: chat, password: of-redis, sentinelMode: {masterName: chat, sentinelsAddrs: ['127.0.0.1:23382'], password: $1}}"
}
refused() { # WHAT CA CONFIG…: nothing comes up, and the log says why
  local what=$1 ca=$2; shift 2
  write_config "$@"
  start all env SSL_CERT_FILE="$work/tls/$ca.crt" "$server" all --config "$work/config"
  until_said "$what in the log" eval 'grep -qi "'"$what"'" "$work"/log/all.*.log "$work/all.out"'
  stop all KILL
  rm -rf "$work/log"
}
refused "certificate verify failed" other-ca "$(by_scram SCRAM-SHA-512)" "$(by_user of-sentinel)"
refused "SASL" ca "$(by_scram PLAIN)" "$(by_user of-sentinel)"
refused "NOAUTH\|WRONGPASS\|invalid password\|AuthenticationFailed\|authentication failed" ca "$(by_scram SCRAM-SHA-256)" "$(by_user of-nobody)"
for mechanism in SCRAM-SHA-256 SCRAM-SHA-512; do
  write_config "$(by_scram $mechanism)" "$(by_user of-sentinel)"
  start all env SSL_CERT_FILE="$work/tls/ca.crt" "$server" all --config "$work/config"
  until_ready all 23000
  # By IPv6 too, where this machine has it.
  [ ! -e /proc/net/if_inet6 ] || curl -sf -o /dev/null 'http://[::1]:23000/readyz' || { echo "nobody listens by IPv6"; exit 1; }
  start_checker
  until_said "a route" eval "[ \"\$(command redis-cli -p 23682 --user chat --pass of-redis --no-auth-warning --scan --pattern 'ROUTE:*' | wc -l)\" -gt 0 ]"
  until_stored 100 23000
  until_checked
  stop all TERM
done
