#!/usr/bin/env bash
# On the real cluster: gateways are added when there are more connections than they are to have, and the emptiest is drained and removed when
# there are fewer. Clients lose nothing.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
ns=$cluster_namespace
export OPENIM_ENDPOINTS=${OPENIM_ENDPOINTS:-$("$root/e2e/endpoints.sh")}
build_checker
work=$(mktemp -d)
declare -a running=()
finish() {
  local code=$?
  kill "${running[@]}" 2> /dev/null || true
  rm -rf "$work"
  exit $code
}
trap finish EXIT
scaling() { kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p "{\"spec\":{\"services\":{\"gateway\":{\"replicas\":$1,\"autoscaling\":$2}}}}" > /dev/null; }
field() { kube -n "$ns" get deployment "$cluster_name-gateway" -o "jsonpath=$1"; }
# Cost, name and time of removal of each gateway.
gateways() {
  kube -n "$ns" get pods -l "openim.io/cluster=$cluster_name,app.kubernetes.io/component=gateway" -o \
    'go-template={{range .items}}{{index .metadata.annotations "controller.kubernetes.io/pod-deletion-cost"}} {{.metadata.name}} {{.metadata.deletionTimestamp}}{{"\n"}}{{end}}'
}
# All connections, as the gateways count them; nothing while one does not answer.
connections() {
  local pod sum=0 count
  for pod in $(kube -n "$ns" get pods -l "openim.io/cluster=$cluster_name,app.kubernetes.io/component=gateway" -o name); do
    count=$(kube get --raw "/api/v1/namespaces/$ns/pods/${pod#pod/}:12000/proxy/metrics" | sed -nE 's/^gateway_connections(\{.*\})? ([0-9]+).*/\2/p')
    [ -n "$count" ] || return 0
    sum=$((sum + count))
  done
  echo "$sum"
}

scaling 1 null
wait_ready "$cluster_name"
checking scaling-checker 4
running+=("$checker")
few() { local now; now=$(connections); [ "${now:-0}" -gt 0 ] && echo yes; }
eventually yes few

echo "more connections than one gateway is to have: more gateways"
scaling 1 '{"minReplicas":1,"maxReplicas":3,"connections":20,"scaleDownDelaySeconds":3600}'
"$built/bench" --connections 60 --rate 5 --seconds 900 > "$work/bench.json" 2> "$work/bench.log" & load=$!
running+=("$load")
eventually 3 field '{.status.readyReplicas}'
kill $load 2> /dev/null || { echo "the load has ended by itself"; cat "$work/bench.log"; exit 1; }
wait $load || true

echo "fewer connections: the emptiest is removed"
# Only then may one be removed: the operator is to decide by what does not change any more.
gone() { local now; now=$(connections); [ "${now:-60}" -lt 30 ] && [ "$now" = "$(connections)" ] && echo yes; }
eventually yes gone
scaling 2 '{"minReplicas":2,"maxReplicas":3,"connections":20,"scaleDownDelaySeconds":3}'
end=$((SECONDS + deadline))
until found=$(gateways) && grep -qv '<no value>$' <<< "$found"; do
  [ $SECONDS -lt $end ] || { printf 'all are still there:\n%s\n' "$found"; exit 1; }
  sleep 0.2
done
going=$(grep -v '<no value>$' <<< "$found")
least=$(sort -n <<< "$found" | head -1)
[[ $going =~ ^[0-9] ]] && [ "${going%% *}" = "${least%% *}" ] || { printf 'it is not the emptiest that goes:\n%s\n' "$found"; exit 1; }

checked scaling-checker

echo "by CPU Kubernetes decides: an autoscaler comes and goes with the spec"
autoscaler() { kube -n "$ns" get horizontalpodautoscaler "$cluster_name-gateway" -o 'jsonpath={.spec.minReplicas}-{.spec.maxReplicas} {.spec.metrics[0].resource.name}' 2> /dev/null || true; }
scaling 1 '{"minReplicas":1,"maxReplicas":2,"connections":null,"scaleDownDelaySeconds":null}'
eventually "1-2 cpu" autoscaler
scaling 2 null
eventually "" autoscaler
wait_ready "$cluster_name"
