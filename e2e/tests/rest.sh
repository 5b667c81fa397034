#!/usr/bin/env bash
# The REST API and the WebSocket handshake through the ingress: envelope, access, bad input.
set -euo pipefail
cd "$(dirname "$0")"
node --experimental-websocket --no-warnings --test --test-force-exit --test-timeout=120000 --test-reporter=spec rest.test.mjs routes.test.mjs
