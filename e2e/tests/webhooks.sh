#!/usr/bin/env bash
# Webhooks and offline push against a recording receiver: the body of every hook is checked, vetoes and changes take effect, and nothing is lost while a
# receiver is unavailable or the service that calls it is killed. Each service is a process of its own on loopback; ingress.sh configures hooks in the object.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
prepare() { [ -x "$bin/hooks" ] || "$root/e2e/tools/cluster/build.sh"; }
. "$(dirname "$0")/lib/loopback.sh"
start_servers
start hooks "$bin/hooks"
until_listens hooks 8080
recorder=http://127.0.0.1:8080/hook-recorder
# A push vendor is a receiver too: JPush's requests go to the recorder.
write_config 'discovery: {enable: static}' "${plain[@]}" 'push: {enable: [jpush], jpush: {appKey: app, masterSecret: master, pushURL: "'$recorder'/hooks/jpush"}}'
{
  printf 'url: "%s/hooks"\nsigningSecret: a-signing-secret\n' "$recorder"
  sed -n 's/^\([a-zA-Z]*\): {enable.*/\1: {enable: true, timeout: 5, failedContinue: false}/p' "$root/config/webhooks.yaml"
} > "$work/config/webhooks.yaml"
starter=supervised start_each auth user relation conversation group third msg transfer push api gateway cron
OPENIM_RECORDER=$recorder OPENIM_AGAIN=$work/again tested webhooks.test.mjs
