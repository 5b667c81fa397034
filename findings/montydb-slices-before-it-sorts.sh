#!/usr/bin/env bash
# PyPI montydb 2.5.6: $push with $sort and $slice cuts the array first and sorts what is left.
#
# Expected: the documentation of MongoDB: whatever their order in the update, the elements are added, then sorted, then cut; mongomock 4.3.0 does so.
# Seen: the two smallest of 5, 3 and 4 are 3 and 5, as the array is cut to 5, 3 before it is sorted. A list of the newest or best so many, which is what these
# two are used for together, has other elements in the stand-in than in MongoDB.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m pip install -q --disable-pip-version-check --target lib montydb==2.5.6 mongomock==4.3.0 2> /dev/null
cat > main.py <<'END'
import mongomock, montydb

for name, client in (("montydb", montydb.MontyClient(":memory:")), ("mongomock", mongomock.MongoClient())):
    scores = client.test.scores
    scores.insert_one({"_id": 1, "best": [5]})
    scores.update_one({"_id": 1}, {"$push": {"best": {"$each": [3, 4], "$sort": 1, "$slice": 2}}})
    print(name, scores.find_one({"_id": 1})["best"])
END
seen=$(PYTHONPATH=lib python3 -W ignore main.py)
expected='montydb [3, 5]
mongomock [3, 4]'
printf 'the two smallest of 5, 3, 4:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
