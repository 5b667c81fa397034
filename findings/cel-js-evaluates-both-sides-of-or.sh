#!/usr/bin/env bash
# npm cel-js 0.8.2: "||" evaluates its right side although the left one is true, whole numbers are divided into fractions, and no escape in a string is read.
#
# Expected: the CEL specification: true || error is true; 7 / 2 of two ints is 3; "\n" is a line break.
# Seen: the usual guard "a == 0 || 10 / a > 2" raises, "7 / 2 == 3" is false, "\n" is a backslash and an n. "&&" does stop at the left side.
# An admission rule of the API server, tried out with it beforehand, gives another answer there.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts cel-js@0.8.2 @marcbachmann/cel-js@8.0.0 > /dev/null
cat > main.mjs <<'END'
import * as celJs from "cel-js";
import * as other from "@marcbachmann/cel-js";

const ask = (library, text, context) => {
  try { return library.evaluate(text, context); } catch (error) { return `(${error.message.split("\n")[0]})`; }
};
for (const [text, context] of [
  ["a != 0 && 10 / a > 2", { a: 0 }],
  ["a == 0 || 10 / a > 2", { a: 0 }],
  ["7 / 2 == 3", {}],
  ['size("a\\nb")', {}],
]) console.log(`${text}: ${ask(celJs, text, context)}, @marcbachmann/cel-js: ${ask(other, text, context)}`);
END
seen=$(node main.mjs)
expected='a != 0 && 10 / a > 2: false, @marcbachmann/cel-js: false
a == 0 || 10 / a > 2: (Division by zero), @marcbachmann/cel-js: true
7 / 2 == 3: false, @marcbachmann/cel-js: true
size("a\nb"): 4, @marcbachmann/cel-js: 3'
printf 'cel-js 0.8.2:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
