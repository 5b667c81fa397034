#!/usr/bin/env bash
# PyPI cel-python 0.5.0: a text in three quotes that goes over two lines is read as one line, the words glued together.
#
# Expected: the CEL specification: a string in three quotes may have line breaks, and they belong to it. The same text as a raw string (r""") keeps them here.
# Seen: the line break is dropped without a word. A message of a rule loses its lines, and a comparison with a text of two lines is never true.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m pip install -q --disable-pip-version-check --target lib cel-python==0.5.0 2> /dev/null
cat > main.py <<'END'
import celpy

environment = celpy.Environment()
for text in ('"""one\ntwo"""', 'r"""one\ntwo"""', '"one\\ntwo"'):
    print(repr(text), "is", repr(str(environment.program(environment.compile(text)).evaluate({}))))
END
seen=$(PYTHONPATH=lib python3 main.py)
expected="'\"\"\"one\ntwo\"\"\"' is 'onetwo'
'r\"\"\"one\ntwo\"\"\"' is 'one\ntwo'
'\"one\\\\ntwo\"' is 'one\ntwo'"
printf 'cel-python 0.5.0:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
