#!/usr/bin/env bash
# A cluster on three brokers: each is killed under load, then all get a new template; a broker is changed only while no copy is missing.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
build_checker
mkdir -p "$root/e2e/out"
ns=$cluster_namespace name=trio
get() { kube -n "$ns" get "$@"; }
background=()
finish() {
  local id
  for id in "${background[@]}"; do pkill -P "$id" || true; kill "$id" 2> /dev/null || true; done
  kube -n "$ns" delete openimcluster "$name" --ignore-not-found --wait=false > /dev/null
}
trap finish EXIT

kube -n "$ns" apply -f - <<END
apiVersion: openim.io/v1alpha1
kind: OpenIMCluster
metadata: {name: $name}
spec: {volumes: Delete, ingress: {enabled: false}, kafka: {managed: {brokers: 3}}, config: {kafkaPartitions: 3}}
END
wait_ready "$name" 240

echo "the number of brokers cannot be changed"
refusal=$(kube -n "$ns" patch openimcluster "$name" --type merge -p '{"spec":{"kafka":{"managed":{"brokers":1}}}}' 2>&1) && { echo "it was accepted"; exit 1; }
grep -q "the number of brokers is decided when a cluster is created" <<< "$refusal" || { echo "$refusal"; exit 1; }

# This cluster has no ingress.
forward() { # SERVICE PORT LOCAL_PORT
  kube -n "$ns" port-forward "service/$name-$1" "$3:$2" > /dev/null 2>&1 & background+=($!)
  local end=$((SECONDS + 15))
  until (exec 3<> "/dev/tcp/127.0.0.1/$3") 2> /dev/null; do
    [ $SECONDS -lt $end ] || { echo "nothing listens on port $3"; exit 1; }
    sleep 0.2
  done
}
forward api-http 10002 18102
forward gateway-ws 10001 18101
secret=$(get secret "$name-credentials" -o jsonpath='{.data.secret}' | base64 -d)
OPENIM_ENDPOINTS=$(printf '{"api":"http://%s","ws":"ws://%s/","adminUserID":"imAdmin","secret":"%s","kubeconfig":"%s"}' \
  127.0.0.1:18102 127.0.0.1:18101 "$secret" "$state/admin.kubeconfig")
export OPENIM_ENDPOINTS
check() { # OUTPUT SECONDS KILL
  "$checker_bin/checker" --conversations 6 --seconds "$2" --pause-ms 40 --name "$name" --namespace "$ns" ${3:+--kill "$3"} | tee "$root/e2e/out/$1.json"
}

echo "each broker is killed in turn"
check kafka-set-kills 60 kafka,kafka,kafka

echo "all brokers get a new template"
wait_ready "$name" 120
uids() { get pods -l "openim.io/cluster=$name,app.kubernetes.io/component=kafka" -o 'jsonpath={range .items[*]}{.metadata.uid}{"\n"}{end}' | sort; }
before=$(uids)
kube -n "$ns" rollout restart "statefulset/$name-kafka"
away() { # how many brokers do not serve, seen as often as possible while the checker sends
  local most=0 ready
  while [ ! -e "$1" ]; do
    ready=$(get statefulset "$name-kafka" -o jsonpath='{.status.readyReplicas}')
    [ $((3 - ${ready:-0})) -gt "$most" ] && most=$((3 - ${ready:-0}))
    sleep 0.3
  done
  echo "$most" > "$1"
}
mark=$(mktemp -u); away "$mark" & watcher=$!; background+=("$watcher")
check kafka-set-restart 75 ""
get statefulset "$name-kafka" -o jsonpath='{.status.currentRevision}{"\n"}{.status.updateRevision}{"\n"}' | uniq | wc -l | grep -qx 1 ||
  { echo "the brokers are not all new after 75 s"; get statefulset "$name-kafka" -o yaml; exit 1; }
touch "$mark"; wait "$watcher"
[ "$(cat "$mark")" -le 1 ] || { echo "$(cat "$mark") brokers were away at once"; exit 1; }
[ -z "$(comm -12 <(echo "$before") <(uids))" ] || { echo "a broker was not restarted"; exit 1; }
wait_ready "$name" 120
