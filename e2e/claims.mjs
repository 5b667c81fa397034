// Checks the tables of docs/TESTING.md: files and quoted tests exist, what the table says runs a test does, and no test is missing.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const read = (path) => readFileSync(join(root, path), 'utf8');
const page = process.argv[2] ?? 'docs/TESTING.md';
const problems = [];

/** The rows below a head, as {head: cell}. */
function table(text, ...heads) {
  const lines = text.split('\n');
  const first = lines.indexOf(`| ${heads.join(' | ')} |`);
  if (first < 0) problems.push(`${page}: there is no table "${heads.join(' | ')}"`);
  const rows = [];
  for (let at = first + 2; first >= 0 && lines[at]?.startsWith('|'); at++) {
    const cells = lines[at].slice(1, -1).split(' | ').map((cell) => cell.trim());
    if (cells.length !== heads.length) problems.push(`${page}, line ${at + 1}: ${cells.length} cells, not ${heads.length}`);
    rows.push({ line: at + 1, ...Object.fromEntries(heads.map((head, index) => [head, cells[index] ?? ''])) });
  }
  return rows;
}
/** A file as the tables name it: in the repository, or in e2e/tests. */
const located = (name) => [name, join('e2e/tests', name)].find((path) => existsSync(join(root, path)));
const named = /\.(sh|mjs|rs|toml|yml|yaml|json)$/;
/** What stands in code marks, without the words before and after a file's name. */
const files = (cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code.split(' ').find((word) => named.test(word) || word.includes('/'))).filter((word) => word && !word.includes('*'));
/** Files, and the tests that are quoted after each. */
function references(cell) {
  const found = [];
  for (const [, code, quoted] of cell.matchAll(/`([^`]+)`|"([^"]+)"/g)) {
    if (quoted === undefined) found.push({ code, tests: [] });
    else found.findLast(({ code: name }) => name.endsWith('.test.mjs') || name.endsWith('.rs'))?.tests.push(quoted);
  }
  return found;
}

const commands = (path) => read(path).replace(/^\s*#.*$/gm, '');
const text = read(page);
const claims = table(text, 'claim', 'layer', 'test', 'run by');
const moved = table(text, 'claim', 'before', 'layer', 'now');
const gate = commands('e2e/test.sh') + commands('e2e/checks.sh');
const soak = read('e2e/soak.sh') + read('e2e/soak.mjs');
const layers = new Set('ABCDE');
const mentioned = new Set();

for (const row of [...claims, ...moved]) {
  const where = `${page}, line ${row.line}`;
  const cell = row.test ?? row.now;
  for (const layer of row.layer.split(', ')) if (!layers.has(layer)) problems.push(`${where}: '${layer}' is no layer`);
  for (const name of files(cell)) {
    const path = located(name);
    if (path) mentioned.add(path);
    else problems.push(`${where}: there is no ${name}`);
  }
  for (const { code, tests } of references(cell)) {
    for (const name of tests) {
      const path = located(code);
      if (path && !read(path).includes(name)) problems.push(`${where}: ${code} has no test "${name}"`);
    }
  }
}
const names = (script, name) => new RegExp(`(^|[^a-z-])${name.replaceAll('.', '\\.')}\\b`, 'm').test(script);
/** The scripts of tests that have this name in a command. */
const scripts = readdirSync(join(root, 'e2e/tests')).filter((name) => name.endsWith('.sh') && name !== 'claims.sh').map((name) => [name, commands(`e2e/tests/${name}`)]);
const callers = (name) => scripts.filter(([caller, script]) => caller !== name && names(script, name)).map(([caller]) => caller);
const runs = (script, name) => [name, ...callers(name)].some((caller) => names(script, caller));
for (const row of claims) {
  const where = `${page}, line ${row.line}`;
  const ofTests = files(row.test).filter((name) => /\.(sh|mjs)$/.test(name) && !name.includes('tools/') && name !== 'e2e/test.sh' && name !== 'e2e/checks.sh');
  const by = row['run by'];
  if (!/gate|soak `|GitHub/.test(by)) problems.push(`${where}: '${by}' runs nothing`);
  for (const [, part] of by.matchAll(/soak `([a-z-]+)`/g)) {
    if (!new RegExp(`^  '?${part}'?:`, 'm').test(read('e2e/soak.mjs'))) problems.push(`${where}: soak has no part ${part}`);
  }
  for (const name of ofTests) {
    const runners = [[/gate/, gate], [/soak/, soak], [/GitHub/, existsSync(join(root, '.github/workflows/kind-test.yml')) ? read('.github/workflows/kind-test.yml') : '']];
    const isRun = runners.some(([kind, script]) => kind.test(by) && (runs(script, basename(name)) || by.includes(basename(name, '.sh'))));
    if (!isRun) problems.push(`${where}: ${name} is not run by ${by}`);
  }
}
const tests = [
  ...readdirSync(join(root, 'e2e/tests')).filter((name) => /(\.sh|\.test\.mjs)$/.test(name)).map((name) => join('e2e/tests', name)),
  ...['operator/tests', 'operator/planner/tests'].flatMap((folder) => readdirSync(join(root, folder)).filter((name) => name.endsWith('.rs')).map((name) => join(folder, name))),
];
for (const path of tests) if (!mentioned.has(path) && !text.includes(`\`${basename(path)}\``)) problems.push(`${path} is in no table of ${page}`);

if (problems.length > 0) console.error(problems.join('\n'));
else console.log(`${claims.length} claims, ${moved.length} that moved, ${tests.length} tests`);
process.exit(problems.length > 0 ? 1 : 0);
