#!/usr/bin/env bash
# npm prometheus-query 3.5.1: a sample that is infinite is NaN for the caller.
#
# Expected: Infinity and -Infinity. Prometheus documents that samples are JSON strings since NaN, +Inf and -Inf are values of them.
# Seen: "+Inf" and "-Inf" both become NaN, since the parseFloat of JavaScript knows Infinity alone. A ratio whose divisor is zero is +Inf, and is not above
# any limit for the caller, so that a check for "too high" passes where it should fail first.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts prometheus-query@3.5.1 > /dev/null
cat > main.js <<'END'
const http = require("http");
const { PrometheusDriver } = require("prometheus-query");

const values = ["300", "+Inf", "-Inf", "NaN"];
const server = http.createServer((_, answer) => {
  const result = values.map((value) => ({ metric: {}, value: [1700000000, value] }));
  answer.end(JSON.stringify({ status: "success", data: { resultType: "vector", result } }));
}).listen(0, "127.0.0.1", async () => {
  const prometheus = new PrometheusDriver({ endpoint: `http://127.0.0.1:${server.address().port}` });
  const { result } = await prometheus.instantQuery("wait");
  result.forEach(({ value: { value } }, i) => console.log(`${values[i]} is ${value}, above 100: ${value > 100}`));
  server.close();
});
END
seen=$(node main.js)
expected='300 is 300, above 100: true
+Inf is NaN, above 100: false
-Inf is NaN, above 100: false
NaN is NaN, above 100: false'
printf 'prometheus-query 3.5.1:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
