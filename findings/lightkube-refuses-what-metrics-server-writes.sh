#!/usr/bin/env bash
# PyPI lightkube 1.0.1: parse_quantity refuses quantities of Kubernetes in n and u and with a capital E, and takes Z and Y, which Kubernetes has not.
#
# Expected: what its documentation points to, the reference of Quantity: n, u and m, and exponents "e" or "E". The official client, kubernetes 37.0.2, reads them.
# Seen: "156340912n", as the metrics API tells the CPU of every pod, is an "Invalid unit suffix"; so is 12E6, and 1Zi is read, which no cluster takes.
# equals_canonically raises the same error in the middle of a comparison.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m pip install -q --disable-pip-version-check --target lib lightkube==1.0.1 kubernetes==37.0.2 2> /dev/null
cat > main.py <<'END'
from kubernetes.utils.quantity import parse_quantity as official
from lightkube.utils.quantity import parse_quantity

def ask(read, text):
    try:
        return format(read(text).normalize(), "f")
    except ValueError as error:
        return f"({error})"

for text in ("100m", "12e6", "12E6", "250u", "156340912n", "1Zi"):
    print(f"{text}: {ask(parse_quantity, text)}, official client: {ask(official, text)}")
END
seen=$(PYTHONPATH=lib python3 main.py)
expected='100m: 0.1, official client: 0.1
12e6: 12000000, official client: 12000000
12E6: (Invalid unit suffix: E6), official client: 12000000
250u: (Invalid unit suffix: u), official client: 0.00025
156340912n: (Invalid unit suffix: n), official client: 0.156340912
1Zi: 1180591620717411303424, official client: (Invalid number format: 1Zi)'
printf 'lightkube 1.0.1:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
