#!/usr/bin/env bash
# Malformed objects get a clear message when they are applied; one that cannot work says why and harms nobody else.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
refused() { # SPEC EXPECTED-TEXT [NAME]
  local answer
  if answer=$(printf 'apiVersion: openim.io/v1alpha1\nkind: OpenIMCluster\nmetadata: {name: %s}\nspec: %s\n' "${3:-bad}" "$1" \
    | kube -n "$cluster_namespace" apply --dry-run=server -f - 2>&1); then
    echo "accepted: $1"; exit 1
  fi
  grep -q -- "$2" <<< "$answer" || { echo "expected '$2' in: $answer"; exit 1; }
}
refused '{mongodb: {managed: {}, external: {secretName: x}}}' 'either managed or external'
refused '{services: {gateway: {replicas: 500}}}' 'services.gateway.replicas'
refused '{services: {gateway: {replicas: many}}}' 'replicas'
refused '{config: {multiLoginPolicy: 3}}' 'must be 0, 1, 4 or 5'
refused '{kafka: {managed: {storage: lots}}}' 'kafka.managed.storage'
refused '{kafka: {external: {address: []}}}' 'kafka.external.address'
refused '{config: {tokenExpireDays: 0}}' 'tokenExpireDays'
refused '{nonsense: 1}' 'unknown field'
refused '{ingress: {tlsSecretName: cert}}' 'tlsSecretName needs host'
refused '{ingress: {host: Chat.example.org}}' 'spec.ingress.host'
refused '{gatewayAPI: {parentRefs: [{name: gate}], hostnames: [chat_1.example.org]}}' 'hostnames'
refused '{}' 'begin with a letter and contain no dot' chat.prod
refused '{}' 'begin with a letter and contain no dot' 1chat
refused '{}' 'at most 40 characters' "$(printf 'n%.0s' {1..41})"

# What is not given may be null, as templates write it.
kube -n "$cluster_namespace" apply --server-side --dry-run=server -f - > /dev/null <<'END'
apiVersion: openim.io/v1alpha1
kind: OpenIMCluster
metadata: {name: nulls}
spec: {passwordRotation: null, pods: {affinity: null}, config: {notifications: null}, services: {api: {pods: {annotations: null, tolerations: null}}}}
END

# Accepted by the API server, but its Secret does not exist: its status says so, and the good cluster stays Ready.
trap 'kube -n "$cluster_namespace" delete openimcluster waiting --ignore-not-found --wait=false > /dev/null' EXIT
kube -n "$cluster_namespace" apply -f - <<'END'
apiVersion: openim.io/v1alpha1
kind: OpenIMCluster
metadata: {name: waiting}
spec:
  mongodb: {external: {secretName: nowhere}}
  redis: {external: {address: "192.0.2.77:6379"}}
  kafka: {external: {address: ["192.0.2.77:9092"]}}
END
says() { kube -n "$cluster_namespace" get openimcluster waiting -o jsonpath='{.status.message}' | grep -c "Secret nowhere not found" || true; }
eventually 1 says
[ "$(kube -n "$cluster_namespace" get openimcluster waiting -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}')" = False ]
[ "$(kube -n "$cluster_namespace" get openimcluster "$cluster_name" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}')" = True ]
# The status is written before the event is published.
told() { kube -n "$cluster_namespace" get events --field-selector involvedObject.name=waiting -o jsonpath='{.items[*].reason}' | grep -c DependencyNotReady || true; }
eventually 1 told
