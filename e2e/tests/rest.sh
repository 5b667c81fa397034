#!/usr/bin/env bash
# The REST API and the WebSocket: envelope, access, bad input, every route, request, kind of content and notification. Each service is a process of its own on
# loopback; what only an ingress shows is in ingress.sh.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
prepare() { [ -x "$bin/versitygw" ] || "$root/e2e/tools/cluster/build.sh" tests; }
. "$(dirname "$0")/lib/loopback.sh"
start_servers
start_s3
write_config 'discovery: {enable: static}' "${plain[@]}" "object: {enable: s3, s3: {$s3, bucket: files}}"
start_each auth user relation conversation group third msg transfer push api gateway cron
tested --test-concurrency=5 compatibility.test.mjs authorization.test.mjs platform.test.mjs fixes.test.mjs routes.test.mjs rest.test.mjs socket.test.mjs notifications.test.mjs \
  errors.test.mjs line.test.mjs examples.test.mjs
# Whose connections were closed and whose handshakes were refused is in the gateway's audit log, with platform and address.
for event in auth.kicked auth.failed; do
  grep -h "\"$event\"" "$work"/log/gateway/* | grep '"target":"audit"' | grep '"platform":[0-9]' | has '"address":"127.0.0.1"' || { echo "$event is not in the audit log"; exit 1; }
done
