#!/usr/bin/env bash
# Nodes are drained under the checker's load, and nothing is lost: all pods of the cluster, its servers among them, move to a second node and back.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
build_checker
build_plugin
ns=$cluster_namespace
openim() { KUBECONFIG=$state/admin.kubeconfig "$built/kubectl-openim" -n "$ns" "$@"; }
first=$(kube get nodes -o name) second=
first=${first#node/}
[[ $first =~ ^[^[:space:]]+$ ]] || { echo "one node is expected at the beginning: $first"; exit 1; }
# Of the pods that stay: a gateway may drain for a while where it was.
nodes() { pods_that_stay ' {{.spec.nodeName}}' -l "openim.io/cluster=$cluster_name" --field-selector=status.phase=Running | cut -d' ' -f2 | sort -u; }
check() { # WHAT…: this is done while the checker sends
  checking drain-checker 6
  sleep 5
  "$@" || { kill "$checker"; exit 1; }
  checked drain-checker
}
# A failing test leaves one node.
leave() {
  [ -n "$second" ] || return 0
  kube uncordon "$first"
  kube drain "$second" --ignore-daemonsets --delete-emptydir-data --timeout="${deadline}s"
  "$bin/localkube" leave
}
trap leave EXIT
wait_ready "$cluster_name"
images=("$OPENIM_CACHE"/test-images/*.tar)
[ -e "${images[0]}" ] || images=()
"$bin/localkube" join "${images[@]}"
second=$first-2
kube -n projectcontour rollout status daemonset/envoy --timeout="${deadline}s"

echo "kubectl openim drain: one pod after the other"
said=$(openim drain "$cluster_name" --node "$second" 2>&1) && { echo "there is nothing to drain: $said"; exit 1; }
[[ $said == *"is schedulable: "*"kubectl cordon $second"* ]] || { echo "it does not say that the node takes pods: $said"; exit 1; }
kube cordon "$first"
check openim drain "$cluster_name" --node "$first"
wait_ready "$cluster_name"
[ "$(nodes)" = "$second" ] || { echo "there are pods on: $(nodes)"; exit 1; }

echo "kubectl drain: all that budgets let go, at once"
kube uncordon "$first"
check kube drain "$second" --ignore-daemonsets --delete-emptydir-data --timeout="${deadline}s"
wait_ready "$cluster_name"
[ "$(nodes)" = "$first" ] || { echo "there are pods on: $(nodes)"; exit 1; }
