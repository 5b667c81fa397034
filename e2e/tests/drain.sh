#!/usr/bin/env bash
# Every pod of the cluster is evicted from its node, one after the other, under the checker's load: nothing is lost.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
build_checker
build_plugin
ns=$cluster_namespace
node=$(kube get nodes -o 'jsonpath={.items[0].metadata.name}')
uids() { kube -n "$ns" get pods -l "openim.io/cluster=$cluster_name" --field-selector=status.phase=Running -o 'jsonpath={range .items[*]}{.metadata.uid}{"\n"}{end}' | sort; }
wait_ready "$cluster_name" 120
before=$(uids)
mark=$(mktemp -u)
(KUBECONFIG=$state/admin.kubeconfig "$checker_bin/kubectl-openim" -n "$ns" drain "$cluster_name" --node "$node" > "$mark.log" 2>&1; echo $? > "$mark") & drain=$!
trap 'kill $drain $(pgrep -P $drain) 2> /dev/null || true' EXIT
"$checker_bin/checker" --conversations 6 --seconds 150 --pause-ms 50
until_is 300 0 cat "$mark"
cat "$mark.log"
grep -q "still takes pods: .kubectl cordon $node. first" "$mark.log" || { echo "it does not say that the node takes pods"; exit 1; }
wait_ready "$cluster_name" 120
[ -z "$(comm -12 <(echo "$before") <(uids))" ] || { echo "a pod was not evicted"; exit 1; }
rm -f "$mark" "$mark.log"
