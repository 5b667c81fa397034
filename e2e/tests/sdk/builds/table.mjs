// The table of docs/COMPATIBILITY.md that says what works with which build of the SDKs, from e2e/sdk-builds.json.
//   table.mjs [--check]     writes it; with --check it only fails when the table, the versions or the scenarios are others than those of the last run
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { builds } from './list.mjs';
import { scenarios } from './scenarios.mjs';

const path = (name) => fileURLToPath(new URL(`../../../../${name}`, import.meta.url));
const page = path('docs/COMPATIBILITY.md');
const results = JSON.parse(readFileSync(path('e2e/sdk-builds.json'), 'utf8'));
const locked = JSON.parse(readFileSync(path('e2e/tests/sdk/package-lock.json'), 'utf8')).packages;

const problems = [];
const footnotes = [];
function cell(build, scenario) {
  const outcome = results[build.id]?.[scenario.title];
  const lacking = scenario.lacks?.[build.id];
  if (lacking && outcome === 'lacking') return `– (${footnotes.push(lacking)})`;
  if (lacking || outcome !== 'passed') problems.push(`${build.title}: '${scenario.title}' is ${outcome ?? 'not there'}`);
  return { passed: '✓', failed: '✗' }[outcome] ?? 'not run';
}
for (const build of builds) {
  const { version } = locked[`node_modules/${build.folder}`];
  if (!version.startsWith(build.version)) problems.push(`${build.title}: package-lock.json has ${version}`);
}
const titles = new Set(scenarios.map((scenario) => scenario.title));
for (const [id, outcomes] of Object.entries(results)) {
  for (const title of Object.keys(outcomes)) if (!titles.has(title)) problems.push(`${id}: there is no scenario '${title}' any more`);
}
const rows = scenarios.map((scenario) => `| ${scenario.title} | ${builds.map((build) => cell(build, scenario)).join(' | ')} |`);
const table = [
  `| scenario | ${builds.map((build) => `${build.title}<br>core ${build.core}, in ${build.where}`).join(' | ')} |`,
  `|---|${builds.map(() => '---|').join('')}`, ...rows,
  ...(footnotes.length > 0 ? ['', ...footnotes.map((text, index) => `${index + 1}. ${text}`)] : []),
].join('\n');

const [begin, end] = ['<!-- sdk-builds: by e2e/tests/sdk/builds/table.mjs -->', '<!-- end of sdk-builds -->'];
const before = readFileSync(page, 'utf8');
const now = before.replace(new RegExp(`${begin}[\\s\\S]*?${end}`), () => `${begin}\n${table}\n${end}`);
if (!before.includes(begin)) problems.push('docs/COMPATIBILITY.md has no place for the table');
if (process.argv[2] !== '--check') writeFileSync(page, now);
else if (now !== before) problems.push('docs/COMPATIBILITY.md has another table: run e2e/tests/sdk/builds/table.mjs');
if (problems.length > 0) console.error(`${problems.join('\n')}\ne2e/tests/sdk-builds.sh runs the scenarios again`);
process.exit(problems.length > 0 ? 1 : 0);
