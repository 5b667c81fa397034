// What the last test run showed of the contract's routes, by kind of test. Fails when one of them was not shown to work.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

const here = fileURLToPath(new URL('.', import.meta.url));
const read = (path) => JSON.parse(readFileSync(path));
const routes = read(join(here, '../../services/api/routes.json'));
const out = join(here, '../out');
const records = existsSync(out) ? readdirSync(out).filter((name) => name.startsWith('shown-')) : [];
if (records.length === 0) {
  console.error('nothing was recorded yet: run `make test`');
  process.exit(1);
}
const all = records.map((name) => read(join(out, name)));
const shown = (path, kind) => all.some((record) => record[path]?.includes(kind));
function line(text, kind, wanted = () => true) {
  const total = routes.filter(wanted);
  console.log(`${text.padEnd(38)}${total.filter(({ path }) => shown(path, kind)).length} / ${total.length}`);
}
line('routes that work', 'works');
line('routes refused without a token', 'no token', (route) => route.token);
line('routes refused to ordinary users', 'foreign', (route) => route.admin);
line('routes that name what is missing', 'missing', (route) => route.requires);
line('routes refused on what is not one\'s own', 'foreign');
const missing = routes.map(({ path }) => path).filter((path) => !shown(path, 'works'));
if (missing.length > 0) {
  console.error(`not shown to work: ${missing.join(' ')}`);
  process.exit(1);
}
