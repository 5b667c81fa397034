#!/usr/bin/env bash
# PyPI montydb 2.5.6: $unset of a field that is not there, in a document that is not there either, makes the document.
#
# Expected: the documentation of MongoDB: if the field does not exist, $unset does nothing; mongomock 4.3.0 does so.
# Seen: $unset of draft.text adds an empty "draft", the update counts as one that modified, and "has a draft" is true from then on.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m pip install -q --disable-pip-version-check --target lib montydb==2.5.6 mongomock==4.3.0 2> /dev/null
cat > main.py <<'END'
import mongomock, montydb

for name, client in (("montydb", montydb.MontyClient(":memory:")), ("mongomock", mongomock.MongoClient())):
    talks = client.test.talks
    talks.insert_one({"_id": 1})
    modified = talks.update_one({"_id": 1}, {"$unset": {"draft.text": ""}}).modified_count
    print(f"{name}: modified {modified}, document {talks.find_one({})}, with a draft {talks.count_documents({'draft': {'$exists': True}})}")
END
seen=$(PYTHONPATH=lib python3 -W ignore main.py)
expected='montydb: modified 1, document {'\''_id'\'': 1, '\''draft'\'': {}}, with a draft 1
mongomock: modified 0, document {'\''_id'\'': 1}, with a draft 0'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
