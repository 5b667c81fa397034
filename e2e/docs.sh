#!/usr/bin/env bash
# Builds the documentation as a static website with search, in dist/docs. The first run compiles mdBook.
#   e2e/docs.sh [quick]     quick: does nothing if mdBook is not compiled yet
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"
mdbook_version=0.5.4
mdbook=$OPENIM_CACHE/bin/mdbook
if [ "$("$mdbook" --version 2> /dev/null)" != "mdbook v$mdbook_version" ]; then
  [ "${1:-}" != quick ] || { echo "mdBook is not compiled: run make docs"; exit; }
  echo "compiling mdBook $mdbook_version (some minutes)"
  target=$(mktemp -d); trap 'rm -rf "$target"' EXIT
  CARGO_TARGET_DIR=$target nice cargo install -q --locked --force --no-default-features --features search --root "$OPENIM_CACHE" "mdbook@$mdbook_version"
fi
work=$(mktemp -d); trap 'rm -rf "$work" "${target:-$work}"' EXIT
cp -r docs "$work/docs"
# Pages outside of docs/ are not part of the book: links to them lead to the repository.
repository=$(sed -n 's/^git-repository-url = "\(.*\)"/\1/p' docs/book.toml)
find "$work/docs" -name '*.md' -exec sed -i -E "s#\]\((\.\./)+([A-Z]+\.md|compose\.yaml|services/|crates/|config/|charts/|e2e/)#](${repository//#/}/blob/main/\2#g" {} +
# The book calls README.md index.
find "$work/docs" -name '*.md' ! -name SUMMARY.md -exec sed -i 's#/README\.md)#/index.md)#g' {} +
rm -rf dist/docs
"$mdbook" build -d "$root/dist/docs" "$work/docs" 2>&1 | tee "$work/log"
! grep -E '^ *(WARN|ERROR)' "$work/log" > /dev/null || exit 1
rm -f dist/docs/book.toml
node e2e/links.mjs --site dist/docs
echo "dist/docs/index.html"
