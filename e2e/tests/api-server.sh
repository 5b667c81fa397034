#!/usr/bin/env bash
# On the real cluster: the API server hangs, then is slow, in the middle of a change. Messages flow on, the change is carried out once it answers, and nothing
# else is restarted.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
ns=$cluster_namespace
build_checker
read -r api_server _ < "$state/run/kube-apiserver.pid"
finish() { kill -CONT "$api_server"; kill ${checker:-} 2> /dev/null || true; }
trap finish EXIT
of_third() { kube -n "$ns" get deployment "$cluster_name-third" -o 'jsonpath={.spec.template.spec.containers[0].env[?(@.name=="NOTE")].value} {.status.readyReplicas}'; }
others() {
  pods_that_stay '{{range .status.containerStatuses}} {{.restartCount}}{{end}}' -l "openim.io/cluster=$cluster_name,app.kubernetes.io/component notin (third,migrate)"
}
wait_ready "$cluster_name"
before=$(others)
checking api-server-checker 4

# The node says that it lives; after 40 s without a word its pods would be taken for lost.
node=$(kube get nodes -o name)
heard() { kube -n kube-node-lease get lease "${node#node/}" -o 'jsonpath={.spec.renewTime}'; }
heard_since() { local now; now=$(heard); [[ $now > $1 ]] && echo yes; }

echo "it hangs for longer than the operator may lead without it, then answers a fifth of the time for another 20 s"
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"services":{"third":{"env":{"NOTE":"while it hangs"}}}}}'
before_hang=$(heard)
kill -STOP "$api_server"; sleep 20; kill -CONT "$api_server"
eventually yes heard_since "$before_hang"
for _ in $(seq 20); do kill -STOP "$api_server"; sleep 0.8; kill -CONT "$api_server"; sleep 0.2; done
wait_ready "$cluster_name"
eventually "while it hangs 1" of_third
checked api-server-checker
diff <(echo "$before") <(others) || { echo "pods that had nothing to do with it were replaced or restarted"; exit 1; }
kube -n "$ns" patch openimcluster "$cluster_name" --type merge -p '{"spec":{"services":{"third":{"env":null}}}}'
wait_ready "$cluster_name"
