// The table of docs/COMPATIBILITY.md of what upstream's server fixed since June 2024, from fixes.json beside this file.
//   fixes.mjs [--check]     writes it; with --check it only fails when the table is another one, or a test that it names is not there
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (name) => fileURLToPath(new URL(`../../../${name}`, import.meta.url));
const page = path('docs/COMPATIBILITY.md');
const fixes = JSON.parse(readFileSync(new URL('fixes.json', import.meta.url), 'utf8'));

const problems = [];
// `test('…'` or `route('…'` in JavaScript, a function with #[test] in Rust.
const hasTest = ({ file, test }) => existsSync(path(file)) && (file.endsWith('.rs') ? [`fn ${test}(`] : ['test', 'route'].map((kind) => `${kind}('${test.replaceAll("'", "\\'")}'`))
  .some((text) => readFileSync(path(file), 'utf8').includes(text));
function shownBy(fix) {
  if (fix.class === 'none') return 'not applicable';
  if (fix.class !== 'tested') problems.push(`${fix.subject}: '${fix.class}' is neither 'tested' nor 'none'`);
  else if (!hasTest(fix)) problems.push(`${fix.subject}: ${fix.file} has no test '${fix.test}'`);
  return `\`${fix.file}\`: ${fix.test}`;
}
const rows = fixes.map((fix) => `| ${fix.subject} (${fix.refs.join(', ')}) | ${fix.right} | ${shownBy(fix)} |`);
const table = ['| fixed upstream | here | test |', '|---|---|---|', ...rows].join('\n');

const [begin, end] = ['<!-- fixes: by e2e/tools/contract/fixes.mjs -->', '<!-- end of fixes -->'];
const before = readFileSync(page, 'utf8');
const now = before.replace(new RegExp(`${begin}[\\s\\S]*?${end}`), () => `${begin}\n${table}\n${end}`);
if (!before.includes(begin)) problems.push('docs/COMPATIBILITY.md has no place for the table');
if (process.argv[2] !== '--check') writeFileSync(page, now);
else if (now !== before) problems.push('docs/COMPATIBILITY.md has another table: run e2e/tools/contract/fixes.mjs');
if (problems.length > 0) console.error(problems.join('\n'));
process.exit(problems.length > 0 ? 1 : 0);
