// Writes docs/badges/*.svg from facts of the repository; with --check it fails if one is out of date.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { routes } from "./tests/lib/routes.mjs";

const read = (file) => readFileSync(new URL(`../${file}`, import.meta.url), "utf8");
const cargo = read("Cargo.toml");
const found = (text, pattern) => text.match(pattern)[1];
const badges = {
  version: ["version", found(cargo, /^version = "(.*)"/m)],
  licence: ["licence", found(cargo, /^license = "(.*)"/m)],
  openim: ["OpenIM", "v3.8 compatible"],
  routes: ["REST routes", String(routes.filter((route) => !route.beyond).length)],
  rust: ["Rust", found(read("rust-toolchain.toml"), /channel = "(.*)"/)],
};

const width = (text) => Math.round(text.length * 6.6) + 14;
function svg(label, value) {
  const [left, right] = [width(label), width(value)];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${left + right}" height="20" role="img" aria-label="${label}: ${value}">
<rect width="${left + right}" height="20" rx="3" fill="#2f6fb5"/><path d="M3 0h${left - 3}v20H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3z" fill="#444c56"/>
<g fill="#fff" text-anchor="middle" font-family="Verdana, DejaVu Sans, sans-serif" font-size="11"><text x="${left / 2}" y="14">${label}</text><text x="${left + right / 2}" y="14">${value}</text></g>
</svg>
`;
}

const folder = new URL("../docs/badges/", import.meta.url);
mkdirSync(folder, { recursive: true });
const stale = [];
for (const [name, [label, value]] of Object.entries(badges)) {
  const file = new URL(`${name}.svg`, folder);
  const wanted = svg(label, value);
  if (existsSync(file) && readFileSync(file, "utf8") === wanted) continue;
  stale.push(`docs/badges/${name}.svg`);
  if (!process.argv.includes("--check")) writeFileSync(file, wanted);
}
if (process.argv.includes("--check") && stale.length > 0) {
  console.error(`${stale.join(", ")}: out of date, run make badges`);
  process.exit(1);
}
