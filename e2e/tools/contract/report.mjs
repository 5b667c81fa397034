// What the last test run showed of the contract: routes by kind of test, and the numbers and names of contract.json. Fails when something
// that is asked for was not seen.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { routes } from '../../tests/lib/routes.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const text = (path) => readFileSync(join(here, path), 'utf8');
const read = (path) => JSON.parse(text(path));
const out = join(here, '../../out');
const records = existsSync(out) ? readdirSync(out).filter((name) => name.startsWith('shown-')) : [];
if (records.length === 0) {
  console.error('nothing was recorded yet: run `make test`');
  process.exit(1);
}
const all = records.map((name) => read(`../../out/${name}`));
const problems = [];
const row = (name, count, total, note = '') => console.log(`${name.padEnd(38)}${String(count).padStart(4)} / ${total}${note && `   ${note}`}`);

const shown = (path, kind) => all.some((record) => record.routes[path]?.includes(kind));
function line(name, kind, wanted = () => true) {
  const total = routes.filter(wanted);
  row(name, total.filter(({ path }) => shown(path, kind)).length, total.length);
}
line('routes of upstream that work', 'works', (route) => !route.beyond);
line('routes beyond upstream that work', 'works', (route) => route.beyond);
line('routes refused without a token', 'no token', (route) => route.token);
line('routes refused to ordinary users', 'foreign', (route) => route.admin);
line('routes that name what is missing', 'missing', (route) => route.requires);
line('routes refused on what is not one\'s own', 'foreign');
const silent = routes.map(({ path }) => path).filter((path) => !shown(path, 'works'));
if (silent.length > 0) problems.push(`routes that were not shown to work: ${silent.join(' ')}`);

const contract = read('contract.json');
contract.hooks.all = text('../../../config/webhooks.yaml').match(/^[a-zA-Z]+(?=: \{enable)/gm);
for (const kind of ['requests', 'pushes', 'content types', 'notifications', 'hooks', 'errors']) {
  const { all: listed, not } = contract[kind];
  const seen = new Set(all.flatMap((record) => record.seen[kind] ?? []));
  const missing = listed.filter((item) => !seen.has(item) && !(item in not));
  const excused = Object.keys(not).length;
  row(kind, listed.filter((item) => seen.has(item)).length, listed.length, excused ? `${excused} have a reason not to be` : '');
  if (missing.length > 0) problems.push(`${kind} that were not seen: ${missing.join(' ')}`);
  const idle = Object.keys(not).filter((item) => seen.has(item) || seen.has(Number(item)));
  if (idle.length > 0) problems.push(`${kind} that were seen though contract.json says why not: ${idle.join(' ')}`);
}

const schema = read('../../../config/config.schema.json');
const resolve = (node) => (node?.$ref ? schema.$defs[node.$ref.split('/').at(-1)] : node);
const known = (key) => Boolean(key.split('.').reduce((node, part) => resolve(resolve(node)?.properties?.[part]), schema));
const { all: mapped, not } = contract['config keys'];
const there = Object.values(mapped).filter(known);
row('configuration keys of upstream', there.length, Object.keys(mapped).length + Object.keys(not).length, `${Object.keys(not).length} have a reason not to be`);
const lost = Object.entries(mapped).filter(([, key]) => !known(key)).map(([key, to]) => `${key} (${to})`);
if (lost.length > 0) problems.push(`configuration keys that the schema lacks: ${lost.join(' ')}`);

for (const problem of problems) console.error(problem);
process.exit(problems.length > 0 ? 1 : 0);
