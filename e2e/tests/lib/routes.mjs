// The REST routes, read from the lines of services/api/src/routes.rs.
import { readFileSync } from 'node:fs';

const LINE = /^\s+"(?<path>\/[^"]*)" (?<access>Open|User|Admin) => (?<does>.+), "(?<description>(?:[^"\\]|\\.)+)";$/;
// An empty body is enough for these, or is refused for another reason than what it lacks.
const nothingRequired = new Set([
  '/user/get_users_online_status', '/user/get_users_online_token_detail', '/user/get_user_client_config', '/user/set_user_client_config',
  '/user/del_user_client_config', '/user/page_user_client_config',
  '/friend/get_specified_blacks', '/friend/get_incremental_blacks', '/friend/get_incremental_friends', '/friend/get_self_unhandled_apply_count',
  '/group/set_group_info_ex', '/group/get_specified_user_group_request_info', '/group/get_incremental_join_groups',
  '/group/get_incremental_group_members', '/group/get_incremental_group_members_batch', '/group/get_group_application_unhandled_count',
  '/third/logs/upload', '/third/logs/delete', '/third/logs/search',
  '/object/part_limit', '/object/part_size', '/object/auth_sign', '/object/access_url', '/object/initiate_form_data',
  '/msg/newest_seq', '/msg/search_msg', '/msg/send_msg', '/msg/send_business_notification', '/msg/pull_msg_by_seq', '/msg/delete_msg_phsical_by_seq',
  '/msg/batch_send_msg', '/msg/send_simple_msg', '/msg/check_msg_is_send_success', '/msg/get_server_time',
  '/conversation/get_full_conversation_ids', '/conversation/get_incremental_conversations', '/conversation/get_owner_conversation',
  '/conversation/get_not_notify_conversation_ids', '/conversation/get_pinned_conversation_ids', '/conversation/delete_conversations',
  '/conversation/update_conversations_by_user',
  '/statistics/user/active', '/statistics/group/active',
  '/jssdk/get_conversations', '/jssdk/get_active_conversations',
  '/config/get_config_list', '/config/get_config', '/config/set_config', '/config/reset_config', '/config/set_enable_config_manager',
  '/config/get_enable_config_manager',
  '/restart',
]);

function parsed(line) {
  const { path, access, does, description } = line.match(LINE)?.groups ?? {};
  if (path === undefined) throw new Error(`a route in a form that e2e/tests/lib/routes.mjs cannot read: ${line}`);
  const method = does.startsWith('get(') ? 'GET' : 'POST';
  return {
    method,
    path: path.replace('{*', '*').replace('}', ''),
    token: access !== 'Open',
    admin: access === 'Admin',
    beyond: does.endsWith('.beyond()'),
    requires: method === 'POST' && !nothingRequired.has(path),
    description: description.replaceAll('\\"', '"'),
  };
}

const source = readFileSync(new URL('../../../services/api/src/routes.rs', import.meta.url), 'utf8');
const [, list] = source.match(/^    routes! \{\n([^]*?)^    \}$/m);
export const routes = list.split('\n').filter((line) => line.trim() !== '').map(parsed);
