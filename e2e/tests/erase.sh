#!/usr/bin/env bash
# A user is exported and erased, also when everything dies in the middle; backups are sealed, and bring nobody back. Without Kubernetes, with
# real MongoDB, Kafka, Redis and S3 on loopback.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib/loopback.sh"

start_mongodb
start redis redis-server --bind 127.0.0.1 --port 23679 --dir "$work" --save ''
until_listens redis 23679
start_kafka PLAINTEXT
mkdir -p "$work/s3" "$work/meta"
start s3 env ROOT_ACCESS_KEY=openim ROOT_SECRET_KEY=a-secret-of-this-test "$bin/versitygw" --port 127.0.0.1:23070 posix --sidecar "$work/meta" "$work/s3"
until_listens s3 23070
s3='endpoint: "http://127.0.0.1:23070", accessKeyID: openim, secretAccessKey: a-secret-of-this-test'
write_config 'discovery: {enable: static}' 'redis: {address: "127.0.0.1:23679"}' 'kafka: {address: ["127.0.0.1:23092"], partitions: 4}' \
  "object: {enable: s3, s3: {$s3, bucket: files}}" "backup: {key: $secret-for-backups, s3: {$s3, bucket: backups}}"
export SERVER=$server CONFIG=$work/config BUCKETS=$work/s3 READY=http://127.0.0.1:23000/readyz MONGODB=mongodb://127.0.0.1:23017 DATABASE=from_source
cd "$(dirname "$0")"
node --experimental-websocket --no-warnings --test --test-force-exit --test-timeout=${deadline}000 --test-reporter=spec erase.test.mjs
