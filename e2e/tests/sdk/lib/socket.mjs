// A raw client of the WebSocket: JSON frames, as sdkType=js clients use them, protobuf by the project's own definitions.
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import protobuf from 'protobufjs';
import { until } from './wait.mjs';

const folder = fileURLToPath(new URL('../../../../crates/protocol/proto', import.meta.url));
const definitions = new protobuf.Root();
definitions.resolvePath = (_, target) => join(folder, target.split('/').at(-1));
definitions.loadSync(readdirSync(folder).filter((name) => name.endsWith('.proto')), { keepCase: true });

/** The definition of a message, by its name without the project's. */
export const typeOf = (type) => definitions.lookupType(`openim.${type}`);
export function encode(type, fields) {
  const message = typeOf(type);
  return Buffer.from(message.encode(message.fromObject(fields)).finish());
}
/** Every field is present; numbers are numbers, bytes are a Buffer. */
export function decode(type, bytes) {
  const message = typeOf(type);
  return message.toObject(message.decode(bytes), { longs: Number, bytes: Buffer, defaults: true });
}

/** The requests of a client: number, types of request and answer. */
export const REQUESTS = {
  newestSeq: [1001, 'sdkws.GetMaxSeqReq', 'sdkws.GetMaxSeqResp'],
  pullByRange: [1002, 'sdkws.PullMessageBySeqsReq', 'sdkws.PullMessageBySeqsResp'],
  send: [1003, 'sdkws.MsgData', 'sdkws.UserSendMsgResp'],
  signal: [1004, 'sdkws.MsgData', 'sdkws.UserSendMsgResp'],
  pullBySeqs: [1005, 'msg.GetSeqMessageReq', 'msg.GetSeqMessageResp'],
  readAndMaxSeqs: [1006, 'msg.GetConversationsHasReadAndMaxSeqReq', 'msg.GetConversationsHasReadAndMaxSeqResp'],
  lastMessages: [1007, 'msg.GetLastMessageReq', 'msg.GetLastMessageResp'],
  logout: [2003, 'push.DelUserPushTokenReq', 'push.DelUserPushTokenResp'],
  background: [2004, 'sdkws.SetAppBackgroundStatusReq', 'sdkws.SetAppBackgroundStatusResp'],
  presence: [2005, 'sdkws.SubUserOnlineStatus', 'sdkws.SubUserOnlineStatusTips'],
};

export class Socket {
  static async open(ws, { userID, token }, { platformID = 2, query = '' } = {}) {
    const socket = new Socket();
    const parameters = `sendID=${userID}&token=${token}&platformID=${platformID}&operationID=o&isBackground=false&isMsgResp=true&sdkType=js`;
    Object.assign(socket, { userID, count: 0, texts: [], answers: new Map(), pushed: [], kicked: false, closed: false, line: new WebSocket(`${ws}?${parameters}${query}`) });
    socket.line.binaryType = 'arraybuffer';
    socket.line.addEventListener('message', ({ data }) => socket.read(data));
    // As clients do: who says nothing for 30 s is taken for gone.
    const pings = setInterval(() => { if (socket.line.readyState === WebSocket.OPEN) socket.line.send('{"type":"ping","body":"1"}'); }, 10_000);
    pings.unref();
    socket.line.addEventListener('close', () => clearInterval(pings));
    for (const end of ['close', 'error']) socket.line.addEventListener(end, () => { socket.closed = true; });
    await until(`${userID} is let in or refused`, () => socket.texts[0] ?? socket.closed, 10_000);
    if (socket.texts.length === 0) throw new Error(`${userID} is not let in`);
    const first = JSON.parse(socket.texts[0]);
    if (first.errCode !== 0) throw Object.assign(new Error(JSON.stringify(first)), { answer: first });
    return socket;
  }

  read(data) {
    if (typeof data === 'string') return this.texts.push(data);
    const frame = JSON.parse(Buffer.from(data));
    const body = Buffer.from(frame.data ?? '', 'base64');
    if (frame.msgIncr) return this.answers.set(frame.msgIncr, { ...frame, body });
    if (frame.reqIdentifier === 2002) this.kicked = true;
    return this.pushed.push({ ...frame, body });
  }

  /** The answer's frame, with its message when it succeeded. */
  async request(name, fields) {
    const [reqIdentifier, asked, answered] = REQUESTS[name];
    const msgIncr = `${this.userID}_${++this.count}`;
    this.line.send(Buffer.from(JSON.stringify({
      reqIdentifier, token: '', sendID: this.userID, operationID: `op-${msgIncr}`, msgIncr, data: encode(asked, fields).toString('base64'),
    })));
    const frame = await until(`${name} of ${this.userID} is answered`, () => this.answers.get(msgIncr), 10_000);
    return { ...frame, message: frame.errCode === 0 ? decode(answered, frame.body) : undefined };
  }

  async must(name, fields) {
    const answer = await this.request(name, fields);
    if (answer.errCode !== 0) throw new Error(`${name} ${JSON.stringify(fields)}: ${JSON.stringify(answer)}`);
    return answer.message;
  }

  /** Messages pushed so far, with their conversation and whether they came as a notification. */
  messages() {
    return this.pushed.filter((frame) => frame.reqIdentifier === 2001).flatMap((frame) => {
      const { msgs, notificationMsgs } = decode('sdkws.PushMessages', frame.body);
      const of = (part, notification) => Object.entries(part).flatMap(([conversationID, { Msgs }]) =>
        Msgs.map((message) => ({ ...message, conversationID, notification })));
      return [...of(msgs, false), ...of(notificationMsgs, true)];
    });
  }

  /** The first message that is pushed and matches. */
  message(what, matches, ms = 15_000) {
    return until(`${this.userID} is told of ${what}`, () => this.messages().find(matches), ms);
  }

  presence() {
    return this.pushed.filter((frame) => frame.reqIdentifier === 2005)
      .flatMap((frame) => decode('sdkws.SubUserOnlineStatusTips', frame.body).subscribers);
  }

  close() { this.line.close(); }
}
