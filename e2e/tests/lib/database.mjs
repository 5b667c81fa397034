// What is behind the services: kubectl, their processes and MongoDB. On loopback MongoDB is open (OPENIM_MONGO_URI); in the cluster it is reached from inside of its network.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { LIMITED } from '../sdk/lib/wait.mjs';
import { at } from './api.mjs';

const { CLUSTER_NAMESPACE: namespace, CLUSTER_NAME: cluster, LOCALKUBE: localkube, OPENIM_MONGO_URI: open, OPENIM_AGAIN: again } = process.env;
export const kubectl = (...words) => execFileSync('kubectl', ['--kubeconfig', at.kubeconfig, '-n', namespace, ...words], LIMITED);

const path = (script) => fileURLToPath(new URL(script, import.meta.url));

/** Kills a service without a word; another process of it begins. */
export function kill(service) {
  if (again) return execFileSync(again, [service], LIMITED);
  return kubectl('delete', 'pod', '--grace-period=0', '--force', '-l', `openim.io/cluster=${cluster},app.kubernetes.io/component=${service}`);
}

/** Runs a script with MongoDB's address and the database as its first words. */
function scripted(script, words, options = {}) {
  if (open) return execFileSync(process.execPath, [path(script), open, new URL(open).pathname.slice(1), ...words], { ...LIMITED, ...options });
  return inside(script, ['openim_v3', ...words], options);
}

/** Runs a script inside the cluster's network; its first word is MongoDB's address, by which its certificate does not name it. */
function inside(script, words, options) {
  const uri = Buffer.from(kubectl('get', 'secret', `${cluster}-credentials`, '-o', 'jsonpath={.data.mongo-uri}'), 'base64').toString();
  const address = kubectl('get', 'pod', `${cluster}-mongodb-0`, '-o', 'jsonpath={.status.podIP}');
  const reached = uri.replace(/@[^/]*/, `@${address}:27017`).replace(/tlsCAFile=[^&]*/, 'tlsAllowInvalidCertificates=true');
  return execFileSync(localkube, ['exec', process.execPath, path(script), reached, ...words], { ...LIMITED, ...options });
}

/** Writes rows by collection; `create_time` in ms since 1970. */
export const plant = (rows) => scripted('plant.mjs', [], { input: JSON.stringify(rows) });

/** Ends the time of unfinished uploads of content with this hash. */
export const expire = (hash) => scripted('expire.mjs', [hash]);

/** Makes named objects so many days older. */
export const age = (days, ...names) => scripted('age.mjs', [days, ...names]);
