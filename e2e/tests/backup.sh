#!/usr/bin/env bash
# kubectl openim backup and restore, with the object storage that the cluster has (e2e/tests/ingress.sh).
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
build_plugin
export OPENIM_ENDPOINTS=${OPENIM_ENDPOINTS:-$("$root/e2e/endpoints.sh")}
CLUSTER_NAMESPACE=$cluster_namespace CLUSTER_NAME=$cluster_name PLUGIN=$built/kubectl-openim \
  node --no-warnings --test --test-reporter=spec "$root/e2e/tests/backup.test.mjs"
