// Module hooks for the electron package in plain Node: what its wrapper takes from Electron itself, and the names of events and log levels that it takes
// from a web SDK which is not published in that version. The native library and its wrapper stay as they are.
const listeners = '{ on() {}, removeListener() {}, handle() {}, removeHandler() {} }';
const sources = {
  electron: `export const powerMonitor = ${listeners}, ipcMain = ${listeners};`,
  '@openim/wasm-client-sdk': `
    export const SdkEvent = new Proxy({}, { get: (_, name) => name });
    export const LogLevel = { Verbose: 6, Debug: 5, Info: 4, Warn: 3, Error: 2, Fatal: 1, Panic: 0 };`,
};

export const resolve = (specifier, context, next) =>
  specifier in sources ? { url: `stand-in:${specifier}`, shortCircuit: true } : next(specifier, context);

export const load = (url, context, next) =>
  url.startsWith('stand-in:') ? { format: 'module', source: sources[url.slice('stand-in:'.length)], shortCircuit: true } : next(url, context);
