// Every scenario with every build. BUILDS=native,js takes some, SCENARIO=revoke those with this in their title; RESULTS=FILE keeps what came out, for table.mjs.
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { World } from '../lib/harness.mjs';
import { builds } from './list.mjs';
import { ProcessWorld } from './process.mjs';
import { scenarios } from './scenarios.mjs';

const { BUILDS, SCENARIO, RESULTS } = process.env;
const wanted = builds.filter(({ id }) => BUILDS?.split(',').includes(id) ?? true);
const results = Object.fromEntries(wanted.map(({ id }) => [id, {}]));

/** Runs one, whose clients end with it. */
async function run(world, scenario) {
  const opened = [];
  const own = Object.assign(Object.create(world), { page: async () => opened[opened.push(await world.page()) - 1] });
  try {
    await scenario.run(own);
  } finally {
    await Promise.all(opened.map((client) => client.close()));
  }
}

for (const { id, title, kind, folder } of wanted) {
  describe(title, () => {
    let world;
    before(async () => { world = await World.open(kind ? new ProcessWorld(kind) : new World(folder)); });
    after(async () => { await world?.close(); });
    for (const scenario of scenarios.filter((one) => one.title.includes(SCENARIO ?? ''))) {
      const lacking = scenario.lacks?.[id];
      results[id][scenario.title] = lacking ? 'lacking' : 'failed';
      test(scenario.title, { skip: lacking, timeout: 180_000 }, async () => {
        await run(world, scenario);
        results[id][scenario.title] = 'passed';
      });
    }
  });
}
after(() => { if (RESULTS) writeFileSync(RESULTS, `${JSON.stringify(results, null, 2)}\n`); });
