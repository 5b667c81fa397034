#!/usr/bin/env bash
# Debian's Prometheus scrapes every process of the cluster; log lines are JSON; the level changes at run time.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
# Requests are counted from the first one on.
curl -s -o /dev/null -X POST -H 'operationID: metrics' -d '{}' "$(sed -n 's/.*"api":"\([^"]*\)".*/\1/p' <<< "$OPENIM_ENDPOINTS")/auth/parse_token"
work=$(mktemp -d)
inside() { "$bin/localkube" exec "$@"; }
ask() { inside curl -s -m "$deadline" "$@"; }
targets=$(kube get pods -A -o json | python3 -c '
import json, sys
pods = json.load(sys.stdin)["items"]
print(json.dumps([p["status"]["podIP"] + ":12000" for p in pods
  if p["metadata"].get("annotations", {}).get("prometheus.io/scrape") == "true" and p["status"].get("phase") == "Running"
  and not p["metadata"].get("deletionTimestamp") and p["metadata"]["namespace"] in ("openim", "openim-system")]))')
count=$(python3 -c "import json; print(len(json.loads('$targets')))")
[ "$count" -ge 13 ]
cat > "$work/prometheus.yml" <<END
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs: [{job_name: openim, static_configs: [{targets: $targets}]}]
END
"$bin/localkube" exec prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --web.listen-address=127.0.0.1:9391 > "$work/log" 2>&1 &
prometheus=$!
trap 'kill $prometheus 2>/dev/null || true; wait $prometheus 2>/dev/null || true; rm -rf "$work"' EXIT
query() { ask -G http://127.0.0.1:9391/api/v1/query --data-urlencode "query=$1" | python3 -c '
import json, sys
found = json.load(sys.stdin)["data"]["result"]; print(int(float(found[0]["value"][1])) if found else 0)' 2>/dev/null || echo 0; }
# Each was scraped, if not all in the same second.
scraped() { query 'sum(max_over_time(up[15m]))'; }
end=$((SECONDS + deadline))
until [ "$(scraped)" = "$count" ]; do
  [ $SECONDS -lt $end ] || { echo "scraped: $(scraped) of $count"; tail -5 "$work/log"; exit 1; }
  sleep 0.5
done
# Whatever the alerts and the dashboard look at is there; those about webhooks only while a receiver is configured, those about backups only with a schedule
# (operator-api.sh).
monitored=$(grep -ohE '\b(openim|msg|single_chat|group_chat|gateway|push|process|api|online|rpc|consumer|user)_[a-z_]+' "$root"/config/monitoring/alerts.yaml "$root/config/monitoring/dashboard.json" |
  grep -vE '^openim_cluster(_backup_.*)?$' | sort -u)
for metric in http_count_total $monitored; do
  [ "$(query "count($metric)")" -ge 1 ] || { echo "$metric is missing"; exit 1; }
done
[ "$(query 'sum(msg_insert_mongo_success_total)')" -ge 0 ]
ip=$(pod_of "$cluster_namespace" "openim.io/cluster=$cluster_name,app.kubernetes.io/component=msg" .status.podIP)
field() { python3 -c 'import json,sys; print(json.loads(sys.argv[1])[sys.argv[2]])' "$OPENIM_ENDPOINTS" "$1"; }
# As CONTRIBUTING.md has it.
proof=$(openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt "key:$(field clusterSecret)" -kdfopt 'info:openim admin port v2' HKDF | tr -d ':\n' | tr A-F a-f)
level() { ask -X PUT -H "authorization: Bearer $1" --data "$2" "http://$ip:12000/loglevel"; }
[ "$(ask -o /dev/null -w '%{http_code}' -X PUT --data off "http://$ip:12000/loglevel")" = 403 ]
level "${proof//[0-9]/0}" off | has proof
ask "http://$ip:12000/loglevel" | has info
level "$proof" debug | has ok
ask "http://$ip:12000/loglevel" | has debug
level "$proof" '!!!=' | has -i 'log level'
level "$proof" info | has ok
log_of() { kube -n "$cluster_namespace" logs "$(pod_of "$cluster_namespace" "openim.io/cluster=$cluster_name,app.kubernetes.io/component=$1")" --tail="$2"; }
log_of msg 5 | python3 -c '
import json, sys
for line in sys.stdin: json.loads(line)["level"]'

# Who becomes an administrator or is refused and what an administrator changes is in the audit log; what a user does is not.
call() { curl -fsS -m "$deadline" "$(field api)$1" -H "operationID: $3" -H 'content-type: application/json' -H "token: ${4:-}" -d "$2"; }
token_of() { python3 -c 'import json,sys; print(json.load(sys.stdin)["data"]["token"])'; }
tag=audit$(date +%s)
admin=$(call /auth/get_admin_token "{\"userID\":\"$(field adminUserID)\",\"secret\":\"$(field secret)\"}" "$tag-1" | token_of)
call /user/user_register "{\"users\":[{\"userID\":\"$tag\",\"nickname\":\"a\"}]}" "$tag-2" "$admin" > /dev/null
own=$(call /auth/get_user_token "{\"userID\":\"$tag\",\"platformID\":2}" "$tag-3" "$admin" | token_of)
call /user/get_users_info "{\"userIDs\":[\"$tag\"]}" "$tag-4" "$admin" > /dev/null
call /user/update_user_info_ex "{\"userInfo\":{\"userID\":\"$tag\",\"nickname\":\"b\"}}" "$tag-5" "$own" > /dev/null
call /auth/get_admin_token "{\"userID\":\"$(field adminUserID)\",\"secret\":\"another secret\"}" "$tag-6" | has 1002
call /user/get_all_users_uid '{"pagination":{"pageNumber":1,"showNumber":1}}' "$tag-7" "$own" | has 1002
# The log is written beside the answers: the last line comes after the last answer.
audit() { log_of api 2000 | grep '"target":"audit"' | grep "$tag-"; }
noted() { audit | grep -o "\"operation_id\":\"$tag-[0-9]\"" | grep -o '[0-9]"$' | sort | tr -d '"\n'; }
eventually 12367 noted
audit=$(audit)
for event in auth.admin_login authz.refused admin.act; do has "\"$event\"" <<< "$audit"; done
[ "$(grep -c '"address":"[0-9a-f.:]*[0-9a-f]"' <<< "$audit")" = "$(wc -l <<< "$audit")" ] || { echo "an address is missing: $audit"; exit 1; }
if log_of api 2000 | has -F "$(field secret)"; then echo "the secret is in the log"; exit 1; fi
