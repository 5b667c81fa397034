#!/usr/bin/env bash
# npm sse-decoder 1.0.0: data of a server-sent event ends at U+2028, U+0085 or a vertical tab, and the rest of the line is gone; ids are not told at all.
#
# Expected: the HTML standard: lines end at LF, CR or CRLF alone. U+2028 may stand in a JSON text as it is. An event carries the last id.
# Seen: what follows the character is read as a line with an unknown field name and dropped, so that valid JSON arrives cut in two; eventsource-parser 4.1.3
# reads all of it. And a stream cannot be resumed, since "id" is neither in the event nor kept.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts sse-decoder@1.0.0 eventsource-parser@4.1.3 > /dev/null
cat > main.mjs <<'END'
import { LineDecoder, SSEDecoder } from "sse-decoder";
import { createParser } from "eventsource-parser";

const name = (text) => text.replace(/[^ -~]/g, (c) => `<${c.codePointAt(0).toString(16)}>`);
for (const text of ['{"text":"one\u2028two"}', '{"text":"one\u0085two"}']) {
  const stream = `id: 7\ndata: ${text}\n\n`;
  const lines = new LineDecoder(), decoder = new SSEDecoder();
  const one = lines.decode(new TextEncoder().encode(stream)).map((line) => decoder.decode(line)).filter(Boolean);
  const other = [];
  createParser({ onEvent: (event) => other.push(event) }).feed(stream);
  console.log("sse-decoder:", name(one[0].data), one[0].id, "eventsource-parser:", name(other[0].data), other[0].id);
}
END
seen=$(node main.mjs)
expected='sse-decoder: {"text":"one undefined eventsource-parser: {"text":"one<2028>two"} 7
sse-decoder: {"text":"one undefined eventsource-parser: {"text":"one<85>two"} 7'
printf 'data and id:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
