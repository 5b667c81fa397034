#!/usr/bin/env bash
# PyPI SecantusDB 0.7.0b3, a server that speaks MongoDB's protocol: with --sync-on-commit it writes its journal once for an `insert` of 1000 documents, but once
# for each operation of a `bulkWrite` that inserts as many.
#
# Expected: one write, or a few, for either: a command has one write concern, which MongoDB waits for at the command's end.
# Seen: 1 and 1000 writes. Where a write to disk takes 2 ms, what an `insert` does in 30 ms takes two seconds.
set -euo pipefail
work=$(mktemp -d); cd "$work"
trap 'kill "$server" 2> /dev/null || true; rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --target lib SecantusDB==0.7.0b3 pymongo==4.20.1 2> /dev/null
export PYTHONPATH=lib
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
python3 lib/bin/secantusd-py --host 127.0.0.1 --port "$port" --storage-path data --sync-on-commit > server.log 2>&1 & server=$!
cat > main.py <<'END'
import sys

from pymongo import MongoClient

server, port = sys.argv[1:]
client = MongoClient(f"mongodb://127.0.0.1:{port}/?directConnection=true")
concern = {"w": "majority", "j": True}


def writes():
    with open(f"/proc/{server}/io") as counters:
        return int(dict(line.split(": ") for line in counters)["syscw"])


client.t.m.insert_one({"_id": "first"})
for size in (1, 100, 1000):
    before = writes()
    documents = [{"_id": f"insert {size} {n}"} for n in range(size)]
    client.t.command({"insert": "m", "documents": documents, "writeConcern": concern})
    between = writes()
    operations = [{"insert": 0, "document": {"_id": f"bulkWrite {size} {n}"}} for n in range(size)]
    client.admin.command({"bulkWrite": 1, "ops": operations, "nsInfo": [{"ns": "t.m"}], "writeConcern": concern})
    print(f"{size} documents: {between - before} by insert, {writes() - between} by bulkWrite")
END
seen=$(python3 main.py "$server" "$port")
expected='1 documents: 1 by insert, 1 by bulkWrite
100 documents: 1 by insert, 100 by bulkWrite
1000 documents: 1 by insert, 1000 by bulkWrite'
printf 'SecantusDB 0.7.0b3, writes of the server:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
