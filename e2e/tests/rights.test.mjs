// The operator's rights: enough for everything it did while the tests ran, and nothing that it never needed.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { LIMITED } from './sdk/lib/wait.mjs';

const { AUDIT_LOGS: folders, KUBECONFIG: kubeconfig } = process.env;
const rules = (kind, ...where) =>
  JSON.parse(execFileSync('kubectl', ['--kubeconfig', kubeconfig, 'get', kind, ...where, '-o', 'json'], LIMITED)).rules;
const granted = new Set([...rules('clusterrole', 'openim-operator'), ...rules('role', 'openim-operator-lease', '-n', 'openim-system')].flatMap(
  ({ apiGroups, resources, verbs }) => apiGroups.flatMap((group) => resources.flatMap((resource) => verbs.map((verb) => `${verb} ${resource} ${group}`)))));

// The newest file may end in the middle of a line.
const logs = folders.split(':').flatMap((folder) => readdirSync(folder).filter((name) => name.startsWith('operator-audit')).map((name) => join(folder, name)));
const lines = logs.flatMap((log) => readFileSync(log, 'utf8').split('\n').slice(0, -1));
const requests = lines.map((line) => JSON.parse(line)).filter(({ objectRef }) => objectRef?.resource);
const name = ({ verb, objectRef: { resource, subresource, apiGroup = '' } }) => `${verb} ${resource}${subresource ? `/${subresource}` : ''} ${apiGroup}`;
const used = new Set(requests.map(name));

// What no request shows.
const silent = {
  'get openimclusters openim.io': 'granted to consoles: nobody can grant what they do not have',
  'update openimclusters/finalizers openim.io': 'asked for by an admission plugin where owner references block deletion; it is not on everywhere',
  'update secrets ': 'completes the credentials of a cluster that an earlier version made',
};
const shown = (right) => {
  const [verb, ...of] = right.split(' ');
  // A patch that creates needs both rights, and what the plan no longer has is removed, whatever its kind.
  return used.has(right) || right in silent || (['create', 'delete'].includes(verb) && used.has(['patch', ...of].join(' ')));
};

test('nothing was forbidden', () => {
  assert.ok(requests.length > 1000, `${requests.length} requests`);
  // Others forbid too: a volume whose class cannot grow.
  const refused = requests.filter(({ annotations }) => annotations?.['authorization.k8s.io/decision'] === 'forbid').map(name);
  assert.deepEqual([...new Set(refused)], []);
});

test('every right was needed', () => {
  assert.deepEqual([...granted].filter((right) => !shown(right)), []);
  assert.deepEqual([...used].filter((right) => !granted.has(right)), []);
});
