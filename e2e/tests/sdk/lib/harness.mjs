// Real users: each is a page with the real SDK in a real browser, against the cluster that `make endpoints` names.
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect, createServer as createTcpServer } from 'node:net';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { LIMITED, sleep, until } from './wait.mjs';

export { sleep, until };

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../../../..');
const packages = join(here, '../node_modules');
const types = { '.js': 'text/javascript', '.html': 'text/html', '.wasm': 'application/wasm' };
const WEB = 5;

export function endpoints() {
  const given = process.env.OPENIM_ENDPOINTS;
  return JSON.parse(given ?? execFileSync('make', ['-s', 'endpoints'], { ...LIMITED, cwd: root }));
}

function startSite(sdk) {
  const server = createServer((request, response) => {
    const path = new URL(request.url, 'http://x').pathname;
    const name = path === '/' ? '/index.html' : path;
    const candidates = [join(here, '../page', name), join(sdk, 'assets', name), join(sdk, name)];
    const file = candidates.find((candidate) => candidate.startsWith(join(here, '..')) && existsSync(candidate));
    if (!file || name.includes('..')) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': types[extname(file)] ?? 'application/octet-stream' });
    createReadStream(file).pipe(response);
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

export class World {
  constructor(folder = '@openim/wasm-client-sdk') {
    Object.assign(this, { folder, proxies: [] });
  }

  static async open(world = new World()) {
    world.at = endpoints();
    await world.begin();
    world.adminToken = (await world.must('/auth/get_admin_token', { userID: world.at.adminUserID, secret: world.at.secret })).token;
    return world;
  }

  async begin() {
    this.site = await startSite(join(packages, this.folder));
    this.browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
        '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'],
    });
  }

  async rest(path, body, token = this.adminToken) {
    const headers = { operationID: randomUUID(), 'content-type': 'application/json', ...(token ? { token } : {}) };
    const answer = await fetch(this.at.api + path, { method: 'POST', headers, body: JSON.stringify(body), signal: AbortSignal.timeout(60_000) });
    return answer.json();
  }

  async must(path, body, token) {
    const answer = await this.rest(path, body, token);
    if (answer.errCode !== 0) throw new Error(`${path}: ${JSON.stringify(answer)}`);
    return answer.data;
  }

  async register(name) {
    const userID = `${name}-${randomUUID().slice(0, 8)}`;
    await this.must('/user/user_register', { users: [{ userID, nickname: name, faceURL: '' }] });
    return userID;
  }

  async token(userID, platformID = WEB) {
    return (await this.must('/auth/get_user_token', { userID, platformID })).token;
  }

  // A page of its own storage; `through` is the WebSocket address, the cluster's unless given.
  async page() {
    const context = await this.browser.newContext();
    context.setDefaultTimeout(120_000);
    const page = await context.newPage();
    const problems = [];
    page.on('pageerror', (error) => problems.push(String(error)));
    await page.goto(`http://127.0.0.1:${this.site.address().port}/`);
    await page.waitForFunction(() => document.getElementById('title').textContent === 'SDK loaded');
    return new Client(page, context, problems);
  }

  async user(name) {
    const userID = await this.register(name);
    return this.device(userID);
  }

  // One more device of a user, logged in.
  async device(userID, platformID = WEB, ws = this.at.ws) {
    const client = await this.page();
    const answer = await client.login(this, userID, await this.token(userID, platformID), ws, true, platformID);
    if (!answer.ok) throw new Error(`${userID} does not log in: ${JSON.stringify(answer)} ${client.problems.join(' ')}`);
    return client;
  }

  // A TCP proxy in front of the cluster whose connections can be cut.
  async cuttable() {
    const target = new URL(this.at.ws);
    const sockets = new Set();
    const server = createTcpServer((client) => {
      const upstream = connect(Number(target.port), target.hostname);
      for (const socket of [client, upstream]) {
        sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => { sockets.delete(socket); client.destroy(); upstream.destroy(); });
      }
      client.pipe(upstream).pipe(client);
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.proxies.push(server);
    return {
      ws: `ws://127.0.0.1:${server.address().port}${target.pathname}`,
      cut: () => { for (const socket of sockets) socket.destroy(); },
    };
  }

  async close() {
    await this.browser?.close();
    this.site?.close();
    for (const proxy of this.proxies) proxy.close();
  }
}

export class Client {
  constructor(page, context, problems) {
    Object.assign(this, { page, context, problems });
  }

  call(method, ...args) {
    return this.page.evaluate(([method, args]) => window.im(method, ...args), [method, args]);
  }

  async must(method, ...args) {
    const answer = await this.call(method, ...args);
    if (!answer.ok) throw new Error(`${method}: ${JSON.stringify(answer)} ${this.problems.join(' ')}`);
    return answer.data;
  }

  async login(world, userID, token, ws = world.at.ws, synced = true, platformID = WEB) {
    this.userID = userID;
    const answer = await this.call('login', { userID, token, platformID, apiAddr: world.at.api, wsAddr: ws });
    if (answer.ok && synced) await this.event('OnSyncServerFinish');
    await this.show(userID);
    return answer;
  }

  show(title) {
    return this.page.evaluate((text) => { document.getElementById('title').textContent = text; }, title);
  }

  close() {
    return this.context.close();
  }

  events(name) {
    return this.page.evaluate((name) => window.eventLog.filter((event) => event.name === name), name);
  }

  event(name, ms = 20_000) {
    return until(`${this.userID}: event ${name}`, async () => (await this.events(name)).length > 0, ms);
  }

  send(target, text) {
    return this.page.evaluate(([target, text]) => window.sendText(target, text), [target, text]);
  }

  // Texts received, in order, from one sender.
  async texts(from) {
    const all = await this.inbox();
    return all.filter((message) => message.sendID === from && message.textElem?.content !== undefined).map((message) => message.textElem.content);
  }

  // Messages received, in order.
  inbox() {
    return this.page.evaluate(() => window.received);
  }

  received(from, count, ms) {
    return until(`${this.userID} has ${count} messages of ${from}`, async () => {
      const texts = await this.texts(from);
      return texts.length >= count ? texts : false;
    }, ms);
  }
}
