// Checks that every link in the docs leads to a file of the repository, and to a heading if it names one; that every docs/ page and source file named in a
// text or comment exists; and that the book lists every page. With --site FOLDER it checks the links of the built website instead.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

if (process.argv[2] === "--site") {
  const site = process.argv[3];
  const broken = [];
  const pages = readdirSync(site, { recursive: true }).filter((file) => file.endsWith(".html") && !["print.html", "404.html", "toc.html"].includes(file));
  for (const page of pages) {
    const text = readFileSync(join(site, page), "utf8").replace(/<(script|style)[\s\S]*?<\/\1>/g, "").replace(/<code[\s\S]*?<\/code>/g, "");
    for (const [, target] of text.matchAll(/(?:href|src)="([^"]+)"/g)) {
      if (/^([a-z]+:|#|\/\/|data:)/.test(target)) continue;
      const [path, fragment] = target.split("#");
      const file = join(site, dirname(page), decodeURIComponent(path));
      if (!existsSync(file)) broken.push(`${page}: ${target} is not there`);
      else if (fragment && file.endsWith(".html") && !readFileSync(file, "utf8").includes(`id="${fragment}"`)) broken.push(`${page}: ${target} has no such heading`);
    }
  }
  if (broken.length > 0 || pages.length === 0) {
    console.error(broken.join("\n") || `${site} has no pages`);
    process.exit(1);
  }
  console.log(`${pages.length} pages, every link leads somewhere`);
  process.exit(0);
}

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
// A source file is named by its path, or by the end of it (gateway/src/drain.rs). What once existed may be named by the changelog.
const paths = `/${files.join("\n/")}\n`;
const exempt = new Set(["CHANGELOG.md", "e2e/tests/words.sh"]); // the latter invents files
for (const file of sources.filter((file) => !exempt.has(file) && !file.endsWith(".proto"))) {
  for (const [, target] of readFileSync(file, "utf8").matchAll(/(?<![\w/.$}\\-])((?:[\w-]+\/)+[\w-]+\.(?:rs|mjs|sh|py|tsv|proto))\b/g)) {
    links += 1;
    if (!paths.includes(`/${target}\n`)) wrong.push(`${file}: ${target} is not there`);
  }
}
// Every page is in the book, every decision also in the index.
const summary = readFileSync("docs/SUMMARY.md", "utf8");
for (const file of files.filter((file) => /^docs\/.*\.md$/.test(file) && file !== "docs/SUMMARY.md"))
  if (!summary.includes(`](${file.slice("docs/".length)})`)) wrong.push(`docs/SUMMARY.md does not list ${file}`);
const index = readFileSync("docs/adr/README.md", "utf8");
for (const file of files.filter((file) => /^docs\/adr\/\d+-.*\.md$/.test(file)))
  if (!index.includes(`](${file.slice("docs/adr/".length)})`)) wrong.push(`docs/adr/README.md does not list ${file}`);
// Every page of the protocol is named by the code that keeps it.
const code = sources.filter((file) => file.endsWith(".rs")).map((file) => readFileSync(file, "utf8")).join("\n");
for (const file of files.filter((file) => /^docs\/protocol\/(?!README)/.test(file))) if (!code.includes(file)) wrong.push(`no source names ${file}, which it keeps`);
if (wrong.length > 0) {
  console.error(wrong.join("\n"));
  process.exit(1);
}
console.log(`${links} links lead somewhere`);
