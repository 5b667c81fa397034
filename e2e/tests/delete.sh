#!/usr/bin/env bash
# On the real cluster: a cluster is deleted in the middle of the checker's load and made anew at once. Volumes and passwords stay (spec.volumes: Retain),
# and with them all that was acknowledged.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
ns=$cluster_namespace
build_checker
object=$(mktemp)
finish() { kill ${checker:-} 2> /dev/null || true; rm -f "$object"; }
trap finish EXIT
claims() { kube -n "$ns" get persistentvolumeclaims -l "openim.io/cluster=$cluster_name" -o 'jsonpath={range .items[*]}{.metadata.uid}{"\n"}{end}' | sort; }
of_before() { # how many objects there are of the cluster that was deleted
  kube -n "$ns" get all,configmaps,ingresses -l "openim.io/cluster=$cluster_name" -o 'jsonpath={.items[*].metadata.ownerReferences[*].uid}' | tr ' ' '\n' | grep -c "$1" || true
}
wait_ready "$cluster_name"
before=$(claims)
[ "$(wc -l <<< "$before")" = 3 ] || { echo "three volumes were expected: $before"; exit 1; }
of_object() { kube -n "$ns" get openimcluster "$cluster_name" -o "jsonpath=$1"; }
uid=$(of_object '{.metadata.uid}')
printf '{"apiVersion":"openim.io/v1alpha1","kind":"OpenIMCluster","metadata":{"name":"%s","namespace":"%s"},"spec":%s}' \
  "$cluster_name" "$ns" "$(of_object '{.spec}')" > "$object"

echo "deleted under load and made anew: nothing that was acknowledged is lost"
checking delete-checker 6
sleep 12
kube replace --force -f "$object"
eventually 0 of_before "$uid"
wait_ready "$cluster_name"
checked delete-checker
[ "$before" = "$(claims)" ] || { echo "the volumes are others: $(claims)"; exit 1; }
