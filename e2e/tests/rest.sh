#!/usr/bin/env bash
# The REST API and the WebSocket through the ingress: envelope, access, bad input, every route, request, kind of content and notification.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
node_modules
export CLUSTER_NAMESPACE=$cluster_namespace CLUSTER_NAME=$cluster_name LOCALKUBE=$bin/localkube
cd "$root/e2e/tests"
node --experimental-websocket --no-warnings --test --test-force-exit --test-timeout=${deadline}000 --test-reporter=spec \
  rest.test.mjs fixes.test.mjs routes.test.mjs socket.test.mjs notifications.test.mjs errors.test.mjs authorization.test.mjs compatibility.test.mjs line.test.mjs examples.test.mjs
