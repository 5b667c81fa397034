#!/usr/bin/env bash
# The unmodified SDK in Chromium, through the ingress.
set -euo pipefail
cd "$(dirname "$0")/../sdk"
npm ci --no-audit --no-fund --silent
npm test --silent
