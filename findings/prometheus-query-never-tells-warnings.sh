#!/usr/bin/env bash
# npm prometheus-query 3.5.1: the hook for warnings is never called.
#
# Expected: warningHook, "a hook for handling warning messages", gets the "warnings" of an answer, which Prometheus puts beside "data" in the JSON.
# Seen: they are looked for on the HTTP answer and not in its body. That a part of the stores did not answer, as Prometheus and Thanos say in a warning, goes
# unnoticed, and the result that is not complete is taken for all of it.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts prometheus-query@3.5.1 > /dev/null
cat > main.js <<'END'
const http = require("http");
const { PrometheusDriver } = require("prometheus-query");

const server = http.createServer((_, answer) => {
  const data = { resultType: "vector", result: [{ metric: {}, value: [1700000000, "5"] }] };
  answer.setHeader("Content-Type", "application/json");
  answer.end(JSON.stringify({ status: "success", warnings: ["one store did not answer"], data }));
}).listen(0, "127.0.0.1", async () => {
  const told = [];
  const endpoint = `http://127.0.0.1:${server.address().port}`;
  const prometheus = new PrometheusDriver({ endpoint, warningHook: (warnings) => told.push(...warnings) });
  const { result } = await prometheus.instantQuery("sent");
  console.log(`samples: ${result.length}, warnings told: ${told.length} of 1`);
  server.close();
});
END
seen=$(node main.js)
expected='samples: 1, warnings told: 0 of 1'
printf 'prometheus-query 3.5.1:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
