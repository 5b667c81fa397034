#!/usr/bin/env bash
# Tests the check of names in the docs (e2e/fields.mjs): each kind of wrong name is reported, and right ones pass.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
cd "$root"
page=$(mktemp --suffix=.md)
trap 'rm -f "$page"' EXIT
reported() { # WHAT: the page on standard input fails with it
  local said
  cat > "$page"
  said=$(node e2e/fields.mjs "$page" 2>&1) && { echo "'$1' is not reported"; exit 1; }
  grep -qF "$1" <<< "$said" || { echo "not '$1' but: $said"; exit 1; }
}
reported 'there is no field spec.mongodb.database' <<< 'Set `spec.mongodb.database`.'
reported 'there is no field status.replicas' <<< 'See `status.replicas`.'
reported 'an example has the field spec.rollout.pause' <<< $'```yaml\nspec:\n  rollout:\n    pause: true\n```'
reported 'an example has the field spec.kafka.managed.nodes' <<< $'```yaml\nspec:\n  kafka: {managed: {storage: 50Gi, nodes: 3}}   # a comment: here\n```'
reported 'an example has the field spec.services.msg.pods.nodes' <<< $'```yaml\nspec:\n  services:\n    msg:\n      pods: {nodes: {disk: fast}}\n```'
reported 'an example has the field spec.hosts' <<< $'```sh\nkubectl apply -f - <<END\napiVersion: openim.io/v1alpha1\nspec:\n  hosts: [a]\nEND\n```'
reported 'there is no setting IMENV_API_PORT' <<< 'Set IMENV_API_PORT.'
reported 'there is no make everything' <<< 'Run `make everything`.'
reported 'there is no route /user/register' <<< 'Call `/user/register`.'
reported 'there is no services/nobody/src' <<< 'See `services/nobody/src`.'
reported 'openim-server:9.9.9 is not version' <<< 'docker build -t ghcr.io/openim-cluster/openim-server:9.9.9 .'
reported 'docker.io/library/mongo:3 is not an image' <<< 'It runs `docker.io/library/mongo:3`.'

cat > "$page" << 'END'
`spec.services.NAME.replicas`, `spec.config.notifications`, `status.conditions`, `spec.rollout.windows[].start`, IMENV_LOG_LEVEL, `make up`, `/user/user_register`, `e2e/lib.sh`

```yaml
spec:
  rollout:
    windows:
      - {days: [Sat, Sun], start: "02:30", minutes: 120}   # UTC: always
  webhooks: {url: "https://example.org", hooks: {afterSendGroupMsg: {timeout: 2}}}
  pods:
    tolerations: [{key: chat, operator: Exists}]
```
END
node e2e/fields.mjs "$page" > /dev/null
