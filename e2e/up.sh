#!/usr/bin/env bash
# Brings everything up: tools, images, Kubernetes, the operator by helm, one OpenIMCluster. Run twice it changes nothing.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
started=$SECONDS

if [ -z "${CONTEXT:-}" ]; then
  [ "$(id -u)" = 0 ] || { echo "make up runs a kubelet and needs root; to use an existing cluster: make up CONTEXT=name" >&2; exit 1; }
  echo "Tools and images (first time: up to 20 min, later: seconds)"
  "$root/e2e/tools/cluster/build.sh" packages
  # The services and the cluster's tools are built side by side.
  step "services, static binaries" build_services & services=$!
  "$root/e2e/tools/cluster/build.sh"
  wait "$services"
  step "service images" service_images
  echo "Kubernetes"
  "$bin/localkube" up
else
  echo "Using the Kubernetes context $CONTEXT; its nodes must be able to pull the images named in charts/ and config/samples/"
fi

echo "OpenIM"
install_operator() {
  helm_here upgrade --install openim-operator "$root/charts/openim-operator" --namespace openim-system --create-namespace \
    --take-ownership --force-conflicts --wait --timeout "${deadline}s" &&
    # A rebuilt image has the same tag: pods made from an older one are replaced.
    { [ -n "${CONTEXT:-}" ] || restart_stale; }
}
restart_stale() {
  local mark=$state/service-images now
  now=$(cat "$OPENIM_CACHE"/images/openim-{server,operator}.tar.key)
  if [ -f "$mark" ] && [ "$(cat "$mark")" != "$now" ]; then
    kube -n openim-system rollout restart deployment/openim-operator
    kube -n openim-system rollout status deployment/openim-operator --timeout="${deadline}s"
    kube -n "$cluster_namespace" get deployments -o name -l "openim.io/cluster=$cluster_name" 2>/dev/null | while read -r deployment; do
      kube -n "$cluster_namespace" rollout restart "$deployment"
    done
    kube -n "$cluster_namespace" get deployments -o name -l "openim.io/cluster=$cluster_name" 2>/dev/null | while read -r deployment; do
      kube -n "$cluster_namespace" rollout status "$deployment" --timeout="${deadline}s"
    done
  fi
  printf '%s' "$now" > "$mark"
}
step "operator (helm)" install_operator
kube create namespace "$cluster_namespace" --dry-run=client -o yaml | kube apply --server-side -f - > /dev/null
kube -n "$cluster_namespace" apply --server-side -f "$root/config/samples/openimcluster.yaml" > /dev/null

said= ; begun=$SECONDS
while true; do
  line=$(kube -n "$cluster_namespace" get openimcluster "$cluster_name" \
    -o jsonpath='{.metadata.generation} {.status.observedGeneration} {.status.conditions[?(@.type=="Ready")].status} {.status.message}' 2>/dev/null || true)
  read -r generation observed ready message <<< "$line"
  if [ "$message" != "$said" ] && [ -n "$message" ]; then printf '  %4d s  %s\n' $((SECONDS - begun)) "$message"; said=$message; fi
  if [ "$ready" = True ] && [ "$generation" = "$observed" ]; then break; fi
  if [ $((SECONDS - begun)) -gt $deadline ]; then
    echo "not Ready after $deadline s; pods:"; kube -n "$cluster_namespace" get pods; exit 1
  fi
  sleep 0.5
done
echo "Ready after $((SECONDS - started)) s."
"$root/e2e/endpoints.sh"
cat <<END
Try next:
  make demo        lets two users chat in a real browser and saves a screenshot
  make status      shows the cluster, its servers and pods
  make test        runs all tests
  kubectl --kubeconfig $state/admin.kubeconfig -n $cluster_namespace describe openimcluster $cluster_name
END
