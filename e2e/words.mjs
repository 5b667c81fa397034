// Fails if a text for users or a doc comment contains a phrase of words.tsv. Quotes that have to stay are listed in words-allowed.tsv.
//   node e2e/words.mjs [FOLDER]
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const root = process.argv[2] ?? ".";
const table = (file) => readFileSync(new URL(file, import.meta.url), "utf8").split("\n").filter((line) => line && !line.startsWith("#")).map((line) => line.split("\t"));
const phrases = table("words.tsv").map(([phrase, why, instead]) => ({ pattern: new RegExp(`(?<![\\w-])(?:${phrase})(?![\\w-])`, "gi"), why, instead }));
const allowed = table("words-allowed.tsv").map(([file, quote]) => ({ file, quote, used: false }));

// What a reader meets in a file, as pairs of line number and text.
const lines = (text) => text.split("\n").map((line, index) => [index + 1, line]);
function rust(text) {
  const found = [];
  for (const [number, line] of lines(text.split(/^#\[cfg\(test\)\]\nmod \w+ \{/m)[0])) {
    const comment = line.match(/^\s*\/\/[/!](.*)/);
    if (comment) found.push([number, comment[1]]);
    else if (!/^\s*\/\//.test(line)) for (const [, literal] of line.matchAll(/"((?:[^"\\]|\\.)*)"?/g)) if (literal.includes(" ")) found.push([number, literal]);
  }
  return found;
}
const kinds = [
  [/^(?!.*(node_modules|\.test\.|(^|\/)(tests?|testing|fuzz|golden)\/|\/tests?\.rs$)).*\.rs$/, rust],
  [/^(?!findings\/).*\.md$/, lines],
  [/^(charts|config|crds)\/.*\.(ya?ml|txt|tpl|json)$/i, lines],
  [/^(Makefile|compose\.yaml|Dockerfile|\.github\/.*\.yml|e2e\/[^/]*\.sh)$/, lines],
  [/^services\/api\/routes\.json$/, lines],
];

const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: root, encoding: "utf8" }).split("\n").filter(Boolean);
const wrong = [];
let read = 0;
for (const file of new Set(files)) {
  const texts = kinds.find(([pattern]) => pattern.test(file))?.[1];
  if (!texts || file.includes("node_modules")) continue;
  let content;
  try { content = readFileSync(join(root, file), "utf8"); } catch { continue; } // deleted, not yet committed
  read += 1;
  for (let [number, text] of texts(content)) {
    for (const entry of allowed) if (entry.file === file && text.includes(entry.quote)) {
      entry.used = true;
      text = text.replaceAll(entry.quote, "");
    }
    for (const { pattern, why, instead } of phrases)
      for (const [found] of text.matchAll(pattern)) wrong.push(`${file}:${number}: "${found}": ${why}; write ${instead}`);
  }
}
if (root === ".") for (const { file, quote, used } of allowed) if (!used) wrong.push(`e2e/words-allowed.tsv: ${file} no longer contains "${quote}"`);
if (read === 0) wrong.push("there is nothing to read");
if (wrong.length > 0) {
  console.error(wrong.join("\n"));
  process.exit(1);
}
console.log(`${read} files, none of ${phrases.length} phrases`);
