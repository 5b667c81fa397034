/**
 * The builds of OpenIM's SDKs that the scenarios run with, as npm has them; package-lock.json pins each. `core` is the version of the SDK core that the package
 * contains, which is what counts on the wire; `kind` is how a process of Node loads it (child.mjs), the others are pages of a browser.
 */
export const builds = [
  { id: 'wasm', title: 'WASM 3.8.5', version: '3.8.5', folder: '@openim/wasm-client-sdk', core: '3.8.3-patch.10', where: 'Chromium' },
  { id: 'wasm-patch', title: 'WASM 3.8.3-patch.13', version: '3.8.3-patch.13', folder: '@openim/wasm-client-sdk-patch', core: '3.8.3-patch.13', where: 'Chromium' },
  { id: 'native', title: 'native, of Electron 3.8.3-patch.15.1', version: '3.8.3-patch.15', folder: '@openim/electron-client-sdk', core: '3.8.3-patch.15', where: 'Node',
    kind: 'native' },
  { id: 'js', title: 'JavaScript 0.0.14', version: '0.0.14', folder: '@openim/client-sdk', core: 'of its own', where: 'Node', kind: 'js' },
];
