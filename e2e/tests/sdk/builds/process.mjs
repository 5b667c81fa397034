// Users of an SDK that runs in Node, as the harness has users of one that runs in a browser.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Client, World, until } from '../lib/harness.mjs';

const CHILD = fileURLToPath(new URL('child.mjs', import.meta.url));

export class ProcessWorld extends World {
  constructor(kind) {
    super();
    Object.assign(this, { kind, clients: [] });
  }

  async begin() {}

  async page() {
    const client = new ProcessClient(this.kind);
    this.clients.push(client);
    await until('the SDK is loaded', () => client.ready);
    return client;
  }

  async close() {
    await super.close();
    await Promise.all(this.clients.map((client) => client.close()));
  }
}

class ProcessClient extends Client {
  constructor(kind) {
    super(undefined, undefined, []);
    Object.assign(this, { ready: false, log: [], asked: 0, waiting: new Map() });
    this.child = fork(CHILD, [kind], { execArgv: ['--experimental-websocket', '--no-warnings'], stdio: ['ignore', 'ignore', 'pipe', 'ipc'], serialization: 'json' });
    this.child.stderr.on('data', (text) => { this.problems.push(...String(text).match(/^\w*Error: .*/gm) ?? []); });
    this.child.on('message', (message) => this.hear(message));
    this.ended = new Promise((resolve) => this.child.on('exit', (code, signal) => {
      for (const answer of this.waiting.values()) answer({ ok: false, errMsg: `the process has ended: ${code ?? signal}` });
      resolve();
    }));
  }

  hear({ ready, id, answer, event }) {
    if (ready) this.ready = true;
    if (event) this.log.push(event);
    if (id) {
      this.waiting.get(id)(answer);
      this.waiting.delete(id);
    }
  }

  call(method, ...args) {
    const id = ++this.asked;
    return new Promise((resolve) => {
      this.waiting.set(id, resolve);
      if (!this.child.connected) return resolve({ ok: false, errMsg: 'the process has ended' });
      this.child.send({ id, method, args });
    });
  }

  async show() {}

  async events(name) {
    return this.log.filter((event) => event.name === name);
  }

  async inbox() {
    return this.log.filter(({ name }) => /^OnRecv(Offline)?NewMessages?$/.test(name)).flatMap(({ data }) => data);
  }

  async send(target, text) {
    const { data: message } = await this.call('createTextMessage', text);
    return this.call('sendMessage', { recvID: '', groupID: '', ...target, message });
  }

  async close() {
    if (this.child.connected) this.child.disconnect();
    const kill = setTimeout(() => this.child.kill('SIGKILL'), 2000);
    await this.ended;
    clearTimeout(kill);
  }
}
