#!/usr/bin/env bash
# github.com/johannesboyne/gofakes3 v1.2.0: Cache-Control and Expires of an object are forgotten, and a copy keeps metadata that it was to replace.
#
# Expected: the S3 documentation: PutObject stores both and GetObject tells them; CopyObject with the directive REPLACE has the metadata of the request alone.
# Seen: neither header comes back, while Content-Disposition does; the copy has x-amz-meta-owner of its source, and tells the headers of the copy request as if
# they were its own. Whether avatars are cached, or a changed label is really gone, cannot be tested with it.
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
	do := func(method, path string, headers ...string) http.Header {
		request, _ := http.NewRequest(method, server.URL+path, strings.NewReader("text"))
		for i := 0; i < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			panic(err)
		}
		answer.Body.Close()
		return answer.Header
	}
	do("PUT", "/avatars")
	do("PUT", "/avatars/a", "Cache-Control", "no-store", "Expires", "Thu, 01 Dec 2094 16:00:00 GMT", "Content-Disposition", "inline", "x-amz-meta-owner", "a")
	read := do("GET", "/avatars/a")
	fmt.Printf("stored: Cache-Control %q Expires %q Content-Disposition %q\n", read["Cache-Control"], read["Expires"], read["Content-Disposition"])
	do("PUT", "/avatars/b", "x-amz-copy-source", "/avatars/a", "x-amz-metadata-directive", "REPLACE", "x-amz-meta-label", "b")
	read = do("GET", "/avatars/b")
	fmt.Printf("copy: owner %q label %q directive %q\n", read["X-Amz-Meta-Owner"], read["X-Amz-Meta-Label"], read["X-Amz-Metadata-Directive"])
}
END
printf 'module finding\ngo 1.26\n' > go.mod
go get github.com/johannesboyne/gofakes3@v1.2.0 2> /dev/null
go mod tidy 2> /dev/null
seen=$(go run .)
expected='stored: Cache-Control [] Expires [] Content-Disposition ["inline"]
copy: owner ["a"] label ["b"] directive ["REPLACE"]'
printf 'github.com/johannesboyne/gofakes3 v1.2.0:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
