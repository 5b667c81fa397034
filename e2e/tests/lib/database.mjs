// kubectl, and MongoDB behind the services: on loopback it is open (OPENIM_MONGO_URI), in the cluster it is reached from inside of its network.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { at } from './api.mjs';

const { CLUSTER_NAMESPACE: namespace, CLUSTER_NAME: cluster, LOCALKUBE: localkube, OPENIM_MONGO_URI: open } = process.env;
export const kubectl = (...words) => execFileSync('kubectl', ['--kubeconfig', at.kubeconfig, '-n', namespace, ...words], { encoding: 'utf8' });

const path = (script) => fileURLToPath(new URL(script, import.meta.url));

/** Runs a script inside the cluster's network; its first word is MongoDB's address, by which its certificate does not name it. */
export function inside(script, words, options = {}) {
  const uri = Buffer.from(kubectl('get', 'secret', `${cluster}-credentials`, '-o', 'jsonpath={.data.mongo-uri}'), 'base64').toString();
  const address = kubectl('get', 'pod', `${cluster}-mongodb-0`, '-o', 'jsonpath={.status.podIP}');
  const reached = uri.replace(/@[^/]*/, `@${address}:27017`).replace(/tlsCAFile=[^&]*/, 'tlsAllowInvalidCertificates=true');
  return execFileSync(localkube, ['exec', process.execPath, path(script), reached, ...words], options);
}

/** Writes rows by collection; `create_time` in ms since 1970. */
export function plant(rows) {
  const input = JSON.stringify(rows);
  if (open) return execFileSync(process.execPath, [path('plant.mjs'), open, new URL(open).pathname.slice(1)], { input });
  return inside('plant.mjs', ['openim_v3'], { input });
}
