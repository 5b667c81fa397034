#!/usr/bin/env bash
# npm jsonpath-rfc9535 1.3.0: a comparison with an element of an array never looks at the element.
#
# Expected: RFC 9535, 2.3.5: a singular query with names and indexes, such as @.zones[0], stands for its value in a comparison.
# Seen: it stands for nothing, at either side: == finds no match, != finds all, and two of them are always equal. As a test for existence, @.zones[0] works, and
# so do names alone. Who filters objects by their first container or owner has none, or with != those that were to be left out.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts jsonpath-rfc9535@1.3.0 jsonpath-js@0.3.1 > /dev/null
cat > main.mjs <<'END'
import { query } from "jsonpath-rfc9535";
import { JSONPathJS } from "jsonpath-js";

const nodes = [{ name: "a", zones: ["x"] }, { name: "b", zones: ["y"] }, { name: "c", zones: [] }];
for (const path of [
  "$[?@.name=='a'].name",
  "$[?@.zones[0]].name",
  "$[?@.zones[0]=='x'].name",
  "$[?@.zones[0]!='x'].name",
  "$[?@.zones[0]==$[0].zones[0]].name",
]) console.log(`${path}: ${query(nodes, path)} (jsonpath-js: ${new JSONPathJS(path).find(nodes)})`);
END
seen=$(node main.mjs)
expected='$[?@.name=='\''a'\''].name: a (jsonpath-js: a)
$[?@.zones[0]].name: a,b (jsonpath-js: a,b)
$[?@.zones[0]=='\''x'\''].name:  (jsonpath-js: a)
$[?@.zones[0]!='\''x'\''].name: a,b,c (jsonpath-js: b,c)
$[?@.zones[0]==$[0].zones[0]].name: a,b,c (jsonpath-js: a)'
printf 'jsonpath-rfc9535 1.3.0:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
