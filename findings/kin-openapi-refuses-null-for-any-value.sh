#!/usr/bin/env bash
# github.com/getkin/kin-openapi v0.153.0: a schema without a type, which stands for any value, refuses null.
#
# Expected: OpenAPI 3.0.3: "nullable" adds null to the type, only if a type is there; a schema that has none constrains nothing and allows every value.
# Seen: "Value is not nullable" for {} and for a free-form field of an object, while numbers, texts, lists and objects pass. A gateway that checks requests with
# it turns down the null of clients that the description allows.
set -euo pipefail
work=$(mktemp -d); trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT; cd "$work"
cat > main.go <<'END'
package main

import (
	"context"
	"fmt"

	"github.com/getkin/kin-openapi/openapi3"
)

func main() {
	text := `{"openapi":"3.0.3","info":{"title":"t","version":"1"},"paths":{},"components":{"schemas":{
		"Any":{},"Message":{"type":"object","properties":{"extra":{}}}}}}`
	document, err := openapi3.NewLoader().LoadFromData([]byte(text))
	if err != nil {
		panic(err)
	}
	if err := document.Validate(context.Background()); err != nil {
		panic(err)
	}
	schema := func(name string) *openapi3.Schema { return document.Components.Schemas[name].Value }
	for _, value := range []any{5.0, "text", []any{}, map[string]any{}, nil} {
		message := map[string]any{"extra": value}
		fmt.Printf("%v as any value: %v, as a field: %v\n", value, schema("Any").VisitJSON(value) == nil, schema("Message").VisitJSON(message) == nil)
	}
}
END
printf 'module finding\ngo 1.26\n' > go.mod
go get github.com/getkin/kin-openapi@v0.153.0 2> /dev/null
go mod tidy 2> /dev/null
seen=$(go run .)
expected='5 as any value: true, as a field: true
text as any value: true, as a field: true
[] as any value: true, as a field: true
map[] as any value: true, as a field: true
<nil> as any value: false, as a field: false'
printf 'github.com/getkin/kin-openapi v0.153.0, valid:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
