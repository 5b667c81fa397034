#!/usr/bin/env bash
# After all the tests before: the generated passwords and keys stand in Secrets and nowhere else: in no object, event or log.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
kube -n "$cluster_namespace" get secret "$cluster_name-credentials" -o 'go-template={{range $key, $value := .data}}{{$key}} {{base64decode $value}}{{"\n"}}{{end}}' |
  sed -nE 's/^(secret|[a-z-]*-secret|secret-other|api-secret-other|mongo-keyfile|[a-z0-9-]*password[a-z0-9-]*|[a-z-]*\.key) //p' | grep -E '.{16}' > "$work/secrets"
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
