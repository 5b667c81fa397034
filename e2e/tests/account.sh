#!/usr/bin/env bash
# Accounts: people register by a code from a real SMTP server, log in, connect and find each other; a ban cuts off at once. Without Kubernetes,
# with real MongoDB, Kafka and Redis on loopback.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib/loopback.sh"

start_servers
write_config 'discovery: {enable: static}' "${plain[@]}" \
  'accounts: {enable: true, chatPort: 23008, adminPort: 23009, codes: {pauseSeconds: 0},
    mail: {host: 127.0.0.1, port: 23025, security: none, from: "Example <codes@example.org>"}}'
start all "$server" all --config "$work/config"
until_ready all 23000
until_listens all 23008
first=$("$server" account-admin --config "$work/config")
OPENIM_ADMIN_PASSWORD=$(sed -n 's/^password: //p' <<< "$first")
[ "${#OPENIM_ADMIN_PASSWORD}" -ge 16 ] || { echo "no password was generated: $first"; exit 1; }
export OPENIM_ADMIN_PASSWORD OPENIM_CHAT=http://127.0.0.1:23008 OPENIM_CHAT_ADMIN=http://127.0.0.1:23009 OPENIM_SMTP_PORT=23025
tested account.test.mjs
