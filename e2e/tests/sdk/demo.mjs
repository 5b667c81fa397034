// Two users talk; a screenshot of each side is joined in one picture by the browser itself.
import { World, sleep } from './lib/harness.mjs';

const world = await World.open();
const [alice, bob] = [await world.user('alice'), await world.user('bob')];
const talk = [[alice, bob, 'Hi Bob, is this thing on?'], [bob, alice, 'Loud and clear.'], [alice, bob, 'Every message once, in order?'], [bob, alice, 'That is the promise.']];
for (const [from, to, text] of talk) {
  const sent = await from.send({ recvID: to.userID }, text);
  if (!sent.ok) throw new Error(JSON.stringify(sent));
  const before = (await to.texts(from.userID)).length;
  await to.received(from.userID, Math.max(1, before));
  await sleep(200);
}
const sides = [];
for (const client of [alice, bob]) {
  await client.page.setViewportSize({ width: 420, height: 320 });
  sides.push((await client.page.screenshot()).toString('base64'));
}
const both = await (await world.browser.newContext({ viewport: { width: 860, height: 320 } })).newPage();
await both.setContent(`<body style="margin:0;display:flex;gap:20px;background:#888">${sides.map((data) => `<img src="data:image/png;base64,${data}">`).join('')}</body>`);
await both.screenshot({ path: process.argv[2] });
await world.close();
console.log(`two users talked; the screenshot is ${process.argv[2]}`);
process.exit(0);
