#!/usr/bin/env bash
# sigs.k8s.io/cli-utils v0.37.2, kstatus, with which Helm 4 waits: a changed DaemonSet with the update strategy OnDelete is never Current.
#
# Expected: what a StatefulSet with OnDelete gets: Current, as its pods are replaced only when somebody deletes them. Helm 3 takes both for ready.
# Seen: InProgress until every pod was deleted by hand, so that "wait" ends at its limit of time although all there was to do has been done.
set -euo pipefail
work=$(mktemp -d); trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT; cd "$work"
cat > main.go <<'END'
package main

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

func main() {
	for _, text := range []string{
		`{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"StatefulSet","generation":2},
		"spec":{"replicas":3,"updateStrategy":{"type":"OnDelete"}},
		"status":{"observedGeneration":2,"replicas":3,"readyReplicas":3,"currentReplicas":3,"currentRevision":"a","updateRevision":"b"}}`,
		`{"apiVersion":"apps/v1","kind":"DaemonSet","metadata":{"name":"DaemonSet","generation":2},
		"spec":{"updateStrategy":{"type":"OnDelete"}},
		"status":{"observedGeneration":2,"desiredNumberScheduled":3,"currentNumberScheduled":3,"numberAvailable":3,"numberReady":3}}`,
	} {
		var object unstructured.Unstructured
		if err := object.UnmarshalJSON([]byte(text)); err != nil {
			panic(err)
		}
		result, err := status.Compute(&object)
		if err != nil {
			panic(err)
		}
		fmt.Println(object.GetName()+":", result.Status)
	}
}
END
printf 'module finding\ngo 1.26\n' > go.mod
go get sigs.k8s.io/cli-utils@v0.37.2 2> /dev/null
go mod tidy 2> /dev/null
seen=$(go run .)
expected='StatefulSet: Current
DaemonSet: InProgress'
printf 'kstatus of sigs.k8s.io/cli-utils v0.37.2:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
