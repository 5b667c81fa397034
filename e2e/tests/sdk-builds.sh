#!/usr/bin/env bash
# The scenarios of e2e/tests/sdk/builds with unmodified builds of the SDKs, against all services in one process on loopback.
#   e2e/tests/sdk-builds.sh            all of them; what came out is kept in e2e/sdk-builds.json, to be committed with the table that docs/COMPATIBILITY.md has of it
#   e2e/tests/sdk-builds.sh native js  some of them, by the ids in builds/list.mjs
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib/loopback.sh"
if [ $# -gt 0 ]; then
  BUILDS=$(IFS=,; echo "$*"); export BUILDS
else
  export RESULTS=$root/e2e/sdk-builds.json
fi
start_servers
write_config 'discovery: {enable: static}' "${plain[@]}"
start all "$server" all --config "$work/config"
until_ready all 23000
tested sdk/builds/builds.test.mjs
if [ $# = 0 ]; then node "$root/e2e/tests/sdk/builds/table.mjs"; fi
