// A user of an SDK that runs in Node, in a process of its own: the native library knows one user per process.
//   child.mjs native|js    speaks with its parent: {id, method, args} is answered by {id, answer}, events are told as they come
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire, register } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const require = createRequire(import.meta.url);
const tell = (event) => process.send?.({ event });

async function native() {
  register('./stand-ins.mjs', import.meta.url);
  const { default: Main } = await import('@openim/electron-client-sdk');
  const library = require.resolve('@openim/electron-client-sdk').replace(/lib\/index\.js$/, 'assets/linux_x64/libopenimsdk.so');
  const page = { once() {}, isDestroyed: () => false, send: (_, name, { data, errCode }) => tell({ name, data, errCode }) };
  const { sdk } = new Main(library, page);
  const dataDir = mkdtempSync(join(tmpdir(), 'openim-native-'));
  process.on('exit', () => rmSync(dataDir, { recursive: true, force: true }));
  const login = sdk.login;
  let begun = false;
  sdk.login = async ({ userID, token, platformID, apiAddr, wsAddr }) => {
    if (!begun) await sdk.initSDK({ platformID, apiAddr, wsAddr, dataDir, systemType: 'electron', logLevel: 3, logFilePath: dataDir, isLogStandardOutput: false });
    begun = true;
    return login({ userID, token });
  };
  return sdk;
}

function js() {
  const { getSDK, CbEvents } = require('@openim/client-sdk');
  const sdk = getSDK();
  for (const name of new Set(Object.values(CbEvents))) sdk.on(name, ({ data, errCode }) => tell({ name: name.replace(/^on/, 'On'), data, errCode }));
  const { getBlackList } = sdk;
  sdk.getBlackList = () => getBlackList({ offset: 0, count: 100 }); // it pages where others answer all
  return sdk;
}

const sdk = process.argv[2] === 'native' ? await native() : js();
process.on('message', async ({ id, method, args }) => {
  let answer;
  try {
    if (typeof sdk[method] !== 'function') throw new Error(`there is no ${method}`);
    const { data, errCode } = await sdk[method](...args);
    answer = { ok: !errCode, data, errCode };
  } catch (error) {
    answer = { ok: false, errCode: error.errCode, errMsg: error.errMsg || String(error) };
  }
  process.send?.({ id, answer });
});
process.on('disconnect', () => process.exit(0));
process.send({ ready: true });
