#!/usr/bin/env bash
# A database that upstream's own server has written is imported, killed in the middle, followed, verified, written back, and served: what its users
# see by REST and socket is what upstream stored. Without Kubernetes, with real MongoDB, Kafka and Redis on loopback.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib/loopback.sh"

start_mongodb
start redis redis-server --bind 127.0.0.1 --port 23679 --dir "$work" --save ''
until_listens redis 23679
start_kafka PLAINTEXT
write_config 'discovery: {enable: static}' 'redis: {address: "127.0.0.1:23679"}' 'kafka: {address: ["127.0.0.1:23092"], partitions: 4}' 'allowAmbiguousIDs: true'
export SERVER=$server CONFIG=$work/config READY=http://127.0.0.1:23000/readyz MONGODB=mongodb://127.0.0.1:23017 REDIS=redis://127.0.0.1:23679/5
cd "$(dirname "$0")"
node --experimental-websocket --no-warnings --test --test-force-exit --test-timeout=${deadline}000 --test-reporter=spec import.test.mjs
