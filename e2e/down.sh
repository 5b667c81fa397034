#!/usr/bin/env bash
# Removes what `make up` started: the local cluster, or, with CONTEXT, the OpenIMCluster and the operator.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
if [ -n "${CONTEXT:-}" ]; then
  kube -n "$cluster_namespace" delete openimcluster "$cluster_name" --ignore-not-found
  helm_here uninstall openim-operator --namespace openim-system --ignore-not-found
  exit
fi
if [ -x "$bin/localkube" ]; then "$bin/localkube" down; fi
echo "Local cluster stopped."
