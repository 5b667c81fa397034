#!/usr/bin/env bash
# The API against its own description: schemathesis sends what /openapi.json allows and what it does not, as an administrator and as a user.
#   e2e/tests/openapi.sh [ingress]     on loopback, each service in a process of its own; ingress: at the cluster that OPENIM_ENDPOINTS names
#   OPENAPI_PHASES=fuzzing OPENAPI_EXAMPLES=200 OPENAPI_SEED=7     other phases, more requests, other ones
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
prepare() { "$root/e2e/tools/cluster/build.sh" tests; }
if [ "${1:-}" = ingress ]; then
  work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
else
  . "$root/e2e/tests/lib/loopback.sh"
  start_servers
  start_s3
  write_config 'discovery: {enable: static}' "${plain[@]}" "object: {enable: s3, s3: {$s3, bucket: files}}"
  start_each auth user relation conversation group third msg transfer push api gateway cron
fi
tool=$OPENIM_CACHE/schemathesis
at=$OPENIM_ENDPOINTS
field() { python3 -c 'import json,sys; print(json.loads(sys.argv[1])[sys.argv[2]])' "$at" "$1"; }
api=$(field api)
call() { curl -fsS -m "$deadline" "$api$1" -H 'operationID: openapi' -H 'content-type: application/json' -H "token: ${3:-}" -d "$2"; }
token_of() { python3 -c 'import json,sys; print(json.load(sys.stdin)["data"]["token"])'; }
administrator=$(call /auth/get_admin_token "{\"userID\":\"$(field adminUserID)\",\"secret\":\"$(field secret)\"}" | token_of)
user=schema$(date +%s)
call /user/user_register "{\"users\":[{\"userID\":\"$user\",\"nickname\":\"schema\"}]}" "$administrator" > /dev/null
own=$(call /auth/get_user_token "{\"userID\":\"$user\",\"platformID\":2}" "$administrator" | token_of)

export SCHEMATHESIS_HOOKS=checks PYTHONPATH="$tool:$root/e2e/tools/contract" PYTHONDONTWRITEBYTECODE=1
checks=not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,no_internal_error
# Two at once, each of one thread: Python 3.11 may not parse in two ("AST constructor recursion depth mismatch").
as_one() {
  mkdir "$1" && cd "$1" # it keeps a folder of its own where it runs
  "$tool/bin/schemathesis" run "$api/openapi.json" --header "token: $2" --header "operationID: openapi" --checks "$checks" \
    --phases "${OPENAPI_PHASES:-examples,coverage,fuzzing}" --max-examples "${OPENAPI_EXAMPLES:-6}" --seed "${OPENAPI_SEED:-1}" --request-timeout 20 --workers 1 --continue-on-failure --warnings off
}
declare -A runs
as_one "$work/user" "$own" > "$work/user.log" 2>&1 & runs[user]=$!
as_one "$work/administrator" "$administrator" > "$work/administrator.log" 2>&1 & runs[administrator]=$!
outcome=0
for who in user administrator; do
  wait "${runs[$who]}" || outcome=1
  echo "as $who:"; cat "$work/$who.log"
done
exit $outcome
