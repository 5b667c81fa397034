#!/usr/bin/env bash
# Clients come in by the Gateway API in place of the Ingress, through a real implementation of it (Contour), and nothing is lost on the way.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
build_checker
ns=$cluster_namespace
patch() { kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p "$1"; }
message() { kube -n "$ns" get openimcluster "$cluster_name" -o 'jsonpath={.status.blockers[*].message}'; }
contour_again() {
  kube -n projectcontour rollout restart deployment/contour
  kube -n projectcontour rollout status deployment/contour --timeout=60s
}
answers() { curl -s -m 3 -o /dev/null -w '%{http_code}' "$(node -p 'JSON.parse(process.env.OPENIM_ENDPOINTS).api')/auth/get_admin_token" -d '{}'; }
# A failing test leaves the cluster as it was.
restore() {
  patch '{"spec":{"gatewayAPI":null,"ingress":{"enabled":true}}}'
  # A Contour that serves a Gateway serves no Ingress.
  kube -n projectcontour patch configmap contour --type merge -p '{"data":{"contour.yaml":""}}'
  contour_again
  until_is 60 200 answers
}
trap restore EXIT

if ! kube get customresourcedefinition httproutes.gateway.networking.k8s.io > /dev/null 2>&1; then
  echo "without the Gateway API the status says what is missing, and everything else goes on"
  patch '{"spec":{"gatewayAPI":{"parentRefs":[{"name":"contour","namespace":"projectcontour"}]}}}'
  until_is 30 "spec.gatewayAPI: the API server knows no HTTPRoute: install the Gateway API, or remove it" message
  until_is 30 200 answers
fi

echo "with it clients come in by an HTTPRoute alone"
kube apply --server-side --force-conflicts -f "$OPENIM_CACHE/gateway-api.yaml" > /dev/null
kube wait --for=condition=Established --timeout=60s customresourcedefinition/httproutes.gateway.networking.k8s.io customresourcedefinition/gateways.gateway.networking.k8s.io
kube apply --server-side --force-conflicts -f "$OPENIM_CACHE/contour-gateway.yaml"
contour_again
patch '{"spec":{"ingress":{"enabled":false},"gatewayAPI":{"parentRefs":[{"name":"contour","namespace":"projectcontour"}],"hostnames":["im.example.test"],"tls":false}}}'
until_is 30 '"True"' kube -n "$ns" get httproute "$cluster_name" -o 'jsonpath="{.status.parents[0].conditions[?(@.type=="Accepted")].status}"'
until_is 30 http://im.example.test kube -n "$ns" get openimcluster "$cluster_name" -o 'jsonpath={.status.endpoints.api}'
until_is 30 404 answers
patch '{"spec":{"gatewayAPI":{"hostnames":[]}}}'
until_is 30 200 answers
[ -z "$(kube -n "$ns" get ingress -o name)" ] || { echo "the Ingress is still there"; exit 1; }
wait_ready "$cluster_name" 60
"$built/checker" --conversations 4 --seconds 15 --pause-ms 50

echo "a route that is not wanted any more is removed"
patch '{"spec":{"gatewayAPI":null}}'
until_is 30 "" kube -n "$ns" get httproute -o name
