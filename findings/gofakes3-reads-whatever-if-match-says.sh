#!/usr/bin/env bash
# github.com/johannesboyne/gofakes3 v1.2.0: a read with If-Match or If-Unmodified-Since succeeds whatever they say.
#
# Expected: the S3 documentation of GetObject: 412 when the ETag is another, or the object has changed since.
# Seen: 200 and the whole object for both, while If-None-Match and If-Modified-Since are heeded with 304, and If-None-Match on a write with 412. A download that
# goes on with ranges of the same version, guarded by If-Match, glues two versions together here and passes its test.
set -euo pipefail
work=$(mktemp -d); trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT; cd "$work"
cat > main.go <<'END'
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

func main() {
	server := httptest.NewServer(gofakes3.New(s3mem.New()).Server())
	defer server.Close()
	do := func(method, path string, headers ...string) *http.Response {
		request, _ := http.NewRequest(method, server.URL+path, strings.NewReader("text"))
		for i := 0; i < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			panic(err)
		}
		answer.Body.Close()
		return answer
	}
	do("PUT", "/files")
	tag := do("PUT", "/files/a").Header.Get("ETag")
	for _, header := range [][]string{
		{"If-None-Match", tag},
		{"If-Modified-Since", "Wed, 01 Jan 2120 00:00:00 GMT"},
		{"If-Match", `"another"`},
		{"If-Unmodified-Since", "Wed, 01 Jan 2020 00:00:00 GMT"},
	} {
		fmt.Println(header[0], do("GET", "/files/a", header...).StatusCode)
	}
}
END
printf 'module finding\ngo 1.26\n' > go.mod
go get github.com/johannesboyne/gofakes3@v1.2.0 2> /dev/null
go mod tidy 2> /dev/null
seen=$(go run .)
expected='If-None-Match 304
If-Modified-Since 304
If-Match 200
If-Unmodified-Since 200'
printf 'github.com/johannesboyne/gofakes3 v1.2.0:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
