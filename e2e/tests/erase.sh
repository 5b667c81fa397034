#!/usr/bin/env bash
# A user is exported and erased, also when everything dies in the middle; backups are sealed, and bring nobody back. Without Kubernetes, with
# real MongoDB, Kafka, Redis and S3 on loopback.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib/loopback.sh"

start_servers
start_s3
write_config 'discovery: {enable: static}' "${plain[@]}" \
  "object: {enable: s3, s3: {$s3, bucket: files}}" "backup: {key: $secret-for-backups, s3: {$s3, bucket: backups}}"
export SERVER=$server CONFIG=$work/config BUCKETS=$work/s3 READY=http://127.0.0.1:23000/readyz MONGODB=mongodb://127.0.0.1:23017 DATABASE=from_source
tested erase.test.mjs
