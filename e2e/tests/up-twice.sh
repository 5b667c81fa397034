#!/usr/bin/env bash
# A second `make up` changes nothing: same pods, same generations.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
snapshot() {
  pods_that_stay "" --field-selector=status.phase=Running
  kube -n "$cluster_namespace" get deployments,statefulsets,services,configmaps,ingresses,openimclusters \
    -o jsonpath='{range .items[*]}{.kind}/{.metadata.name} {.metadata.generation}{"\n"}{end}'
}
before=$(snapshot)
"$root/e2e/up.sh"
diff <(echo "$before") <(snapshot)
