#!/usr/bin/env bash
# PyPI httpx-sse 0.4.3: once a stream has told an id, every heartbeat comment becomes a message without data.
#
# Expected: the HTML standard: a blank line dispatches nothing while the data buffer is empty, whatever id or retry came before; sseclient-py 1.9.0 does so.
# Seen: one message with an id and two heartbeats are three messages; "retry: 3000" alone is one too. A client that reads JSON from each message fails on the
# first heartbeat after the first id, and one that counts messages counts heartbeats.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m pip install -q --disable-pip-version-check --target lib httpx-sse==0.4.3 httpx==0.28.1 sseclient-py==1.9.0 2> /dev/null
cat > main.py <<'END'
import httpx, httpx_sse, sseclient

for name, stream in (
    ("heartbeats alone", b": ping\n\n: ping\n\n"),
    ("a message with an id, two heartbeats", b"id: 1\ndata: hello\n\n: ping\n\n: ping\n\n"),
    ("retry alone", b"retry: 3000\n\n"),
):
    answer = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    one = [event.data for event in httpx_sse.EventSource(answer).iter_sse()]
    other = [event.data for event in sseclient.SSEClient([stream]).events()]
    print(f"{name}: httpx-sse {one}, sseclient-py {other}")
END
seen=$(PYTHONPATH=lib python3 main.py)
expected="heartbeats alone: httpx-sse [], sseclient-py []
a message with an id, two heartbeats: httpx-sse ['hello', '', ''], sseclient-py ['hello']
retry alone: httpx-sse [''], sseclient-py []"
printf 'data of the messages:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
