#!/usr/bin/env bash
# The bench against the running cluster, or against any server by OPENIM_ENDPOINTS.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
export OPENIM_ENDPOINTS=${OPENIM_ENDPOINTS:-$("$root/e2e/endpoints.sh")}
build_checker
exec "$built/bench" "$@"
