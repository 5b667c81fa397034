#!/usr/bin/env bash
# PyPI webpush 1.0.6: the VAPID token for a push service on a port of its own names the service without the port.
#
# Expected: RFC 8292, 2: "aud" has the origin of the push resource URL, which includes a port that is not the scheme's own. pywebpush 2.5.0 does so.
# Seen: https://push.example.com for an endpoint on port 8443. A service that compares refuses every message; self-hosted ones and test servers have such ports.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m pip install -q --disable-pip-version-check --target lib webpush==1.0.6 2> /dev/null
cat > main.py <<'END'
import base64
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from webpush import VAPID, WebPush, WebPushSubscription

private, public, _ = VAPID.generate_keys()
point = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
keys = {"p256dh": base64.urlsafe_b64encode(point).decode(), "auth": base64.urlsafe_b64encode(b"a" * 16).decode()}
push = WebPush(private_key=private, public_key=public, subscriber="admin@example.com")
for endpoint in ("https://push.example.com/device", "https://push.example.com:8443/device"):
    header = push.get("text", WebPushSubscription(endpoint=endpoint, keys=keys)).headers["authorization"]
    token = header.removeprefix("vapid t=").split(",")[0]
    print(endpoint, "aud:", jwt.decode(token, options={"verify_signature": False})["aud"])
END
seen=$(PYTHONPATH=lib python3 main.py)
expected='https://push.example.com/device aud: https://push.example.com
https://push.example.com:8443/device aud: https://push.example.com'
printf 'webpush 1.0.6:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
