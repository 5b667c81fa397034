#!/usr/bin/env bash
# PyPI oras 0.2.43: localhost/charts is a repository of the default registry and not one of this machine.
#
# Expected: the reference grammar of the distribution project: a first part that is localhost, or has a dot or a colon, is the registry. Docker, Podman and
# oras-go read it so.
# Seen: localhost:5000/charts and 127.0.0.1/charts are on this machine, localhost/charts is "localhost/charts" at the public default registry. A chart
# that was to stay on a test machine is looked for, or pushed, elsewhere.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m pip install -q --disable-pip-version-check --target lib oras==0.2.43 2> /dev/null
cat > main.py <<'END'
from oras.container import Container

for text in ("localhost:5000/charts", "127.0.0.1/charts", "localhost/charts"):
    name = Container(text)
    print(f"{text}: on this machine {name.registry.startswith(('localhost', '127.'))}, repository {name.api_prefix}")
END
seen=$(PYTHONPATH=lib python3 main.py)
expected='localhost:5000/charts: on this machine True, repository charts
127.0.0.1/charts: on this machine True, repository charts
localhost/charts: on this machine False, repository localhost/charts'
printf 'oras 0.2.43:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
