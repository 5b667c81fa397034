#!/usr/bin/env bash
# Many clusters on one operator, each in a namespace of its own, their pods on nodes of kwok: how long it takes, and what it costs the operator and the API server.
#   e2e/fleet.sh [COUNT]       100 if omitted; needs `make up`. Removes what it created.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
count=${1:-100}
work=$(mktemp -d)
[ -x "$bin/kwok" ] || GOBIN=$bin go install -trimpath -ldflags "-s -w" sigs.k8s.io/kwok/cmd/kwok@v0.8.0
stages=$(go mod download -json sigs.k8s.io/kwok@v0.8.0 | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')/kustomize/stage

kwoks=()
finish() {
  kube delete namespace -l openim-fleet --wait=true --timeout="${slow}s" > /dev/null || true
  kill "${kwoks[@]}" 2> /dev/null || true
  kube delete node -l type=kwok > /dev/null || true
  rm -rf "$work"
}
trap finish EXIT

# A pod that is pretended says of its settings what a real one does.
real=$(pod_of "$cluster_namespace" "openim.io/cluster=$cluster_name,app.kubernetes.io/component=auth" .status.podIP)
for stage in "$stages"/node/fast/node-initialize.yaml "$stages"/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml "$stages"/pod/fast/pod-{ready,complete,delete}.yaml; do
  [ -f "$stage" ] || continue
  sed "s/podIP: {{ index . 0 | Quote }}/podIP: $real/; s/- ip: {{ . | Quote }}/- ip: $real/" "$stage"; echo "---"
done > "$work/stages.yaml"
nodes=$((count / 125 + 1))
for node in $(seq "$nodes"); do
  printf 'apiVersion: v1\nkind: Node\nmetadata: {name: kwok-%s, labels: {type: kwok, kubernetes.io/hostname: kwok-%s}}\nspec: {taints: [{key: kwok, effect: NoSchedule}]}\nstatus: {allocatable: {cpu: 1000, memory: 1Ti, pods: 3000}, capacity: {cpu: 1000, memory: 1Ti, pods: 3000}}\n---\n' "$node" "$node"
done | kube apply --server-side -f - > /dev/null
# One kwok for each node: one for all reads 6000 pods too slowly, the API server ends its watch, and it begins with all of them again.
for node in $(seq "$nodes"); do
  "$bin/kwok" --kubeconfig "$state/admin.kubeconfig" --config "$work/stages.yaml" --manage-single-node "kwok-$node" --node-lease-duration-seconds 40 \
    > "$work/kwok-$node.log" 2>&1 & kwoks+=($!)
done

# The servers are real: those of the cluster that runs, asked by the operator for each of the others.
of() { kube -n "$cluster_namespace" get secret "$cluster_name-credentials" -o "jsonpath={.data.$1}" | base64 -d; }
uri=$(of mongo-uri) redis=$(of redis-password) kafka=$(of kafka-password)
# They use TLS; the operator has no file of the authority of another cluster.
uri=${uri/tlsCAFile=*.crt/tlsAllowInvalidCertificates=true}
authority=$(kube -n "$cluster_namespace" get secret "$cluster_name-credentials" -o 'jsonpath={.data.internal-ca\.crt}')
tls=false; [ -z "$authority" ] || tls=true

metric() { operator_metrics | awk -v name="$1" '$1 == name {print $2}'; }
megabytes() { metric process_resident_memory_bytes | awk '{printf "%d", $1 / 1e6}'; }
seconds() { metric process_cpu_seconds_total; }
requests() { cat "$state"/log/operator-audit*.log | awk -F'"verb":"' '{split($2, verb, "\""); n[verb[1]]++} END {printf "%d %d\n", n["get"] + n["list"], n["create"] + n["patch"] + n["update"] + n["delete"]}'; }
ready() { kube get openimclusters -A -o 'jsonpath={range .items[*]}{.metadata.namespace} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}' | grep -c '^fleet-.* True' || true; }

before=$(megabytes) began=$SECONDS cpu=$(seconds); read -r reads writes <<< "$(requests)"
for number in $(seq "$count"); do
  cat << END
apiVersion: v1
kind: Namespace
metadata: {name: fleet-$number, labels: {openim-fleet: ""}}
---
apiVersion: v1
kind: Secret
metadata: {name: servers, namespace: fleet-$number}
stringData: {uri: "$uri", password: "$redis"}
data: {ca.crt: "$authority"}
---
apiVersion: v1
kind: Secret
metadata: {name: kafka, namespace: fleet-$number}
stringData: {username: openim, password: "$kafka"}
data: {ca.crt: "$authority"}
---
apiVersion: openim.io/v1alpha1
kind: OpenIMCluster
metadata: {name: c$number, namespace: fleet-$number}
spec:
  ingress: {enabled: false}
  pods: {nodeSelector: {type: kwok}, tolerations: [{key: kwok, operator: Exists}]}
  mongodb: {external: {secretName: servers, database: fleet_$number}}
  redis: {external: {address: "$cluster_name-redis.$cluster_namespace.svc:6379", secretName: servers, tls: $tls}}
  kafka: {external: {address: ["$cluster_name-kafka.$cluster_namespace.svc:9092"], secretName: kafka, tls: $tls, replicationFactor: 1}}
---
END
done > "$work/clusters.yaml"
kube apply --server-side -f "$work/clusters.yaml" > /dev/null
# Asking is work for the API server too: once in a while is enough.
until now=$(ready); printf '\r%5d of %d are Ready' "$now" "$count" >&2; [ "$now" = "$count" ]; do
  [ $((SECONDS - began)) -lt $((600 + count * 6)) ] || { echo "$now of $count are Ready after $((SECONDS - began)) s"; exit 1; }
  sleep $((5 + count / 25))
done
echo >&2
made=$((SECONDS - began)); read -r reads_made writes_made <<< "$(requests)"
cpu_made=$(seconds)
# Of each: how long after it was applied.
times() { kube get openimclusters -A -o "jsonpath={range .items[*]}{.metadata.namespace} $1{\"\n\"}{end}" | sed -n 's/^fleet-[0-9]* //p' | date -f - +%s; }
waited=$(paste <(times '{.metadata.creationTimestamp}') <(times '{.status.conditions[?(@.type=="Ready")].lastTransitionTime}') | awk '{print $2 - $1}' | sort -n)
# One full look at all of them, then a minute of rest.
sleep 60
rest=$SECONDS cpu_rest=$(seconds); read -r reads_rest writes_rest <<< "$(requests)"
sleep 60
rested=$((SECONDS - rest)); read -r reads_end writes_end <<< "$(requests)"
cpu_end=$(seconds)
# From an edit to the first pod that is changed for it.
edited=$(date +%s%N)
kube -n fleet-1 patch openimcluster c1 --type merge -p '{"spec":{"services":{"auth":{"env":{"NOTE":"edited"}}}}}' > /dev/null
until [ "$(kube -n fleet-1 get deployment c1-auth -o 'jsonpath={.spec.template.spec.containers[0].env[?(@.name=="NOTE")].value}')" = edited ]; do sleep 0.02; done
changed=$((($(date +%s%N) - edited) / 1000000))
awk -v count="$count" -v median="$(sed -n "$((count / 2 + 1))p" <<< "$waited")" -v slowest="$(tail -1 <<< "$waited")" -v before="$before" -v memory="$(megabytes)" -v made="$made" -v cpu="$cpu" -v cpu_made="$cpu_made" -v cpu_rest="$cpu_rest" -v cpu_end="$cpu_end" \
  -v reads="$reads" -v reads_made="$reads_made" -v writes="$writes" -v writes_made="$writes_made" -v reads_rest="$reads_rest" -v reads_end="$reads_end" \
  -v writes_rest="$writes_rest" -v writes_end="$writes_end" -v rested="$rested" -v changed="$changed" 'BEGIN {
    print "| | |"; print "|---|---|"
    printf "| clusters, simulated pods | %d, %d |\n", count, count * 12
    printf "| all Ready after | %d s |\n", made
    printf "| time until one cluster is Ready: median, slowest | %d s, %d s |\n", median, slowest
    printf "| requests until then, per cluster: reads, writes | %.0f, %.0f |\n", (reads_made - reads) / count, (writes_made - writes) / count
    printf "| operator CPU until then, per cluster | %.2f s |\n", (cpu_made - cpu) / count
    printf "| operator resident memory: before, with all clusters | %d MB, %d MB |\n", before, memory
    printf "| idle: reads per second, writes in %d s | %.1f, %d |\n", rested, (reads_end - reads_rest) / rested, writes_end - writes_rest
    printf "| idle: operator CPU | %.1f %% of a core |\n", (cpu_end - cpu_rest) * 100 / rested
    printf "| from an edit to the changed Deployment | %d ms |\n", changed
  }'
