#!/usr/bin/env bash
# npm parse-prometheus-text-format 1.1.1: a histogram or summary that has labels is read as one without, and the last series overwrites the others.
#
# Expected: one entry for each set of labels, with its own buckets, sum and count, as counters have it in the same package and as the text format says.
# Seen: two routes with 1 and 700 requests become one entry with neither labels nor sum nor count; the 1 is gone. Without labels all of it is there.
# Whoever computes latencies from the scrape of a server with labelled histograms has those of whichever series came last.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts parse-prometheus-text-format@1.1.1 > /dev/null
cat > main.mjs <<'END'
import parse from "parse-prometheus-text-format";

const series = (labels, n) => `wait_bucket{${labels}le="0.5"} ${n}
wait_bucket{${labels}le="+Inf"} ${n}
wait_sum${labels && `{${labels}}`} ${n}
wait_count${labels && `{${labels}}`} ${n}
`;
const show = (name, text) => console.log(name, JSON.stringify(parse(text)[0].metrics));
show("counters:", '# TYPE sent counter\nsent{route="a"} 1\nsent{route="b"} 700\n');
show("no labels:", "# TYPE wait histogram\n" + series("", 1));
show("two routes:", "# TYPE wait histogram\n" + series('route="a",', 1) + series('route="b",', 700));
END
seen=$(node main.mjs)
expected='counters: [{"value":"1","labels":{"route":"a"}},{"value":"700","labels":{"route":"b"}}]
no labels: [{"buckets":{"0.5":"1","+Inf":"1"},"count":"1","sum":"1"}]
two routes: [{"buckets":{"0.5":"700","+Inf":"700"}}]'
printf 'parse-prometheus-text-format 1.1.1:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
