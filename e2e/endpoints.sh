#!/usr/bin/env bash
# One JSON object with addresses that work from here.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
credential() { kube -n "$cluster_namespace" get secret "$cluster_name-credentials" -o "jsonpath={.data.$1}" | base64 -d; }
# The secret that signs tokens and calls, only for tests of that; and the one for back ends, which is the same in clusters created by earlier versions.
cluster_secret=$(credential secret) secret=$(credential api-secret)
address=${OPENIM_ADDRESS:-127.0.0.1:${OPENIM_INGRESS_PORT:-18080}}
printf '{"api":"http://%s","ws":"ws://%s/msg_gateway","adminUserID":"imAdmin","secret":"%s","clusterSecret":"%s","kubeconfig":"%s"}\n' \
  "$address" "$address" "${secret:-$cluster_secret}" "$cluster_secret" "${KUBECONFIG:-$state/admin.kubeconfig}"
