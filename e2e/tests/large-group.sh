#!/usr/bin/env bash
# A group that is larger than what is looked up member by member: everybody who is there gets every message.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
report=$("$root/e2e/bench.sh" --connections 40 --group --members 2500 --rate 20 --seconds 5)
echo "$report"
node -e '
  const report = JSON.parse(require("node:fs").readFileSync(0));
  const expected = report.sent * (report.options.connections - 1);
  if (report.options.members !== 2500 || report.sent < 50 || report.failed || report.undelivered || report.delivered !== expected)
    throw new Error(`sent ${report.sent}, failed ${report.failed}, delivered ${report.delivered} of ${expected}`);
' <<< "$report"
