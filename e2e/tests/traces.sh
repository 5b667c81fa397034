#!/usr/bin/env bash
# Traces at a real OpenTelemetry collector: what a message costs is one trace through the gateway and the services behind it, batches are spans of their own,
# and a collector that is unavailable stops nothing.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
prepare() { "$root/e2e/tools/cluster/build.sh" collector; }
. "$root/e2e/tests/lib/loopback.sh"
start_servers
write_config "${plain[@]}" \
  'traces: {endpoint: "http://127.0.0.1:23317", sampleOneIn: 1}'
cat > "$work/collector.yaml" <<'END_OF_FILE'
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:23317"}}}}
exporters: {debug: {verbosity: detailed}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [otlp], exporters: [debug]}}
END_OF_FILE

echo "a collector that is unavailable stops nothing"
start all env IMENV_LOG_LEVEL=info,openim_rpc=debug "$server" all --config "$work/config"
until_ready all 23000
check 5

echo "with it, a message is one trace, and a batch is a span"
start collector "$bin/collector" --config "$work/collector.yaml"
until_listens collector 23317
check 5
echo "a line of the log has the operation id of its request"
refused=$(curl -s -H 'operationID: of-this-test' -H 'token: none' -H 'content-type: application/json' -d '{"userIDs":["u"]}' http://127.0.0.1:23002/user/get_users_info)
[[ $refused == *'"errCode":15'* ]] || { echo "not refused: $refused"; exit 1; }
# A thread of its own writes the log.
noted() { grep -h '"message":"rpc.refused"' "$work"/log/all.*.log | grep '"rpc":"auth/parseToken"' | grep -c '"operation_id":"of-this-test"'; }
eventually 1 noted
stop all TERM
stop collector TERM
node -e '
  const spans = fs.readFileSync(process.argv[1], "utf8").split(/^Span #\d+$/m).slice(1).map((text) => {
    const field = (name) => text.match(new RegExp(`^    ${name} *: (.*)$`, "m"))?.[1].trim() ?? "";
    const attribute = (name) => text.match(new RegExp(`-> ${name}: \\w+\\((.*)\\)$`, "m"))?.[1] ?? "";
    return { trace: field("Trace ID"), parent: field("Parent ID"), id: field("ID"), name: field("Name"), attribute };
  });
  const sent = spans.find((span) => span.attribute("rpc") === "msg/sendMsg" && span.parent !== "");
  const request = spans.find((span) => span.id === sent?.parent);
  const problems = [];
  if (!request || request.name !== "request" || request.trace !== sent.trace) problems.push("no request of a socket leads to msg/sendMsg");
  if (request?.attribute("operation_id") !== sent?.attribute("operation_id")) problems.push("its operation id is not that of its request");
  for (const topic of ["toTransfer", "toPush"]) {
    if (!spans.some((span) => span.name === "batch" && span.attribute("batch").startsWith(`${topic}/`))) problems.push(`no batch of ${topic}`);
  }
  const registered = spans.filter((span) => span.name === "request" && span.attribute("route") === "/user/user_register");
  if (!registered.some((span) => span.attribute("operation_id") !== "" && span.attribute("caller") === "imAdmin")) problems.push("no REST request of the administrator");
  const opened = spans.filter((span) => span.name === "handshake" && span.attribute("operation_id") !== "");
  if (!opened.some((span) => span.attribute("caller") !== "")) problems.push("no handshake with its operation and its caller");
  console.log(`${spans.length} spans`);
  if (problems.length > 0) { console.error(problems.join("\n")); console.error(sent, request); process.exit(1); }
' "$work/collector.out"
