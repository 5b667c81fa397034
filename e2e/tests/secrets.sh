#!/usr/bin/env bash
# After all the tests before: the generated passwords and keys stand in Secrets and nowhere else: in no object, event or log; each service has
# those that it uses; and with those of the services nobody administers the servers.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
kube -n "$cluster_namespace" get secret "$cluster_name-credentials" -o 'go-template={{range $key, $value := .data}}{{$key}} {{base64decode $value}}{{"\n"}}{{end}}' |
  sed -nE 's/^(secret|[a-z-]*-secret|secret-other|api-secret-other|mongo-keyfile|backup-key|[a-z0-9-]*password[a-z0-9-]*|[a-z-]*\.key) //p' | grep -E '.{16}' > "$work/secrets"
[ "$(wc -l < "$work/secrets")" -ge 5 ] || { echo "only $(wc -l < "$work/secrets") secrets were found to look for"; exit 1; }
kube get pods,deployments,replicasets,statefulsets,jobs,configmaps,ingresses,openimclusters,openimservices,events.events.k8s.io -A -o json > "$work/objects.json"
for namespace in "$cluster_namespace" openim-system; do
  kube -n "$namespace" get pods -o name | while read -r pod; do kube -n "$namespace" logs "$pod" --all-containers --prefix || true; done
done > "$work/logs"
[ "$(wc -l < "$work/logs")" -ge 20 ] || { echo "only $(wc -l < "$work/logs") lines of logs were found to look through"; exit 1; }
if told=$(grep -F -n -o -f "$work/secrets" "$work/objects.json" "$work/logs" | cut -d: -f1,2 | head -5) && [ -n "$told" ]; then
  echo "generated secrets are told at:"; echo "$told"; while IFS=: read -r file line; do sed -n "${line}p" "$file" | cut -c1-300; done <<< "$told"
  exit 1
fi
echo "no generated secret is told in an object, an event or a log"

given() { kube -n "$cluster_namespace" get deployment "$cluster_name-$1" -o 'jsonpath={range .spec.template.spec.containers[0].env[*]}{.name}{"\n"}{end}'; }
given msg | has -x IMENV_MONGO_URI || { echo "msg has no MongoDB"; exit 1; }
for service in gateway api; do
  if more=$(given "$service" | grep -E 'MONGO|S3'); then echo "$service has what it does not use: $more"; exit 1; fi
done
if more=$(given api | grep -E 'KAFKA|REDIS'); then echo "api has what it does not use: $more"; exit 1; fi

credential() { kube -n "$cluster_namespace" get secret "$cluster_name-credentials" -o "jsonpath={.data.$1}" | base64 -d; }
[ "$(given gateway | grep -c IMENV_REDIS_USERNAME)" = 1 ] || { echo "the gateway is Redis' administrator"; exit 1; }
user=openim-app password=redis-app-password
[ "$(credential user)" != openim-b ] || { user+=-b; password+=-b; }
password=$(credential "$password")
tls=()
[ -z "$(credential 'servers-tls\.crt')" ] || tls=(--tls --cacert /tls/ca.crt)
redis() { kube -n "$cluster_namespace" exec "$cluster_name-redis-0" -c redis -- redis-cli "${tls[@]}" --no-auth-warning --user "$user" -a "$password" "$@" 2>&1; }
redis GET openim:sent:none | has -vE 'NOPERM|WRONGPASS|NOAUTH' || { echo "the services' user is not let in to Redis"; exit 1; }
for refused in 'CONFIG GET requirepass' 'FLUSHALL' 'KEYS *' 'GET another' 'ACL LIST'; do
  read -ra words <<< "$refused"
  redis "${words[@]}" | has NOPERM || { echo "the services may do this in Redis: $refused"; exit 1; }
done
echo "each service has its own secrets, and as the services nobody administers Redis"
