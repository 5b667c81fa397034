#!/usr/bin/env bash
# What `kubectl get openimcluster` and the pods say.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
kube -n "$cluster_namespace" get openimclusters
echo
kube -n "$cluster_namespace" get openimcluster "$cluster_name" \
  -o jsonpath='{range .status.dependencies[*]}{.name}{": "}{.reachable}{" "}{.message}{.disk}{"\n"}{end}'
echo
kube -n "$cluster_namespace" get pods
