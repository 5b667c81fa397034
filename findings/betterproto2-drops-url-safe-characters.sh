#!/usr/bin/env bash
# PyPI betterproto2 0.10.0: bytes in JSON that are in the URL-safe alphabet lose characters, and -0.0 is not sent.
#
# Expected: the documentation of ProtoJSON: standard or URL-safe base64 is accepted, with or without padding. And of protobuf: +0 is not serialized, -0 is.
# Protobuf's own package, 6.33.6, does both.
# Seen: "-" and "_" are left out before decoding: six bytes become three without an error, or "Incorrect padding" is raised, as it is for text without padding.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m pip install -q --disable-pip-version-check --target lib betterproto2==0.10.0 protobuf==6.33.6 2> /dev/null
cat > main.py <<'END'
from dataclasses import dataclass
import betterproto2
from google.protobuf import json_format, wrappers_pb2

@dataclass(eq=False, repr=False)
class Bytes(betterproto2.Message):
    value: bytes = betterproto2.field(1, betterproto2.TYPE_BYTES)

@dataclass(eq=False, repr=False)
class Double(betterproto2.Message):
    value: float = betterproto2.field(1, betterproto2.TYPE_DOUBLE)

for text in ("////AQID", "____AQID", "AQI"):
    own = json_format.Parse(f'"{text}"', wrappers_pb2.BytesValue()).value.hex()
    try:
        seen = Bytes.from_json(f'{{"value":"{text}"}}').value.hex()
    except Exception as error:
        seen = f"({error})"
    print(f"{text}: {seen}, protobuf: {own}")
print(f"-0.0: '{bytes(Double(value=-0.0)).hex()}', protobuf: '{wrappers_pb2.DoubleValue(value=-0.0).SerializeToString().hex()}'")
END
seen=$(PYTHONPATH=lib python3 main.py)
expected='////AQID: ffffff010203, protobuf: ffffff010203
____AQID: 010203, protobuf: ffffff010203
AQI: (Incorrect padding), protobuf: 0102
-0.0: '\'''\'', protobuf: '\''090000000000000080'\'''
printf 'betterproto2 0.10.0:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
