// What the parts of soak depend on, and what e2e/soak.json remembers of them. A part is stale when something that it depends on has changed since it passed.
//   node e2e/soak.mjs stale                        the names of those that should run again
//   node e2e/soak.mjs order [PART… | stale]        names, shortest first
//   node e2e/soak.mjs list                         a table: which are stale, when each passed, how long it takes
//   node e2e/soak.mjs record PART SECONDS SEED
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const file = join(root, 'e2e/soak.json');
const operator = ['operator', 'crds', 'crates/topology', 'Cargo.lock'];
const services = ['crates', 'services', 'Cargo.lock'];
const checker = ['e2e/tools/checker', 'e2e/lib.sh'];
/** Paths in the repository; a folder stands for all that is in it. Parts that never ran here are taken to be the longer the later they are listed. */
const parts = {
  traces: [...services, 'e2e/tools/collector', 'e2e/tests/traces.sh', 'e2e/tests/lib/loopback.sh'],
  'gateway-api': [...operator, 'e2e/tests/gateway-api.sh'],
  delete: [...operator, ...checker, 'e2e/tests/delete.sh'],
  'api-server': ['operator', 'crds', 'crates/topology', ...checker, 'e2e/tools/cluster/localkube', 'e2e/tests/api-server.sh'],
  drain: [...operator, 'services/gateway', ...checker, 'e2e/tests/drain.sh'],
  'large-group': ['services/push', 'services/gateway', 'services/transfer', 'crates/presence', 'services/group', 'services/msg', 'e2e/tools/checker', 'e2e/tests/large-group.sh'],
  planted: ['services/transfer', 'crates/bus', 'services/server', 'e2e/tools/checker', 'e2e/tests/planted-bug.sh'],
  compose: ['compose.yaml', 'services/server', 'e2e/tests/compose.sh', 'e2e/tests/compose.mjs', 'e2e/tools/images', 'e2e/tools/cluster/compose.txt'],
  memory: [...services, 'e2e/tests/memory.sh', 'e2e/tests/memory.mjs', 'e2e/tests/lib/loopback.sh'],
  'sdk-builds': [...services, 'e2e/tests/sdk', 'e2e/tests/sdk-builds.sh', 'e2e/tests/lib/loopback.sh'],
  upgrade: [...operator, ...services, ...checker, 'e2e/tests/upgrade.sh'],
  nemeses: [...services, ...checker, 'e2e/tests/nemeses.sh', 'e2e/tests/lib/loopback.sh', 'e2e/tests/lib/clock.c'],
  sets: [...operator, ...services, ...checker, 'e2e/tests/sets.sh'],
  fleet: [...operator, 'e2e/fleet.sh'],
  properties: ['operator', 'crates/model', 'crates/protocol', 'Cargo.lock'],
  fuzz: ['crates/protocol', 'crates/model', 'e2e/tests/fuzz', 'e2e/tests/fuzz.sh'],
  simulation: ['operator', 'crds', 'crates/topology'],
};

const git = (...words) => execFileSync('git', words, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 });
const commit = () => git('rev-parse', '--short', 'HEAD').trim() + (git('status', '--porcelain', '-uno', '--', '.', ':!e2e/soak.json') ? ' and changes' : '');
/** Of the tracked files as they are now, committed or not. */
function sources(part) {
  const hash = createHash('sha256');
  for (const path of git('ls-files', '-z', '--', ...parts[part]).split('\0').filter(Boolean)) {
    hash.update(`${path}\0`).update(existsSync(join(root, path)) ? readFileSync(join(root, path)) : '').update('\0');
  }
  return hash.digest('hex').slice(0, 16);
}

const passed = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
const names = Object.keys(parts);
const stale = () => names.filter((name) => passed[name]?.sources !== sources(name));
const history = join(process.env.OPENIM_CACHE ?? join(homedir(), '.cache/openim'), 'history.tsv');
/** How long each took when it last passed on this machine, by its name. */
function measured() {
  const lines = existsSync(history) ? readFileSync(history, 'utf8').split('\n').map((line) => line.split('\t')) : [];
  return Object.fromEntries(lines.filter(([, , name, outcome]) => name in parts && outcome === 'ok').map(([, , name, , seconds]) => [name, Number(seconds)]));
}
/** Shortest first; of what was never measured nothing is known but its place in the table. */
function shortestFirst(wanted) {
  const took = measured();
  const seconds = (name) => took[name] ?? passed[name]?.seconds ?? Infinity;
  const place = (name) => names.indexOf(name);
  return wanted.toSorted((one, other) => (seconds(one) === seconds(other) ? place(one) - place(other) : seconds(one) - seconds(other)));
}
const [what, ...words] = process.argv.slice(2);
const [part, seconds, seed] = words;
if (what === 'stale') {
  console.log(stale().join(', '));
} else if (what === 'order') {
  const wanted = part === 'stale' && words.length === 1 ? stale() : part ? words : names;
  const unknown = wanted.filter((name) => !parts[name]);
  if (unknown.length > 0) {
    console.error(`unknown part '${unknown[0]}'; parts: ${shortestFirst(names).join(' ')}`);
    process.exit(2);
  }
  console.log(shortestFirst([...new Set(wanted)]).join('\n'));
} else if (what === 'list') {
  const [old, took] = [stale(), measured()];
  for (const name of shortestFirst(names)) {
    const { date = 'never', seconds: recorded } = passed[name] ?? {};
    const known = took[name] ?? recorded;
    console.log(`${name.padEnd(14)}${old.includes(name) ? 'stale' : '     '}  passed ${date.padEnd(18)}${known === undefined ? 'never measured' : `${known} s`}`);
  }
} else if (what === 'record' && parts[part]) {
  passed[part] = {
    sources: sources(part), date: new Date().toISOString().slice(0, 16), commit: commit(),
    profile: process.env.OPENIM_PROFILE, seed: Number(seed), seconds: Number(seconds),
  };
  const sorted = names.filter((name) => passed[name]).map((name) => `  ${JSON.stringify(name)}: ${JSON.stringify(passed[name])}`);
  writeFileSync(file, `{\n${sorted.join(',\n')}\n}\n`);
} else {
  console.error(`usage: soak.mjs stale | order [PART… | stale] | list | record PART SECONDS SEED; parts: ${names.join(' ')}`);
  process.exit(2);
}
