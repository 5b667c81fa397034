// Stands in for a scheduler and for kubelets in tests with an API server and no node: pods become Ready, or Succeeded when they belong to a Job, and vanish when
// they are deleted; nothing runs. Each has an address of its own in 198.18.0.0/16, where it answers, as the services do, which live settings it has.
//   node kubelet.mjs SERVER TOKEN
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

const [server, token] = process.argv.slice(2);
const NODE = 'pretended';
const addresses = new Map(); // of pods, by uid
const clusters = new Map(); // what a pod belongs to, by address

async function ask(method, path, body, type = 'application/json') {
  const answer = await fetch(server + path, { method, headers: { authorization: `Bearer ${token}`, 'content-type': type }, body: body && JSON.stringify(body) });
  // Somebody was faster, or it is gone.
  if (!answer.ok && ![404, 409].includes(answer.status)) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer;
}

function addressOf({ metadata: { uid, namespace, labels } }) {
  if (!addresses.has(uid)) {
    const number = addresses.size + 1;
    addresses.set(uid, `198.18.${number >> 8}.${number & 255}`);
    clusters.set(addresses.get(uid), { namespace, cluster: labels?.['openim.io/cluster'] });
  }
  return addresses.get(uid);
}
function statusOf(pod) {
  const ends = pod.metadata.ownerReferences?.some(({ kind }) => kind === 'Job');
  const now = new Date().toISOString().replace(/\.\d+/, '');
  const condition = (type, status) => ({ type, status, lastTransitionTime: now });
  // What the program of a scheduled backup would report.
  const message = (args = []) => (args.includes('--report') ? JSON.stringify({ backup: `of-${pod.metadata.name}`, documents: 3, bytes: 9, problem: '' }) : undefined);
  const state = (args) => (ends ? { terminated: { exitCode: 0, reason: 'Completed', startedAt: now, finishedAt: now, message: message(args) } } : { running: { startedAt: now } });
  const containers = (list) =>
    list?.map(({ name, image, args }) => ({ name, image, imageID: image, ready: !ends, started: !ends, restartCount: 0, state: state(args) }));
  return {
    phase: ends ? 'Succeeded' : 'Running', podIP: addressOf(pod), podIPs: [{ ip: addressOf(pod) }], startTime: now,
    conditions: [condition('PodScheduled', 'True'), condition('Initialized', 'True'), ...['Ready', 'ContainersReady'].map((type) => condition(type, ends ? 'False' : 'True'))],
    containerStatuses: containers(pod.spec.containers),
  };
}
async function follow(pod) {
  const { namespace, name, uid, deletionTimestamp } = pod.metadata;
  const path = `/api/v1/namespaces/${namespace}/pods/${name}`;
  if (deletionTimestamp) return ask('DELETE', path, { gracePeriodSeconds: 0, preconditions: { uid } });
  if (!pod.spec.nodeName) {
    return ask('POST', `${path}/binding`, { apiVersion: 'v1', kind: 'Binding', metadata: { name, namespace, uid }, target: { kind: 'Node', name: NODE } });
  }
  if (pod.status.phase !== 'Pending') return undefined;
  return ask('PATCH', `${path}/status`, { metadata: { uid }, status: statusOf(pod) }, 'application/strategic-merge-patch+json');
}

/** Lists, then watches, until the API server ends the watch. */
async function watch() {
  const list = await (await ask('GET', '/api/v1/pods')).json();
  for (const pod of list.items) await follow(pod);
  const events = await ask('GET', `/api/v1/pods?watch=1&resourceVersion=${list.metadata.resourceVersion}`);
  let rest = '';
  for await (const part of events.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + part).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      const { type, object } = JSON.parse(line);
      if (type === 'ERROR') return;
      if (type !== 'DELETED') await follow(object);
    }
  }
}

createServer(async ({ url, socket }, answer) => {
  const { namespace, cluster } = clusters.get(socket.localAddress) ?? {};
  if (url !== '/config' || !cluster) return answer.writeHead(404).end();
  const map = await (await ask('GET', `/api/v1/namespaces/${namespace}/configmaps/${cluster}-live`)).json();
  const [text = ''] = Object.values(map.data ?? {});
  const revision = createHash('sha256').update(text).digest('hex').slice(0, 16);
  return answer.end(JSON.stringify({ revision, problem: '', signsCalls: true }));
}).listen(12000, '0.0.0.0');

await ask('POST', '/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name: NODE } });
for (;;) await watch();
