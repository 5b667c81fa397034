#!/usr/bin/env bash
# npm @bitnami/readme-generator-for-helm 2.7.2: a value of several lines, or one with "|", breaks the table of the chart's README, and long numbers are wrong.
#
# Expected: one row for each value, with what values.yaml says.
# Seen: a text block is written with its line breaks into the cell, which tears the row apart; a bar is not escaped and opens another column; 9007199254740993
# is told as one less, and the mode 0755, which Helm reads as 493, as 755. Nothing is raised.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @bitnami/readme-generator-for-helm@2.7.2 > /dev/null
cat > values.yaml <<'END'
## @section Server
## @param limit Bytes in all
limit: 9007199254740993
## @param mode Mode of the volume
mode: 0755
## @param match Names to keep
match: "a|b"
## @param script Runs first
script: |
  one
  two
## @param last Comes last
last: 1
END
printf '# Chart\n\n## Parameters\n' > README.md
npx --no-install readme-generator -v values.yaml -r README.md > /dev/null
seen=$(sed -n '/^| `/,$p' README.md)
expected='| `limit`  | Bytes in all       | `9007199254740992` |
| `mode`   | Mode of the volume | `755`              |
| `match`  | Names to keep      | `a|b`              |
| `script` | Runs first         | `one
two
`         |
| `last`   | Comes last         | `1`                |'
printf '@bitnami/readme-generator-for-helm 2.7.2:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
