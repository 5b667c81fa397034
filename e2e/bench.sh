#!/usr/bin/env bash
# The bench against the running cluster, or against any server by OPENIM_ENDPOINTS. What is shipped is measured on a cluster of `make up RELEASE=1`.
set -euo pipefail
export OPENIM_PROFILE=${OPENIM_PROFILE:-release}
. "$(dirname "$0")/lib.sh"
export OPENIM_ENDPOINTS=${OPENIM_ENDPOINTS:-$("$root/e2e/endpoints.sh")}
build_checker
exec "$built/bench" "$@"
