#!/usr/bin/env bash
# PyPI matrix-nio 0.26.0: the push condition contains_display_name holds only when the message begins with the name.
#
# Expected: the Matrix specification: it holds for a message whose body contains the display name as a word of its own, wherever it stands.
# Seen: "Alice, look" matches, "look, Alice" does not, as the expression is tried at the start of the body alone. A bot or client that rings by the rules of the
# account stays silent for most of the times it is named. event_match on content.body, with the name as its pattern, finds all of them.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m pip install -q --disable-pip-version-check --target lib matrix-nio==0.26.0 2> /dev/null
cat > main.py <<'END'
from nio import MatrixRoom, RoomMessageText
from nio.events.account_data import PushCondition

room = MatrixRoom("!room:example.org", "@alice:example.org")
named = PushCondition.from_dict({"kind": "contains_display_name"})
pattern = PushCondition.from_dict({"kind": "event_match", "key": "content.body", "pattern": "Alice"})
for body in ("Alice, look", "look, Alice", "hello Alice and Bob", "Alicexyz"):
    event = RoomMessageText.from_dict({
        "type": "m.room.message", "event_id": "$event", "sender": "@bob:example.org", "origin_server_ts": 0,
        "content": {"msgtype": "m.text", "body": body},
    })
    print(f"{body}: name {named.matches(event, room, 'Alice')}, pattern {pattern.matches(event, room, 'Alice')}")
END
seen=$(PYTHONPATH=lib python3 main.py)
expected='Alice, look: name True, pattern True
look, Alice: name False, pattern True
hello Alice and Bob: name False, pattern True
Alicexyz: name False, pattern False'
printf 'matrix-nio 0.26.0:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
