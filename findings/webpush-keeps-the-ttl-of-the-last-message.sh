#!/usr/bin/env bash
# PyPI webpush 1.0.6: the ttl of one message is that of every later one, and a message cannot have a ttl of 0.
#
# Expected: the constructor's ttl is the one for all, get's is the message's own; 0 is allowed (its documentation: delivered only if the device can be reached).
# Seen: get stores what it is given in the object, so after one message with a ttl of a day those without one have a day as well; and ttl=0 counts as not given.
# The ringing of a call, which is worth nothing a minute later, waits a day at the push service. The subscriber's address is kept the same way.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m pip install -q --disable-pip-version-check --target lib webpush==1.0.6 2> /dev/null
cat > main.py <<'END'
import base64, io
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from webpush import VAPID, WebPush, WebPushSubscription

private, public, _ = VAPID.generate_keys()
point = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
keys = {"p256dh": base64.urlsafe_b64encode(point).decode(), "auth": base64.urlsafe_b64encode(b"a" * 16).decode()}
device = WebPushSubscription(endpoint="https://push.example.com/device", keys=keys)
push = WebPush(private_key=private, public_key=public, subscriber="admin@example.com", ttl=60)
for text, more in (("first", {}), ("a day", {"ttl": 86400}), ("none given", {}), ("zero", {"ttl": 0})):
    print(f"{text}: {push.get('text', device, **more).headers['ttl']}")
END
seen=$(PYTHONPATH=lib python3 main.py)
expected='first: 60
a day: 86400
none given: 86400
zero: 86400'
printf 'webpush 1.0.6, TTL header of four messages:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
