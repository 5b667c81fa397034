#!/usr/bin/env bash
# github.com/openimsdk/tools v0.0.50-alpha.113, utils/encrypt: AesEncrypt of a part of a buffer overwrites what follows in the buffer.
#
# Expected: an argument that is only read stays as it is, and the bytes behind it as well.
# Seen: the padding is appended to the caller's slice, so up to 16 bytes behind the text become padding when the slice has room. Whoever encrypts a long
# content piece by piece encrypts damaged bytes from the second piece on, and decrypts them without an error.
set -euo pipefail
work=$(mktemp -d); trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT; cd "$work"
cat > main.go <<'END'
package main

import (
	"fmt"

	"github.com/openimsdk/tools/utils/encrypt"
)

func main() {
	key := []byte("0123456789abcdef")
	content := []byte("first piece.second piece.")
	for _, piece := range [][]byte{content[:12], content[12:]} {
		secret, err := encrypt.AesEncrypt(piece, key)
		if err != nil {
			panic(err)
		}
		text, err := encrypt.AesDecrypt(secret, key)
		fmt.Printf("%q %v\n", text, err)
	}
}
END
printf 'module finding\ngo 1.26\n' > go.mod
go get github.com/openimsdk/tools@v0.0.50-alpha.113 2> /dev/null
go mod tidy 2> /dev/null
seen=$(go run .)
expected='"first piece." <nil>
"\x04\x04\x04\x04nd piece." <nil>'
printf 'github.com/openimsdk/tools v0.0.50-alpha.113, two pieces of "first piece.second piece.":\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
