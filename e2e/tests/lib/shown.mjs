// What tests showed of the contract's routes, for `make contract`.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
export const routes = JSON.parse(readFileSync(join(here, '../../../services/api/routes.json'), 'utf8'));
const shown = Object.fromEntries(routes.map(({ path }) => [path, []]));

export const show = (path, what) => { if (!shown[path].includes(what)) shown[path].push(what); };
export function save(name) {
  const out = join(here, '../../out');
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, `shown-${name}.json`), JSON.stringify(shown));
}
