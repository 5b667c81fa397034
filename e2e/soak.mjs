// What the parts of soak depend on, and what e2e/soak.json remembers of them. A part is stale when something that it depends on has changed since it passed.
//   node e2e/soak.mjs stale | record PART SECONDS SEED
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const file = join(root, 'e2e/soak.json');
const operator = ['operator', 'crds', 'Cargo.lock'];
const services = ['crates', 'services', 'Cargo.lock'];
const checker = ['e2e/tools/checker', 'e2e/lib.sh'];
/** Paths in the repository; a folder stands for all that is in it. */
const parts = {
  properties: ['operator', 'crates/model', 'crates/protocol', 'Cargo.lock'],
  nemeses: [...services, ...checker, 'e2e/tests/nemeses.sh', 'e2e/tests/lib/loopback.sh', 'e2e/tests/lib/clock.c'],
  compose: ['compose.yaml', 'services/server', 'e2e/tests/compose.sh', 'e2e/tests/compose.mjs', 'e2e/tools/images', 'e2e/tools/cluster/compose.txt'],
  memory: [...services, 'e2e/tests/memory.sh', 'e2e/tests/memory.mjs', 'e2e/tests/lib/loopback.sh'],
  'sdk-builds': [...services, 'e2e/tests/sdk', 'e2e/tests/sdk-builds.sh', 'e2e/tests/lib/loopback.sh'],
  fuzz: ['crates/protocol', 'crates/model', 'e2e/tests/fuzz', 'e2e/tests/fuzz.sh'],
  'api-server': ['operator', 'crds', ...checker, 'e2e/tools/cluster/localkube', 'e2e/tests/api-server.sh'],
  delete: [...operator, ...checker, 'e2e/tests/delete.sh'],
  drain: [...operator, 'services/gateway', ...checker, 'e2e/tests/drain.sh'],
  'gateway-api': [...operator, 'e2e/tests/gateway-api.sh'],
  'large-group': ['services/push', 'services/gateway', 'services/transfer', 'crates/presence', 'services/group', 'services/msg', 'e2e/tools/checker', 'e2e/tests/large-group.sh'],
  traces: [...services, 'e2e/tools/collector', 'e2e/tests/traces.sh', 'e2e/tests/lib/loopback.sh'],
  upgrade: [...operator, ...services, ...checker, 'e2e/tests/upgrade.sh'],
  sets: [...operator, ...services, ...checker, 'e2e/tests/sets.sh'],
  planted: ['services/transfer', 'crates/bus', 'services/server', 'e2e/tools/checker', 'e2e/tests/planted-bug.sh'],
  fleet: [...operator, 'e2e/fleet.sh'],
  simulation: ['operator', 'crds'],
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
const [what, part, seconds, seed] = process.argv.slice(2);
if (what === 'stale') {
  console.log(Object.keys(parts).filter((name) => passed[name]?.sources !== sources(name)).join(', '));
} else if (what === 'record' && parts[part]) {
  passed[part] = {
    sources: sources(part), date: new Date().toISOString().slice(0, 16), commit: commit(),
    profile: process.env.OPENIM_PROFILE, seed: Number(seed), seconds: Number(seconds),
  };
  const sorted = Object.keys(parts).filter((name) => passed[name]).map((name) => `  ${JSON.stringify(name)}: ${JSON.stringify(passed[name])}`);
  writeFileSync(file, `{\n${sorted.join(',\n')}\n}\n`);
} else {
  console.error(`usage: soak.mjs stale | record PART SECONDS SEED; parts: ${Object.keys(parts).join(' ')}`);
  process.exit(2);
}
