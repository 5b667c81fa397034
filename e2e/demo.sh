#!/usr/bin/env bash
# Two real SDK users chat in a headless browser; says where the screenshot is.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
export OPENIM_ENDPOINTS=${OPENIM_ENDPOINTS:-$("$root/e2e/endpoints.sh")}
cd "$root/e2e/tests/sdk"
node_modules
mkdir -p "$root/e2e/out"
node demo.mjs "$root/e2e/out/demo.png"
