#!/usr/bin/env bash
# The unmodified SDK in Chromium, through the ingress.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
node_modules
cd "$root/e2e/tests/sdk"
npm test --silent
