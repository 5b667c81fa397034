// Waiting, for tests with and without a browser.

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** What is waited for may take this long at least, in ms: a deadline only turns a hang into a failure. */
const DEADLINE = 120_000;
/** For programs that a test runs: while it waits for one, nothing else can end the test. */
export const LIMITED = { encoding: 'utf8', timeout: 300_000 };

/** A request that did not come through: the server may be on its way back. */
const unanswered = (error) => error instanceof TypeError && error.message === 'fetch failed' || error.name === 'TimeoutError';

export async function until(what, check, ms = DEADLINE) {
  const patience = Math.max(ms, DEADLINE);
  const end = Date.now() + patience;
  let last, cause;
  while (Date.now() < end) {
    try {
      last = await check();
    } catch (error) {
      if (!unanswered(error)) throw error;
      [last, cause] = [undefined, error];
    }
    if (last) return last;
    await sleep(50);
  }
  throw new Error(`not within ${patience} ms: ${what}`, { cause });
}
