#!/usr/bin/env bash
# npm another-json 0.2.0, which Matrix clients sign with: a control character is written with a capital U, which is no JSON, and keys are not in order.
#
# Expected: canonical JSON of the Matrix specification: valid JSON, keys sorted by code point. PyPI canonicaljson 2.0.0, which the Synapse server uses, does so.
# Seen: U+000B becomes \U000B, which JSON.parse refuses; a key of U+10000 comes before one of U+E000. A signature made over such a text is not that of the
# server, so an event or a device with such a name cannot be verified on the other side.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts another-json@0.2.0 > /dev/null
python3 -m pip install -q --disable-pip-version-check --target lib canonicaljson==2.0.0 2> /dev/null
cat > main.js <<'END'
const { stringify } = require("another-json");

for (const value of JSON.parse(process.argv[2])) {
  const text = stringify(value);
  let valid = "is JSON";
  try { JSON.parse(text); } catch { valid = "is no JSON"; }
  console.log(text.replace(/[^ -~]/gu, (c) => `<${c.codePointAt(0).toString(16)}>`), valid);
}
END
cat > main.py <<'END'
import canonicaljson, json, re, sys

for value in json.loads(sys.argv[1]):
    text = canonicaljson.encode_canonical_json(value).decode()
    print(re.sub("[^ -~]", lambda c: f"<{ord(c[0]):x}>", text))
END
values='[{"name":"a\u000bb"},{"\ue000":1,"\ud800\udc00":2}]'
seen=$(echo "another-json:"; node main.js "$values"; echo "canonicaljson:"; PYTHONPATH=lib python3 main.py "$values")
expected='another-json:
{"name":"a\U000Bb"} is no JSON
{"<10000>":2,"<e000>":1} is JSON
canonicaljson:
{"name":"a\u000bb"}
{"<e000>":1,"<10000>":2}'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
