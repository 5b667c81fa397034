#!/usr/bin/env bash
# npm prometheus-remote-write 0.5.1: labels are sent in the order in which the caller wrote them.
#
# Expected: the remote-write specification 1.0: labels MUST be sorted by name. Its types take labels as an object, whose order means nothing to a caller.
# Seen: __name__, zone, app as given, and labels of the options come before __name__ of the series. Receivers that hold to the specification refuse the
# series or keep the same one twice.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts prometheus-remote-write@0.5.1 > /dev/null
cat > main.js <<'END'
const { pushTimeseries } = require("prometheus-remote-write");
const { prometheus } = require("prometheus-remote-write/prom");
const { uncompress } = require("snappyjs");

const fetch = async (_, { body }) => {
  const { timeseries } = prometheus.WriteRequest.decode(uncompress(body));
  console.log(timeseries[0].labels.map((label) => label.name).join(" "));
  return { status: 204, statusText: "", text: async () => "" };
};
(async () => {
  const samples = [{ value: 1, timestamp: 1700000000000 }];
  await pushTimeseries({ labels: { __name__: "sent", zone: "b", app: "a" }, samples }, { url: "http://127.0.0.1", fetch });
  await pushTimeseries({ labels: { __name__: "sent" }, samples }, { url: "http://127.0.0.1", fetch, labels: { service: "push" } });
})();
END
seen=$(node main.js)
expected='__name__ zone app
service __name__'
printf 'prometheus-remote-write 0.5.1, labels of two series:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
