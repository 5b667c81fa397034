#!/usr/bin/env bash
# Streams: an answer grows while it is read, whatever is killed meanwhile, and the bot of the documentation answers by an endpoint that speaks as OpenAI's does.
# CHANNEL=FOLDER runs OpenIM's AI channel itself, @openim/openclaw-channel, built (docs/COMPATIBILITY.md), where otherwise the SDK is used in the same way.
# All services in one process, with real MongoDB, Kafka and Redis on loopback; the test itself starts and kills the services.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib/loopback.sh"
start_servers --sync-on-commit
write_config 'discovery: {enable: static}' "${plain[@]}"
cat > "$work/config/webhooks.yaml" <<'END_OF_FILE'
url: "http://127.0.0.1:23200"
signingSecret: a-signing-secret
afterSendSingleMsg: {enable: true, timeout: 5, attentionIds: [streambot]}
afterSendGroupMsg: {enable: true, timeout: 5}
END_OF_FILE
export SERVER=$server CONFIG=$work/config READY=http://127.0.0.1:23000/readyz BOT_PORT=23200 SIGNING_SECRET=a-signing-secret MODEL_PORT=23201
tested streams.test.mjs
