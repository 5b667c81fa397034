#!/usr/bin/env bash
# PyPI promql-parser 0.12.0: a regular expression between backticks that has \d, \w or \s is refused.
#
# Expected: the documentation of PromQL: between backticks no escapes are read, so that a regular expression can stand there as it is.
# Seen: code=~`5\d\d` is "unknown escape sequence 'd'", as if it stood between double quotes, where it is refused rightly. `\.` fails the same way, `\n` does
# not. A linter built on it turns down alerts that Prometheus loads.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m pip install -q --disable-pip-version-check --target lib promql-parser==0.12.0 2> /dev/null
cat > main.py <<'END'
import promql_parser

for query in ('a{code=~"5\\\\d\\\\d"}', "a{code=~`5\\d\\d`}", "a{file=~`x\\.go`}", "a{text=~`x\\n`}", 'a{code=~"5\\d\\d"}'):
    try:
        print(query, "is read as", promql_parser.parse(query).prettify())
    except ValueError as error:
        print(query, "is refused:", error)
END
seen=$(PYTHONPATH=lib python3 main.py)
expected='a{code=~"5\\d\\d"} is read as a{code=~"5\\d\\d"}
a{code=~`5\d\d`} is refused: unknown escape sequence '\''d'\''
a{file=~`x\.go`} is refused: unknown escape sequence '\''.'\''
a{text=~`x\n`} is read as a{text=~"x\\n"}
a{code=~"5\d\d"} is refused: unknown escape sequence '\''d'\'''
printf 'promql-parser 0.12.0:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
