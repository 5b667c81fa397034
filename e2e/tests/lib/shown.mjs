// What tests showed of the contract, for `make contract`: of each route, and the numbers that were seen (errors, requests, notifications …).
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { routes } from './routes.mjs';

const here = dirname(fileURLToPath(import.meta.url));
export { routes };
const shown = Object.fromEntries(routes.map(({ path }) => [path, []]));
const numbers = {};

export const show = (path, what) => { if (!shown[path].includes(what)) shown[path].push(what); };
/** A number of the contract was seen at work: `errors`, `requests`, `pushes`, `content types`, `notifications`, `hooks`. */
export const see = (kind, number) => { (numbers[kind] ??= new Set()).add(number); };
export function save(name) {
  const out = join(here, '../../out');
  mkdirSync(out, { recursive: true });
  const seen = Object.fromEntries(Object.entries(numbers).map(([kind, set]) => [kind, [...set]]));
  writeFileSync(join(out, `shown-${name}${process.env.OPENIM_SHOWN ?? ''}.json`), JSON.stringify({ routes: shown, seen }));
}
