#!/usr/bin/env bash
# sigs.k8s.io/cli-utils v0.37.2, kstatus, with which Helm 4 waits: a Ready condition that was told for an older generation counts as told for this one.
#
# Expected: the documentation of Condition in apimachinery: with generation 12 and observedGeneration 9 of a condition, the condition is out of date. So
# InProgress, as for a status.observedGeneration that lags behind.
# Seen: Current. Only status.observedGeneration is looked at, which many types (those of the Gateway API among them) do not have, as each of their
# conditions has its own. After a change of such a resource "wait" is over before its controller has seen the change.
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
		`{"apiVersion":"example.com/v1","kind":"Cluster","metadata":{"name":"status lags","generation":12},
		"status":{"observedGeneration":9,"conditions":[{"type":"Ready","status":"True"}]}}`,
		`{"apiVersion":"example.com/v1","kind":"Cluster","metadata":{"name":"condition lags","generation":12},
		"status":{"conditions":[{"type":"Ready","status":"True","observedGeneration":9}]}}`,
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
expected='status lags: InProgress
condition lags: Current'
printf 'kstatus of sigs.k8s.io/cli-utils v0.37.2:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
