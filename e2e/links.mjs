// Every link of the docs leads somewhere: to a file of the repository, and to a heading where it names one; and every docs/ page that a comment names exists.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { encoding: "utf8" })
  .split("\n").filter((file) => file && existsSync(file) && statSync(file).isFile());
const wrong = [];

// As GitHub makes them: lower case, without punctuation, spaces as hyphens.
const anchor = (heading) => heading.trim().toLowerCase().replace(/`|\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");
const anchors = new Map();
const anchors_of = (file) => {
  if (!anchors.has(file)) {
    const text = readFileSync(file, "utf8").replace(/^```[\s\S]*?^```/gm, "");
    anchors.set(file, new Set([...text.matchAll(/^#{1,6} (.*)$/gm)].map((match) => anchor(match[1]))));
  }
  return anchors.get(file);
};

let links = 0;
const check = (from, target, base) => {
  links += 1;
  const [path, fragment] = target.split("#");
  const file = path === "" ? from : normalize(join(base, path));
  if (!existsSync(file)) return wrong.push(`${from}: ${target} is not there`);
  if (fragment && file.endsWith(".md") && !anchors_of(file).has(fragment)) wrong.push(`${from}: ${target} has no such heading`);
};

for (const file of files.filter((file) => file.endsWith(".md"))) {
  const text = readFileSync(file, "utf8").replace(/^```[\s\S]*?^```/gm, "").replace(/`[^`\n]*`/g, "");
  for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) if (!/^[a-z]+:/.test(target)) check(file, target, dirname(file));
}
// In comments and texts of programs: paths from the root of the repository.
const sources = files.filter((file) => /\.(rs|mjs|sh|go|proto|toml|ya?ml|md)$/.test(file) && !file.includes("node_modules"));
for (const file of sources) {
  for (const [, target] of readFileSync(file, "utf8").matchAll(/(?<![\w/.-])(docs\/[\w/.-]+\.md(?:#[\w-]+)?)/g)) check(file, target, ".");
}
// Every decision is in the index.
const index = readFileSync("docs/adr/README.md", "utf8");
for (const file of files.filter((file) => /^docs\/adr\/\d+-.*\.md$/.test(file)))
  if (!index.includes(`](${file.slice("docs/adr/".length)})`)) wrong.push(`docs/adr/README.md does not list ${file}`);
if (wrong.length > 0) {
  console.error(wrong.join("\n"));
  process.exit(1);
}
console.log(`${links} links lead somewhere`);
