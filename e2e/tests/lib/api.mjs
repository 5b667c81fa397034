// The cluster as a back end sees it: REST, users with tokens.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { see } from './shown.mjs';

export const at = JSON.parse(process.env.OPENIM_ENDPOINTS);

export async function call(path, body, headers = {}, method = 'POST') {
  const answer = await fetch(at.api + path, {
    method, signal: AbortSignal.timeout(60_000), headers: { operationID: randomUUID(), 'content-type': 'application/json', ...headers },
    ...(method === 'GET' ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const parsed = await answer.json();
  if (Number.isInteger(parsed?.errCode)) see('errors', parsed.errCode);
  return parsed;
}

export const root = { userID: at.adminUserID };
export async function login() {
  const answer = await call('/auth/get_admin_token', { userID: at.adminUserID, secret: at.secret });
  assert.equal(answer.errCode, 0, JSON.stringify(answer));
  root.token = answer.data.token;
  return answer.data;
}
export const as = (user, path, body, headers = {}) => call(path, body, { token: user.token, ...headers });
export const admin = (path, body) => as(root, path, body);

/** A fresh user with a token for Android. */
export async function user(name) {
  const userID = `${name}${randomUUID().slice(0, 8)}`;
  assert.equal((await admin('/user/user_register', { users: [{ userID, nickname: name }] })).errCode, 0);
  const answer = await admin('/auth/get_user_token', { userID, platformID: 2 });
  assert.equal(answer.errCode, 0, JSON.stringify(answer));
  return { userID, token: answer.data.token, name };
}

/** A call that must succeed; its data. */
export async function ok(who, path, body = {}, headers = {}) {
  const answer = await as(who, path, body, headers);
  assert.equal(answer.errCode, 0, `${path} ${JSON.stringify(body)}: ${JSON.stringify(answer)}`);
  return answer.data;
}

// A required list is looked for before the caller's rights, as upstream does: what these routes are asked by somebody without rights.
const lists = {
  '/user/user_register': { users: [{ userID: 'x', nickname: 'x' }] },
  '/user/account_check': { checkUserIDs: ['x'] },
  '/user/unregister_user': { userIDs: ['x'] },
  '/friend/import_friend': { ownerUserID: 'x', friendUserIDs: ['y'] },
  '/msg/delete_msg_physical': { conversationIDs: ['si_x_y'], timestamp: 1 },
};
/** The least that a route looks at. */
export const least = (path) => lists[path] ?? {};
