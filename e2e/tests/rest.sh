#!/usr/bin/env bash
# The REST API and the WebSocket through the ingress: envelope, access, bad input, every route, request, kind of content and notification.
set -euo pipefail
cd "$(dirname "$0")"
(cd ../sdk && npm ci --no-audit --no-fund --silent)
node --experimental-websocket --no-warnings --test --test-force-exit --test-timeout=300000 --test-reporter=spec \
  rest.test.mjs routes.test.mjs socket.test.mjs notifications.test.mjs errors.test.mjs authorization.test.mjs compatibility.test.mjs
