#!/usr/bin/env bash
# PyPI openim-sdk-core 0.1.11, gob_codec: the fields of an answer are taken in an order that the package has built in, not in the one the stream tells.
#
# Expected: gob matches fields by name: a stream says first which names its type has, in which order, and a Go client reads any order by it.
# Seen: the names are looked for and their order is thrown away. Of two orders that it knows the one that looks better is taken, so an answer whose OperationID
# comes before its MsgIncr has the two swapped, without an error. A server that is no copy of OpenIM's own must have its very order of fields.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m pip install -q --disable-pip-version-check --no-deps --target lib openim-sdk-core==0.1.11 2> /dev/null
python3 -m pip install -q --disable-pip-version-check --target lib 'protobuf==6.33.6' 'websocket-client==1.8.0' 2> /dev/null
cat > main.go <<'END'
package main

import (
	"bytes"
	"encoding/gob"
	"fmt"
)

type OwnOrder struct {
	ReqIdentifier        int32
	OperationID, MsgIncr string
	ErrCode              int
	ErrMsg               string
	Data                 []byte
}

type OpenIMOrder struct {
	ReqIdentifier        int32
	MsgIncr, OperationID string
	ErrCode              int
	ErrMsg               string
	Data                 []byte
}

func main() {
	for _, answer := range []any{
		OpenIMOrder{ReqIdentifier: 1003, MsgIncr: "msg-1", OperationID: "operation-1"},
		OwnOrder{ReqIdentifier: 1003, MsgIncr: "msg-1", OperationID: "operation-1"},
	} {
		var stream bytes.Buffer
		if err := gob.NewEncoder(&stream).Encode(answer); err != nil {
			panic(err)
		}
		fmt.Printf("%x\n", stream.Bytes())
		var read OpenIMOrder
		if err := gob.NewDecoder(&stream).Decode(&read); err != nil {
			panic(err)
		}
		fmt.Printf("in Go %s %s\n", read.MsgIncr, read.OperationID)
	}
}
END
cat > main.py <<'END'
import sys
from openim_sdk import gob_codec

for line in sys.stdin:
    if line.startswith("in Go"):
        print(line.strip())
        continue
    for frame in gob_codec.parse_gob_frames(bytes.fromhex(line)):
        if frame.is_type_def:
            order = gob_codec.extract_general_ws_resp_field_order(frame.payload)
        else:
            answer, _ = gob_codec.decode_general_ws_resp_payload_best_effort(frame.payload, order)
            print("in Python", answer["MsgIncr"], answer["OperationID"])
END
printf 'module finding\ngo 1.26\n' > go.mod
seen=$(go run . | PYTHONPATH=lib python3 main.py)
expected='in Python msg-1 operation-1
in Go msg-1 operation-1
in Python operation-1 msg-1
in Go msg-1 operation-1'
printf 'MsgIncr and OperationID, in the order of OpenIM and in another, openim-sdk-core 0.1.11:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
