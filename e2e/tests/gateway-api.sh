#!/usr/bin/env bash
# Clients come in by the Gateway API in place of the Ingress, through a real implementation of it (Contour), and nothing is lost on the way.
#   e2e/tests/gateway-api.sh [route]     route: only the objects, which nothing implements; the Ingress stays
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
ns=$cluster_namespace
patch() { kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p "$1"; }
message() { kube -n "$ns" get openimcluster "$cluster_name" -o 'jsonpath={.status.blockers[*].message}'; }
contour_again() {
  kube -n projectcontour rollout restart deployment/contour
  kube -n projectcontour rollout status deployment/contour --timeout="${deadline}s"
}
answers() { curl -s -m "$deadline" -o /dev/null -w '%{http_code}' "$(node -p 'JSON.parse(process.env.OPENIM_ENDPOINTS).api')/auth/get_admin_token" -d '{}'; }
# A failing test leaves the cluster as it was.
restore() {
  if [ "${1:-}" = route ]; then patch '{"spec":{"gatewayAPI":null}}'; return; fi
  patch '{"spec":{"gatewayAPI":null,"ingress":{"enabled":true}}}'
  # A Contour that serves a Gateway serves no Ingress.
  kube -n projectcontour patch configmap contour --type merge -p '{"data":{"contour.yaml":""}}'
  contour_again
  eventually 200 answers
}
trap 'restore "${1:-}"' EXIT

if ! kube get customresourcedefinition httproutes.gateway.networking.k8s.io > /dev/null 2>&1; then
  echo "without the Gateway API the status says what is missing, and everything else goes on"
  patch '{"spec":{"gatewayAPI":{"parentRefs":[{"name":"contour","namespace":"projectcontour"}]}}}'
  eventually "spec.gatewayAPI: HTTPRoute CRD not found: install the Gateway API, or remove the field" message
  eventually 200 answers
fi

kube apply --server-side --force-conflicts -f "$OPENIM_CACHE/gateway-api.yaml" > /dev/null
kube wait --for=condition=Established --timeout="${deadline}s" customresourcedefinition/httproutes.gateway.networking.k8s.io customresourcedefinition/gateways.gateway.networking.k8s.io
if [ "${1:-}" = route ]; then
  echo "with it there is an HTTPRoute, which follows the spec"
  route() { kube -n "$ns" get httproute "$cluster_name" -o "jsonpath={.spec.parentRefs[*].name} {.spec.hostnames[*]}"; }
  patch '{"spec":{"gatewayAPI":{"parentRefs":[{"name":"contour","namespace":"projectcontour"}],"hostnames":["im.example.test"],"tls":false}}}'
  eventually "contour im.example.test" route
  patch '{"spec":{"gatewayAPI":{"hostnames":["chat.example.test"]}}}'
  eventually "contour chat.example.test" route
  patch '{"spec":{"gatewayAPI":null}}'
  eventually "" kube -n "$ns" get httproute -o name
  wait_ready "$cluster_name"
  exit
fi

echo "with it clients come in by an HTTPRoute alone"
build_checker
kube apply --server-side --force-conflicts -f "$OPENIM_CACHE/contour-gateway.yaml"
contour_again
patch '{"spec":{"ingress":{"enabled":false},"gatewayAPI":{"parentRefs":[{"name":"contour","namespace":"projectcontour"}],"hostnames":["im.example.test"],"tls":false}}}'
eventually '"True"' kube -n "$ns" get httproute "$cluster_name" -o 'jsonpath="{.status.parents[0].conditions[?(@.type=="Accepted")].status}"'
eventually http://im.example.test kube -n "$ns" get openimcluster "$cluster_name" -o 'jsonpath={.status.endpoints.api}'
eventually 404 answers
patch '{"spec":{"gatewayAPI":{"hostnames":[]}}}'
eventually 200 answers
[ -z "$(kube -n "$ns" get ingress -o name)" ] || { echo "the Ingress is still there"; exit 1; }
wait_ready "$cluster_name"
"$built/checker" --conversations 4 --seconds 15 --pause-ms 50

echo "a route that is not wanted any more is removed"
patch '{"spec":{"gatewayAPI":null}}'
eventually "" kube -n "$ns" get httproute -o name
