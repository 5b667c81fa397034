#!/usr/bin/env bash
# Uploads and downloads against a real S3 server, in parts and by form, and what expires. Each service is a process of its own on loopback; ingress.sh uploads
# through an ingress, to the storage that the operator was given.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
prepare() { [ -x "$bin/versitygw" ] || "$root/e2e/tools/cluster/build.sh" tests; }
. "$(dirname "$0")/lib/loopback.sh"
start_servers
start_s3
write_config 'discovery: {enable: static}' "${plain[@]}" "object: {enable: s3, expireDays: 1, s3: {$s3, bucket: openim-uploads}}"
starter=supervised start_each auth user relation conversation group third msg transfer push api gateway cron
OPENIM_AGAIN=$work/again tested objects.test.mjs
