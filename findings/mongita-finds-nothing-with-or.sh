#!/usr/bin/env bash
# PyPI mongita 1.2.0: $or, $and and $nor of a filter are taken for names of fields, so that nothing is found.
#
# Expected: what they mean in MongoDB, or the error that the package raises for every operator that it does not support; {"n": {"$or": [1]}} raises it.
# Seen: zero documents and no error. delete_many with such a filter removes nothing and says so only by a count that few look at.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m pip install -q --disable-pip-version-check --target lib mongita==1.2.0 2> /dev/null
cat > main.py <<'END'
from mongita import MongitaClientMemory, errors

numbers = MongitaClientMemory().test.numbers
numbers.insert_many([{"n": 1}, {"n": 2}, {"n": 3}])
for query in ({"n": {"$in": [1, 2]}}, {"$or": [{"n": 1}, {"n": 2}]}, {"$and": [{"n": 1}]}, {"$nor": [{"n": 1}]}, {"n": {"$exists": True}}):
    try:
        print(query, "finds", numbers.count_documents(query))
    except errors.MongitaError as error:
        print(query, "raises", str(error).split(".")[0])
END
seen=$(PYTHONPATH=lib python3 -W ignore main.py)
expected='{'\''n'\'': {'\''$in'\'': [1, 2]}} finds 2
{'\''$or'\'': [{'\''n'\'': 1}, {'\''n'\'': 2}]} finds 0
{'\''$and'\'': [{'\''n'\'': 1}]} finds 0
{'\''$nor'\'': [{'\''n'\'': 1}]} finds 0
{'\''n'\'': {'\''$exists'\'': True}} raises Mongita does not support '\''$exists'\'''
printf 'mongita 1.2.0, of three documents:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
