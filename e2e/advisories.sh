#!/usr/bin/env bash
# Security advisories against the locked dependencies: `advisories.sh check`. The gate's machine reaches no advisory database, so the facts of
# RustSec's (https://rustsec.org, CC0) are kept in advisories.tsv, of all crates, so that a new dependency is looked at too.
# `advisories.sh refresh CHECKOUT` rewrites them from a clone of github.com/rustsec/advisory-db; do it before a release. Facts
# older than a year fail the check.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
facts=$root/e2e/advisories.tsv
date=$(sed -n '1s/.* of \([^:]*:[^:]*:[^:]*:[0-9]*\):.*/\1/p' "$facts")

refresh() { # CHECKOUT
  { git -C "$1" log -1 --format='# RustSec advisory-db %H of %cI: id, crate, date, kind, patched, unaffected'
    python3 - "$1" <<'END'
import pathlib, sys, tomllib
for file in sorted(pathlib.Path(sys.argv[1], "crates").glob("*/*.md")):
    head = file.read_text().removeprefix("```toml\n").split("\n```", 1)[0]
    facts = tomllib.loads(head)
    advisory, versions = facts["advisory"], facts.get("versions", {})
    if "withdrawn" in advisory: continue
    ranges = [";".join(versions.get(key, [])) for key in ("patched", "unaffected")]
    print(*(str(field).replace("\t", " ").strip() for field in
            (advisory["id"], advisory["package"], advisory["date"], advisory.get("informational", ""), *ranges)), sep="\t")
END
  } > "$facts.new"
  mv "$facts.new" "$facts"
}

# As the database that cargo-deny reads: a git repository with one file for each advisory.
database() { # FOLDER
  git init -q "$1"
  python3 - "$facts" "$1" <<'END'
import json, pathlib, sys
for line in pathlib.Path(sys.argv[1]).read_text().splitlines()[1:]:
    id, package, date, kind, patched, unaffected = line.split("\t")
    lists = [json.dumps([part for part in text.split(";") if part]) for text in (patched, unaffected)]
    folder = pathlib.Path(sys.argv[2], "crates", package)
    folder.mkdir(parents=True, exist_ok=True)
    kind = f'informational = "{kind}"\n' if kind else ""
    (folder / f"{id}.md").write_text(
        f'```toml\n[advisory]\nid = "{id}"\npackage = "{package}"\ndate = "{date}"\nurl = "https://rustsec.org/advisories/{id}"\n{kind}\n'
        f'[versions]\npatched = {lists[0]}\nunaffected = {lists[1]}\n```\n\n# {id}: {package}\n')
END
  git -C "$1" add -A
  GIT_AUTHOR_DATE=$date GIT_COMMITTER_DATE=$date git -C "$1" -c user.name=advisories -c user.email=advisories@invalid commit -q -m "advisories of $date"
}

check() {
  local cargo_deny=${CARGO_DENY:-cargo-deny}
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  database "$work/db/advisory-db-3157b0e258782691"
  sed "s#^\[advisories\]#&\ndb-path = \"$work/db\"#" "$root/deny.toml" > "$work/deny.toml"
  echo "facts of $date"
  [ "$(date -d "$date + 1 year" +%s)" -gt "$(date +%s)" ] || { echo "they are over a year old: run e2e/advisories.sh refresh"; exit 1; }
  local manifest
  for manifest in Cargo.toml e2e/tests/fuzz/Cargo.toml; do
    cargo fetch -q --locked --manifest-path "$root/$manifest"
    "$cargo_deny" --offline --manifest-path "$root/$manifest" --config "$work/deny.toml" check advisories
  done
}

case ${1:-} in
  check) check ;;
  refresh) refresh "${2:?the clone of github.com/rustsec/advisory-db}" ;;
  *) sed -n '2,6s/^# //p' "$0"; exit 2 ;;
esac
