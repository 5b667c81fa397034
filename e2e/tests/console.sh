#!/usr/bin/env bash
# The console in a real Chromium: signing in, users, groups, messages, notifications, webhooks and the cluster, in both languages, by keyboard and on a narrow
# screen. Without Kubernetes, with real MongoDB, Kafka and Redis on loopback; the test answers as the API server. OPENIM_SCREENSHOT=FILE also makes a picture of the overview.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib/loopback.sh"

start_servers
write_config 'discovery: {enable: static}' "${plain[@]}" 'accounts: {enable: true, chatPort: 23008, adminPort: 23009}' \
  "console: {enable: true, port: 23010, roles: {readOnly: [\"account:reader\"]}, kubernetes: {cluster: demo, url: \"http://127.0.0.1:23011\", serviceAccount: \"$work/account\"}}"
# The API server and the receiver of webhooks are in the test.
mkdir "$work/account"
echo a-token > "$work/account/token"
printf chat > "$work/account/namespace"
printf 'url: "http://127.0.0.1:23011/hooks"\nafterCreateGroup: {enable: true, timeout: 5}\n' > "$work/config/webhooks.yaml"
start all "$server" all --config "$work/config"
until_ready all 23000
until_listens all 23010
password_of() { "$server" account-admin --config "$work/config" "$1" | sed -n 's/^password: //p'; }
OPENIM_ADMIN_PASSWORD=$(password_of admin) OPENIM_READER_PASSWORD=$(password_of reader)
export OPENIM_ADMIN_PASSWORD OPENIM_READER_PASSWORD OPENIM_CONSOLE=http://127.0.0.1:23010 OPENIM_LOG=$work/log
tested console.test.mjs
