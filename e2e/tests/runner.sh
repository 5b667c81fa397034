#!/usr/bin/env bash
# What runs the parts (e2e/parts.sh): what hangs is stopped, what did not run is named and fails the run, and the summary is there whatever happens.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OPENIM_CACHE=$work OPENIM_CLUSTER_STATE=$work/none
cat > "$work/run.sh" <<'END'
set -uo pipefail
. "$1/e2e/lib.sh"; . "$1/e2e/parts.sh"
build "a build" true
part "three tests" bash -c 'echo "test result: ok. 3 passed; 0 failed"'
[ "$2" != hang ] || limit=1 part "a hang" sleep 600
[ "$2" != block ] || build "a broken build" false || blocked="nothing is built"
[ "$2" != slow ] || part "a slow one" sleep 600
# Two meet: they run at once. The third begins after one of them has ended, and that one stays until the other has looked.
reach() { touch "$work/$1"; until [ -e "$work/$2" ]; do sleep 0.1; done; }
export -f reach; export work=$OPENIM_CACHE
[[ $2 != together* ]] || {
  later "one" bash -c 'reach one another; reach one looked'
  later "another" bash -c 'reach another one; echo "# pass 2"; [ ! -e "$work/third" ]; code=$?; touch "$work/looked"; exit $code'
  later "a third" bash -c 'touch "$work/third"'
  limit=1 later "one that hangs" sleep 600
  together 2
}
[ "$2" != together-slow ] || { later "a slow one" sleep 600; later "a short one" true; later "another slow one" sleep 600; later "one too many" true; together 2; }
part "the last" true
summary
END
run() { # CASE: what it prints is $said, its code $code
  code=0
  said=$(timeout "$deadline" bash "$work/run.sh" "$root" "$@") || code=$?
}
expect() { # CODE LINE…: the code, and lines among those that were printed; the last one is the last
  local line=
  [ "$code" = "$1" ] || { echo "ended with $code, not $1:"; echo "$said"; exit 1; }
  shift
  for line; do grep -qx -- "$line" <<< "$said" || { echo "'$line' is not said:"; echo "$said"; exit 1; }; done
  [ "$(tail -1 <<< "$said")" = "$line" ] || { echo "the last line is not '$line':"; echo "$said"; exit 1; }
}
run good
expect 0 "4 passed, 0 failed"
run hang
expect 1 "a hang .*FAILED.*, stopped: it took too long" "failed: a hang" "4 passed, 1 failed"
run block
expect 1 "the last .*not run (nothing is built)" "failed: a broken build" "not run: the last" "3 passed, 1 failed"
OPENIM_TEST_DEADLINE=$(($(date +%s) + 10)) run slow
expect 1 "failed: a slow one" "failed: the whole run: its time is over" "not run: the last" "3 passed, 2 failed"
run together
expect 1 "one .*ok .*" "another .*ok .*2 tests" "a third .*ok .*" "one that hangs .*FAILED.*, stopped: it took too long" "failed: one that hangs" "8 passed, 1 failed"
[ "$(grep -c '\(one\|another\|a third\|one that hangs\) .*\(ok\|FAILED\)' <<< "$said")" = 4 ]
rm "$work"/{one,another,third,looked}
OPENIM_TEST_DEADLINE=$(($(date +%s) + 10)) run together-slow
expect 1 "a short one .*ok .*" "failed: a slow one" "failed: another slow one" "not run: one too many" "not run: the last" "8 passed, 4 failed"

echo "interrupted, it sums up"
bash "$work/run.sh" "$root" slow > "$work/said" & id=$!
end=$((SECONDS + deadline))
until grep -qs "^a slow one" "$work/said"; do [ $SECONDS -lt $end ] || exit 1; sleep 0.1; done
kill "$id"; code=0; wait "$id" || code=$?
said=$(cat "$work/said")
expect 1 "failed: the whole run: it was interrupted" "failed: a slow one" "not run: the last" "3 passed, 2 failed"
grep -q $'\ta slow one\tfailed\t[0-9]*$' "$work/history.tsv" || { cat "$work/history.tsv"; exit 1; }
