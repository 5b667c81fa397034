#!/usr/bin/env bash
# The platform API as OpenIM's documentation publishes it: schemathesis sends what the description allows, and every answer has to be as it says. All services run
# in one process on loopback. e2e/tests/published.mjs says how the description is read.
#   OPENAPI_PHASES=examples,coverage,fuzzing OPENAPI_EXAMPLES=50 e2e/tests/openapi-published.sh    more of it
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
prepare() { "$root/e2e/tools/cluster/build.sh" tests; }
. "$(dirname "$0")/lib/loopback.sh"
start_servers
write_config 'discovery: {enable: static}' "${plain[@]}" 'allowAmbiguousIDs: true'
start all env IMENV_API_PROMETHEUS_GRAFANAURL=http://127.0.0.1:3000 "$server" all --config "$work/config"
until_ready all 23000
token=$(node "$root/e2e/tests/published.mjs" prepare "$work/published.json")
cd "$work"
PYTHONPATH=$OPENIM_CACHE/schemathesis "$OPENIM_CACHE/schemathesis/bin/schemathesis" run "$work/published.json" --url http://127.0.0.1:23002 \
  --header "token: $token" --header "operationID: published" --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
  --phases "${OPENAPI_PHASES:-examples,fuzzing}" --mode positive --max-examples "${OPENAPI_EXAMPLES:-3}" --seed "${OPENAPI_SEED:-1}" --request-timeout 20 --workers 1 \
  --continue-on-failure --warnings off --report ndjson --report-dir "$work/answers" > "$work/schemathesis.log" 2>&1 || tail -80 "$work/schemathesis.log"
node "$root/e2e/tests/published.mjs" report "$work"/answers/*.ndjson
