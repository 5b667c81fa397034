#!/usr/bin/env bash
# Tests the word list (e2e/words.mjs): each phrase is found in every kind of text, what nobody reads is not, and a good text passes.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
git init -q .
mkdir -p operator/src/tests charts/x crds notes e2e/tests .github/workflows
check() { node "$root/e2e/words.mjs" "$work" 2>&1; }
found() { # FILE LINE PHRASE: it fails and names it
  local said
  said=$(check) && { echo "$1 passes: $(cat "$1")"; exit 1; }
  grep -qF "$1:$2: \"$3\": " <<< "$said" || { echo "it does not name $1:$2 $3: $said"; exit 1; }
  rm "$1"
}
check > /dev/null && { echo "an empty folder passes"; exit 1; }
echo 'The old pods keep serving; the limit is 10 %.' > README.md
check > /dev/null || { check; exit 1; }

printf 'Good.\nThe pods of before serve.\n' > notes/page.md; found notes/page.md 2 "pods of before"
echo '/// It is made anew.' > operator/src/a.rs; found operator/src/a.rs 1 "anew"
printf 'fn f() {\n    let text = "failed 9 of 40, 10 %% may";\n}\n' > operator/src/a.rs; found operator/src/a.rs 2 "10 % may"
echo '# One that speaks TLS.' > charts/x/values.yaml; found charts/x/values.yaml 1 "speaks TLS"
echo 'description: Friends and black lists.' > crds/a.yaml; found crds/a.yaml 1 "black lists"
printf 'up: ## it goes on by itself\n' > Makefile; found Makefile 1 "goes on by itself"
echo '# all when left out' > e2e/x.sh; found e2e/x.sh 1 "left out"
echo '# made anew for each tag' > .github/workflows/x.yml; found .github/workflows/x.yml 1 "anew"
echo 'Whatever Is Told here' > notes/page.md; found notes/page.md 1 "Is Told"

# Plain comments, code and tests are not for users.
echo '# made anew' > e2e/tests/y.sh
printf '// anew\nlet anew = 1;\n#[cfg(test)]\nmod tests {\n    /// made anew\n}\n' > operator/src/a.rs
echo '/// made anew' > operator/src/tests/b.rs
printf 'renewal, canew and anew-looking words are others\n' > notes/page.md
check > /dev/null || { check; exit 1; }
