// The console as administrators use it, in Chromium: by keyboard, without JavaScript, in both languages, on a narrow screen. Run by console.sh.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { chromium } from './sdk/node_modules/playwright-core/index.mjs';
import { Socket } from './sdk/lib/socket.mjs';
import { until } from './sdk/lib/wait.mjs';
import { admin, at, login, ok, root, user } from './lib/api.mjs';

const { OPENIM_CONSOLE: site, OPENIM_ADMIN_PASSWORD: password, OPENIM_READER_PASSWORD: readerPassword, OPENIM_LOG: logs } = process.env;
const axe = readFileSync(createRequire(import.meta.url).resolve('./sdk/node_modules/axe-core/axe.min.js'), 'utf8');
const HOSTILE = '<script>document.title="taken"</script>"\'&\u202Etxt.exe';
const TEXTS = { en: { signIn: 'Sign in', out: 'Sign out' }, zh: { signIn: '登录', out: '退出登录' } };

/** What the operator would have written. */
const object = {
  apiVersion: 'openim.io/v1alpha1', kind: 'OpenIMCluster', metadata: { name: 'demo', namespace: 'chat', generation: 3 },
  status: {
    observedGeneration: 3, message: 'Waits for an approval.', pods: '11/12', version: '0.1.0', planID: 'a1b2c3',
    conditions: [{ type: 'Ready', status: 'False', reason: 'AwaitingApproval', message: HOSTILE, lastTransitionTime: '2026-11-30T01:02:03Z' }],
    components: [{ name: 'gateway', desired: 2, ready: 1, updated: 0, version: '0.1.0' }],
    plan: [{ component: 'gateway', reason: 'version 0.1.0 to 0.2.0', pods: 2 }],
    blockers: [{ component: '', gate: 'AwaitingApproval', message: 'approve the plan' }],
    dependencies: [{ name: 'kafka', managed: true, reachable: true, message: '', disk: 'kafka-0 is 85 % full' }],
    endpoints: { api: '', ws: '' }, history: [{ generation: 2, version: '0.1.0', since: '2026-11-01T00:00:00Z', spec: '{}' }],
  },
};
const asked = [];
/** The API server of Kubernetes, and the receiver of webhooks. */
const outside = createServer((request, answer) => {
  request.resume();
  asked.push(`${request.method} ${request.url}`);
  const told = (status, body) => answer.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  if (request.url.startsWith('/hooks')) return told(200, { actionCode: 0, errCode: 0, errMsg: '', errDlt: '', nextCode: 0 });
  const isObject = request.url === '/apis/openim.io/v1alpha1/namespaces/chat/openimclusters/demo' && request.headers.authorization === 'Bearer a-token';
  return isObject && request.method === 'GET' ? told(200, object) : told(403, {});
});

let browser, ann, ben, group, chat, news;
before(async () => {
  await new Promise((listening) => { outside.listen(23011, '127.0.0.1', listening); });
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'],
  });
  await login();
  [ann, ben] = [await user('ann'), await user('ben')];
  const named = await admin('/user/update_user_info_ex', { userInfo: { userID: ben.userID, nickname: HOSTILE } });
  assert.equal(named.errCode, 0, JSON.stringify(named));
  const created = await admin('/group/create_group', { memberUserIDs: [ben.userID], ownerUserID: ann.userID, groupInfo: { groupName: HOSTILE, groupType: 2 } });
  assert.equal(created.errCode, 0, JSON.stringify(created));
  group = created.data.groupInfo.groupID;
  for (let count = 1; count <= 60; count++) {
    const message = { sendID: ann.userID, recvID: ben.userID, content: { content: `message ${count} ${HOSTILE}` }, contentType: 101, sessionType: 1 };
    const sent = await admin('/msg/send_msg', message);
    assert.equal(sent.errCode, 0, JSON.stringify(sent));
  }
  await ok(ben, '/third/logs/upload', { platform: 2, appFramework: 'x', version: '1', fileURLs: [{ filename: HOSTILE, URL: 'javascript:alert(1)' }] });
  news = (await ok(root, '/user/add_notification_account', { nickName: HOSTILE, faceURL: '', appMangerLevel: 3 })).userID;
  chat = `si_${[ann.userID, ben.userID].sort().join('_')}`;
  await until('the messages are stored', async () => {
    const { seqs } = await ok(ben, '/msg/get_conversations_has_read_and_max_seq', { userID: ben.userID, conversationIDs: [chat] });
    return seqs[chat]?.maxSeq >= 60;
  }, 30_000);
});
after(async () => {
  outside.close();
  outside.closeAllConnections();
  await browser.close();
});

async function opened(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: 'en-GB', ...options });
  const page = await context.newPage();
  page.problems = [];
  page.on('console', (message) => { if (message.type() === 'error') page.problems.push(message.text()); });
  page.on('pageerror', (error) => page.problems.push(String(error)));
  return page;
}
async function signIn(page, way, name, secret) {
  await page.goto(`${site}/sign-in`);
  await page.check(`input[value=${way}]`);
  await page.fill('#name', name);
  await page.fill('#secret', secret);
  await page.click('form.sign-in button');
}
const asAdmin = (page) => signIn(page, 'account', 'admin', password);
const pages = () => [
  '/', '/users', `/users?prefix=${ben.userID}`, '/users?prefix=nobody', `/user?id=${ben.userID}`, '/user?id=nobody', '/groups', `/group?id=${group}`,
  `/chats?user=${ann.userID}`, `/chat?user=${ann.userID}&conversation=${chat}`, '/logs', '/nothing',
  '/notifications', `/notification?id=${news}`, '/webhooks', '/webhooks/set-aside', `/files?user=${ann.userID}`, '/cluster', '/disabled', '/disabled?status=2', '/?live=on',
];
const audited = () => readdirSync(logs).flatMap((name) => readFileSync(join(logs, name), 'utf8').split('\n'))
  .filter((line) => line.includes('"audit"')).map((line) => JSON.parse(line));
const noted = (message, match) => until(`${message} in the audit log`, () => audited().find((line) => JSON.stringify(line).includes(`"${message}"`) && match(line.fields ?? line)), 10_000);

test('whoever has not signed in sees the form alone, and a wrong secret is refused and noted', async () => {
  const page = await opened();
  await page.goto(`${site}/users`);
  assert.equal(page.url(), `${site}/sign-in`);
  await signIn(page, 'account', 'admin', 'wrong');
  assert.match(await page.textContent('[role=alert]'), /wrong/);
  await signIn(page, 'secret', at.adminUserID, 'wrong');
  assert.match(await page.textContent('[role=alert]'), /wrong/);
  await noted('console.sign_in', (line) => line.name === at.adminUserID && line.code === 1002 && line.address === '127.0.0.1');
  await signIn(page, 'secret', at.adminUserID, at.secret);
  assert.match(await page.textContent('.who'), new RegExp(`${at.adminUserID}.*Administrator`));
  const [cookie] = (await page.context().cookies()).filter(({ name }) => name === 'console');
  assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, 'Strict']);
  await page.click('.who button');
  assert.match(await page.textContent('[role=status]'), /signed out/);
  await page.context().addCookies([cookie]);
  await page.goto(`${site}/users`);
  assert.equal(page.url(), `${site}/sign-in`, 'a copy of the cookie is worth nothing');
});

for (const [language, texts] of Object.entries(TEXTS)) {
  test(`every page is accessible, keeps its policy and fits a narrow screen (${language})`, async () => {
    const locale = language === 'zh' ? 'zh-CN' : 'en-GB';
    for (const options of [{ colorScheme: 'light' }, { colorScheme: 'dark', viewport: { width: 390, height: 844 } }]) {
      const page = await opened({ ...options, locale });
      const look = async (path) => {
        const answer = await page.goto(site + path);
        const policy = answer.headers()['content-security-policy'];
        assert.ok(policy.includes("default-src 'none'") && !policy.includes('unsafe'), path);
        await page.evaluate(() => { for (const part of document.querySelectorAll('details')) part.open = true; });
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.ok(wide <= 0, `${path} is ${wide} px too wide`);
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => window.axe.run(document, { preload: false }));
        assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), [], `${path} ${JSON.stringify(options)}`);
        assert.equal(await page.getAttribute('html', 'lang'), language === 'zh' ? 'zh-CN' : 'en');
        assert.equal(await page.locator('script').count(), 0, path);
        assert.ok(!(await page.title()).includes('taken'), path);
        // The browser itself complains of answers that are no success.
        assert.deepEqual(page.problems.filter((problem) => !/status of 40[34]/.test(problem)), [], path);
      };
      await look('/sign-in');
      assert.equal(await page.textContent('h1'), texts.signIn);
      await asAdmin(page);
      assert.equal(await page.textContent('.who button'), texts.out);
      for (const path of pages()) await look(path);
      await page.context().close();
    }
  });
}

test('a hostile name is a text', async () => {
  const page = await opened();
  await asAdmin(page);
  for (const path of [`/user?id=${ben.userID}`, `/users?prefix=${ben.userID}`, `/group?id=${group}`, `/chat?user=${ben.userID}&conversation=${chat}`]) {
    await page.goto(site + path);
    const shown = await page.textContent('main');
    assert.ok(shown.includes('<script>document.title="taken"</script>"\'&[U+202E]txt.exe'), `${path}: ${shown}`);
    assert.ok(!shown.includes('\u202E'), path);
  }
});

test('the overview counts who is connected and what was sent', async () => {
  const socket = await Socket.open(at.ws, ben);
  const page = await opened();
  await asAdmin(page);
  const tile = (term) => page.locator('.tiles div', { hasText: term }).locator('dd').textContent();
  await until('the overview has counted', async () => {
    await page.goto(`${site}/`);
    if (await page.locator('.tiles').count() === 0) return false;
    return Number(await tile('Users online')) >= 1 && Number(await tile('Messages stored')) >= 60;
  }, 60_000);
  if (process.env.OPENIM_SCREENSHOT) await page.screenshot({ path: process.env.OPENIM_SCREENSHOT });
  socket.line.close();
});

/** Moves the focus by keyboard alone. */
async function tabTo(page, selector) {
  for (let count = 0; count < 80; count++) {
    await page.keyboard.press('Tab');
    if (await page.locator(`${selector}:focus`).count() > 0) return;
  }
  assert.fail(`the keyboard does not reach ${selector}`);
}

test('by keyboard and without JavaScript: sign in, find a user, force him out', async () => {
  const socket = await Socket.open(at.ws, ben);
  const page = await opened({ javaScriptEnabled: false });
  await page.goto(`${site}/sign-in`);
  await tabTo(page, '#name');
  await page.keyboard.type('admin');
  await tabTo(page, '#secret');
  await page.keyboard.type(password);
  await page.keyboard.press('Enter');
  await page.waitForURL(`${site}/`);
  await tabTo(page, 'nav a[href="/users"]');
  await page.keyboard.press('Enter');
  await page.waitForURL(`${site}/users`);
  await tabTo(page, '#search');
  await page.keyboard.type(ben.userID);
  await page.keyboard.press('Enter');
  await page.waitForURL(/prefix=/);
  await tabTo(page, `a[href="/user?id=${ben.userID}"]`);
  await page.keyboard.press('Enter');
  await page.waitForURL(/user\?id=/);
  assert.match(await page.textContent('main'), /Android/);
  await tabTo(page, '.actions summary');
  await page.keyboard.press('Enter');
  await tabTo(page, '.actions input[name=reason]');
  await page.keyboard.type('lost telephone');
  await page.keyboard.press('Enter');
  await page.waitForURL(/done=forced-out/);
  assert.match(await page.textContent('[role=status]'), /logged out/);
  await until('the connection is closed', () => socket.closed, 10_000);
  await noted('console.act', (line) => line.path === '/user/force-out' && line.administrator === 'account:admin' && line.reason === 'lost telephone' && line.code === 0);
});

test('messages are read page by page, searched, and revoked with a reason', async () => {
  const page = await opened();
  await asAdmin(page);
  await page.goto(`${site}/chats?user=${ben.userID}`);
  await page.click(`a[href*="${chat}"]`);
  assert.match(await page.textContent('main'), /message 60 /);
  await noted('console.viewed', (line) => line.conversation === chat && line.administrator === 'account:admin');
  await page.click('.pages a');
  const older = await page.textContent('main');
  assert.ok(older.includes('message 1 ') && !older.includes('message 60 '), older);
  await page.fill('#search', 'Message 7 ');
  await page.click('form.search button');
  assert.equal(await page.locator('tbody tr').count(), 1);
  await page.click('tbody summary');
  await page.fill('tbody input[name=reason]', 'insult');
  await page.click('tbody button');
  await page.waitForURL(/done=revoked/);
  await until('it is revoked for the user too', async () => {
    const { msgs } = await ok(root, '/msg/pull_msg_by_seq', { userID: ben.userID, seqRanges: [{ conversationID: chat, begin: 7, end: 7, num: 1 }], order: 0 });
    return msgs[chat].Msgs[0].contentType === 2101;
  }, 10_000);
  await noted('console.act', (line) => line.path === '/chat/revoke' && line.reason === 'insult');
});

test('members are muted and removed, a group is muted and dismissed', async () => {
  const page = await opened();
  await asAdmin(page);
  const act = async (scope, summary, done) => {
    await page.goto(`${site}/group?id=${group}`);
    const form = page.locator(`${scope} details`, { has: page.locator('summary', { hasText: summary }) });
    await form.locator('summary').click();
    await form.locator('input[name=reason]').fill('a test');
    await form.locator('button').click();
    await page.waitForURL(new RegExp(`done=${done}`));
  };
  const row = `tr:has(a[href="/user?id=${ben.userID}"])`;
  await act(row, /^Mute$/, 'member-muted');
  assert.match(await page.locator(row).textContent(), /Muted until/);
  await act(row, 'Unmute', 'member-unmuted');
  await act(row, 'Remove from group', 'member-removed');
  assert.equal(await page.locator(row).count(), 0);
  await act('.actions', 'Mute group', 'group-muted');
  await act('.actions', 'Let all members write', 'group-unmuted');
  await act('.actions', 'Dismiss group', 'dismissed');
  const { groupInfos } = await ok(root, '/group/get_groups_info', { groupIDs: [group] });
  assert.equal(groupInfos[0].status, 2);
});

test('a ban cuts off and is lifted', async () => {
  const page = await opened();
  await asAdmin(page);
  const act = async (summary, done) => {
    await page.goto(`${site}/user?id=${ann.userID}`);
    const form = page.locator('.actions details', { has: page.locator('summary', { hasText: summary }) });
    await form.locator('summary').click();
    await form.locator('input[name=reason]').fill('spam');
    await form.locator('button').click();
    await page.waitForURL(new RegExp(`done=${done}`));
  };
  await act('Ban', 'banned');
  assert.equal((await admin('/auth/get_user_token', { userID: ann.userID, platformID: 2 })).errCode, 1002);
  await act('Lift ban', 'unbanned');
  assert.equal((await admin('/auth/get_user_token', { userID: ann.userID, platformID: 2 })).errCode, 0);
});

/** Fills the form behind a summary, and sends it. */
async function filled(page, summary, fields) {
  const form = page.locator('.actions details', { has: page.locator('summary', { hasText: summary }) });
  await form.locator('summary').click();
  for (const [name, value] of Object.entries({ reason: 'a campaign', ...fields })) await form.locator(`[name=${name}]`).fill(value);
  await form.locator('button').click();
}
const inboxOf = async (who, account) => {
  // An earlier test has logged ben out.
  const { maxSeqs } = await ok(root, '/msg/newest_seq', { userID: who.userID });
  return Object.entries(maxSeqs).find(([id]) => id.startsWith('sn_') && id.includes(account))?.[1] ?? 0;
};

test('a notification account is created, and some and all are notified, each once', async () => {
  const page = await opened({ javaScriptEnabled: false });
  await asAdmin(page);
  await page.goto(`${site}/notifications`);
  await filled(page, 'Create notification account', { name: 'Campaign' });
  await page.waitForURL(/done=account-created/);
  const account = new URL(page.url()).searchParams.get('id');
  await filled(page, 'Send to some users', { receivers: `${ben.userID}, ${ben.userID}`, text: 'Hello Ben' });
  await page.waitForURL(/done=notified/);
  await until('ben has it once', async () => await inboxOf(ben, account) === 1, 10_000);
  assert.equal(await inboxOf(ann, account), 0);
  await noted('console.act', (line) => line.path === '/notifications/send' && line.reason === 'a campaign' && line.code === 0);

  const everybody = async () => {
    await page.goto(`${site}/notification?id=${account}`);
    await filled(page, 'Send to all users', { text: 'Hello everybody', broadcast: `all-of-${account}` });
    await page.waitForURL(/done=broadcast-begun/);
    await until('the broadcast has ended', async () => {
      await page.goto(`${site}/notification?id=${account}`);
      return (await page.textContent('main')).includes('Sent to all users');
    }, 30_000);
  };
  await everybody();
  await until('both have it', async () => await inboxOf(ann, account) === 1 && await inboxOf(ben, account) === 2, 10_000);
  await noted('console.broadcast', (line) => line.account === account && line.state === 'sent' && line.administrator === 'account:admin');
  await everybody();
  await page.goto(`${site}/notification?id=${account}`);
  await filled(page, 'Send to some users', { receivers: `${ann.userID} ${ben.userID}`, text: 'The last one' });
  await page.waitForURL(/done=notified/);
  await until('what was sent last has come', async () => await inboxOf(ann, account) >= 2 && await inboxOf(ben, account) >= 3, 10_000);
  assert.deepEqual([await inboxOf(ann, account), await inboxOf(ben, account)], [2, 3], 'the same broadcast again was the same messages');
});

test('a user is erased by somebody who has typed the id', async () => {
  const zoe = await user('zoe');
  const page = await opened();
  await asAdmin(page);
  await page.goto(`${site}/user?id=${zoe.userID}`);
  await filled(page, 'Erase permanently', { confirm: ann.userID });
  assert.match(await page.textContent('[role=alert]'), /confirm must be the id/);
  await page.goto(`${site}/user?id=${zoe.userID}`);
  await filled(page, 'Erase permanently', { confirm: zoe.userID, reason: 'asked for it' });
  await page.waitForURL(/done=erased/);
  assert.ok((await page.textContent('table')).includes(zoe.userID));
  assert.equal((await page.goto(`${site}/user?id=${zoe.userID}`)).status(), 404);
  await noted('console.act', (line) => line.path === '/user/erase' && line.reason === 'asked for it' && line.code === 0);
});

test('the cluster is shown as its operator sees it, read by one call', async () => {
  const page = await opened();
  await asAdmin(page);
  await page.goto(site);
  asked.length = 0;
  await page.click('nav a[href="/cluster"]');
  const shown = await page.textContent('main');
  for (const expected of ['Waits for an approval.', 'gateway 1/2', 'kafka-0 is 85 % full', 'version 0.1.0 to 0.2.0', 'approve the plan', 'a1b2c3', '[U+202E]']) {
    assert.ok(shown.includes(expected), `${expected}: ${shown}`);
  }
  assert.deepEqual(asked.filter((request) => !request.includes('/hooks')), ['GET /apis/openim.io/v1alpha1/namespaces/chat/openimclusters/demo']);
  assert.equal(await page.locator('main form').count(), 0, 'nothing can be done there');
});

test('webhooks are counted, and a page that was asked to reloads itself', async () => {
  const page = await opened({ javaScriptEnabled: false });
  await asAdmin(page);
  const answer = await page.goto(`${site}/webhooks?live=on`);
  assert.equal(answer.headers().refresh, '15');
  assert.match(await page.textContent('table'), /afterCreateGroup/);
  await page.waitForEvent('load', { timeout: 60_000 });
  const delivered = page.locator('.tiles div', { hasText: 'Delivered' }).locator('dd');
  await until('the hook of the group is counted', async () => await delivered.count() > 0 && Number(await delivered.textContent()) >= 1, 60_000);
  await page.click('text=Stop reloading');
  assert.equal((await page.reload()).headers().refresh, undefined);
});

test('forms from elsewhere are refused, and a read-only role cannot act', async () => {
  const fields = { user: ben.userID, reason: 'spam' };
  const page = await opened();
  await asAdmin(page);
  for (const form of ['', '0'.repeat(32)]) {
    const refused = await page.context().request.post(`${site}/user/ban`, { form: { ...fields, form }, maxRedirects: 0 });
    assert.equal(refused.status(), 403);
  }
  const reader = await opened();
  await signIn(reader, 'account', 'reader', readerPassword);
  assert.match(await reader.textContent('.who'), /account:reader.*Read only/);
  await reader.goto(`${site}/user?id=${ben.userID}`);
  assert.equal(await reader.locator('details').count(), 0);
  const form = await reader.inputValue('input[name=form]');
  for (const path of ['/user/ban', '/user/erase', '/user/force-out', '/chat/revoke', '/group/dismiss', '/notifications/create', '/notifications/broadcast']) {
    const refused = await reader.context().request.post(site + path, { form: { ...fields, form }, maxRedirects: 0 });
    assert.equal(refused.status(), 403, path);
  }
  const looked = await reader.goto(`${site}/chat?user=${ben.userID}&conversation=${chat}`);
  assert.equal(looked.status(), 403, 'messages are not for everybody');
  assert.equal((await admin('/auth/get_user_token', { userID: ben.userID, platformID: 2 })).errCode, 0, 'nobody was banned');
  await noted('console.refused', (line) => line.administrator === 'account:reader' && line.why === 'role');
  await noted('console.refused', (line) => line.administrator === 'account:admin' && line.why === 'form');
});
