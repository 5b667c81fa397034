#!/usr/bin/env bash
# github.com/openimsdk/protocol v0.0.73-alpha.17, msg and conversation: the log form of some answers tells a number as the length of a list.
#
# Expected: Format shortens long lists for the log, and leaves a single number alone.
# Seen: the newest seq of a conversation is shown as it is up to 50 and as "len is 51" from 51 on; a page of one conversation is shortened when the
# user has more than 50 in all, and a page of 60 is not when the total says 50.
set -euo pipefail
work=$(mktemp -d); trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT; cd "$work"
cat > main.go <<'END'
package main

import (
	"fmt"

	"github.com/openimsdk/protocol/conversation"
	"github.com/openimsdk/protocol/msg"
)

func main() {
	for _, seq := range []int64{50, 51} {
		text, short := (&msg.GetConversationMaxSeqResp{MaxSeq: seq}).Format().(string)
		fmt.Printf("newest seq %d shortened: %v %q\n", seq, short, text)
	}
	page := &conversation.GetOwnerConversationResp{Total: 51, Conversations: make([]*conversation.Conversation, 1)}
	text, short := page.Format().(string)
	fmt.Printf("page of 1 of 51 shortened: %v %q\n", short, text)
	page = &conversation.GetOwnerConversationResp{Total: 50, Conversations: make([]*conversation.Conversation, 60)}
	_, short = page.Format().(string)
	fmt.Printf("page of 60, total 50, shortened: %v\n", short)
}
END
printf 'module finding\ngo 1.26\n' > go.mod
go get github.com/openimsdk/protocol@v0.0.73-alpha.17 2> /dev/null
go mod tidy 2> /dev/null
seen=$(go run .)
expected='newest seq 50 shortened: false ""
newest seq 51 shortened: true "len is 51"
page of 1 of 51 shortened: true "len is 51"
page of 60, total 50, shortened: false'
printf 'github.com/openimsdk/protocol v0.0.73-alpha.17:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
