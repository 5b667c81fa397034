#!/usr/bin/env bash
# A second `make up` changes nothing: same pods, same generations.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
snapshot() {
  kube -n "$cluster_namespace" get pods -o jsonpath='{range .items[*]}{.metadata.uid}{"\n"}{end}' | sort
  kube -n "$cluster_namespace" get deployments,statefulsets,services,configmaps,ingresses,openimclusters \
    -o jsonpath='{range .items[*]}{.kind}/{.metadata.name} {.metadata.generation}{"\n"}{end}'
}
before=$(snapshot)
"$root/e2e/up.sh"
diff <(echo "$before") <(snapshot)
