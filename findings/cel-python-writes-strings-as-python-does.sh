#!/usr/bin/env bash
# PyPI cel-python 0.5.0: string() writes booleans as Python does and loses the fraction of seconds.
#
# Expected: the CEL specification: string(true) is "true"; a timestamp or duration becomes a string that timestamp() or duration() reads back as the same.
# Seen: "True", so that a comparison with "true" (a label or an environment variable) is false; 1.5s becomes "1s" and half a second is gone from a timestamp.
# A policy that holds in the API server, whose CEL is cel-go, fails where it is tried out in Python.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m pip install -q --disable-pip-version-check --target lib cel-python==0.5.0 2> /dev/null
cat > main.py <<'END'
import celpy

environment = celpy.Environment()
for text in (
    "string(true)",
    "string(true) == 'true'",
    "string(duration('1.5s'))",
    "duration(string(duration('1.5s'))) == duration('1.5s')",
    "string(timestamp('2026-03-10T08:00:00.5Z'))",
):
    print(text, "is", environment.program(environment.compile(text)).evaluate({}))
END
seen=$(PYTHONPATH=lib python3 main.py)
expected="string(true) is True
string(true) == 'true' is False
string(duration('1.5s')) is 1s
duration(string(duration('1.5s'))) == duration('1.5s') is False
string(timestamp('2026-03-10T08:00:00.5Z')) is 2026-03-10T08:00:00Z"
printf 'cel-python 0.5.0:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
