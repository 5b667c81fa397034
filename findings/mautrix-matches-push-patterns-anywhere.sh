#!/usr/bin/env bash
# maunium.net/go/mautrix v0.32.0, pushrules: the condition event_match knows no words and no whole values.
#
# Expected: the Matrix specification: a pattern matches the whole value of a field; of content.body it matches a part that begins and ends at the edge of a word.
# Seen: without a star it matches any part of any field: "ann" rings for a "channel", and "room" is the type m.room.message. With one it must match the whole
# body: "ann*" is not found in "hello Anna". A content rule with the same pattern (PushRule) does look for words.
set -euo pipefail
work=$(mktemp -d); trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT; cd "$work"
cat > main.go <<'END'
package main

import (
	"fmt"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/pushrules"
)

func main() {
	for _, test := range [][3]string{
		{"content.body", "ann", "hello Ann"},
		{"content.body", "ann", "a new channel"},
		{"content.body", "ann*", "hello Anna"},
		{"type", "m.room.message", ""},
		{"type", "room", ""},
	} {
		message := &event.Event{Type: event.EventMessage, Content: event.Content{
			Raw:    map[string]any{"msgtype": "m.text", "body": test[2]},
			Parsed: &event.MessageEventContent{MsgType: event.MsgText, Body: test[2]},
		}}
		condition := &pushrules.PushCondition{Kind: pushrules.KindEventMatch, Key: test[0], Pattern: test[1]}
		fmt.Print(test, ": condition ", condition.Match(nil, message))
		if test[0] == "content.body" {
			rule := &pushrules.PushRule{Type: pushrules.ContentRule, Enabled: true, Pattern: test[1]}
			fmt.Print(", content rule ", rule.Match(nil, message))
		}
		fmt.Println()
	}
}
END
printf 'module finding\ngo 1.26\n' > go.mod
go get maunium.net/go/mautrix@v0.32.0 2> /dev/null
go mod tidy 2> /dev/null
seen=$(go run -tags goolm .)
expected='[content.body ann hello Ann]: condition true, content rule true
[content.body ann a new channel]: condition true, content rule false
[content.body ann* hello Anna]: condition false, content rule true
[type m.room.message ]: condition true
[type room ]: condition true'
printf 'maunium.net/go/mautrix v0.32.0:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
