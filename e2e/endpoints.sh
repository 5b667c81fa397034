#!/usr/bin/env bash
# One JSON object with addresses that work from here.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
secret=$(kube -n "$cluster_namespace" get secret "$cluster_name-credentials" -o jsonpath='{.data.secret}' | base64 -d)
address=${OPENIM_ADDRESS:-127.0.0.1:${OPENIM_INGRESS_PORT:-18080}}
printf '{"api":"http://%s","ws":"ws://%s/msg_gateway","adminUserID":"imAdmin","secret":"%s","kubeconfig":"%s"}\n' \
  "$address" "$address" "$secret" "${KUBECONFIG:-$state/admin.kubeconfig}"
