// What a page of the tests offers: the SDK, a log of its events, and a picture of the chat.
const { getSDK, CbEvents } = window.openImSdkWasm;
const sdk = getSDK({ coreWasmPath: '/openIM.wasm', sqlWasmPath: '/sql-wasm.wasm', debug: false });
window.eventLog = [];
window.received = [];

function show(message, mine) {
  const bubble = document.createElement('div');
  bubble.className = mine ? 'bubble mine' : 'bubble';
  bubble.textContent = message.textElem ? message.textElem.content : `(contentType ${message.contentType})`;
  document.getElementById('chat').append(bubble);
}

for (const name of Object.values(CbEvents)) {
  sdk.on(name, ({ data, errCode }) => {
    window.eventLog.push({ name, data, errCode });
    if (['OnRecvNewMessage', 'OnRecvNewMessages', 'OnRecvOfflineNewMessage', 'OnRecvOfflineNewMessages'].includes(name)) {
      for (const message of [data].flat()) {
        window.received.push(message);
        show(message, false);
      }
    }
  });
}

window.im = async (method, ...args) => {
  try {
    const answer = await sdk[method](...args);
    return { ok: true, data: answer.data, errCode: answer.errCode };
  } catch (error) {
    return { ok: false, errCode: error.errCode, errMsg: error.errMsg ?? String(error) };
  }
};

window.sendText = async (target, text) => {
  const created = await sdk.createTextMessage(text);
  const sent = await window.im('sendMessage', { recvID: '', groupID: '', ...target, message: created.data });
  if (sent.ok) show(sent.data, true);
  return sent;
};
document.getElementById('title').textContent = 'SDK loaded';
