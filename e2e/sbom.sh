#!/usr/bin/env bash
# A bill of materials (CycloneDX, JSON) for each program that is shipped.
#   e2e/sbom.sh [DIRECTORY]     dist/sbom if omitted
set -euo pipefail
. "$(dirname "$0")/lib.sh"
to=${1:-$root/dist/sbom}
[ -x "$OPENIM_CACHE/cargo-cyclonedx/bin/cargo-cyclonedx" ] ||
  step "cargo-cyclonedx" cargo install cargo-cyclonedx --version 0.5.7 --locked --root "$OPENIM_CACHE/cargo-cyclonedx" --target-dir "$OPENIM_CACHE/cargo-cyclonedx-target"
rm -rf "$OPENIM_CACHE/cargo-cyclonedx-target"
mkdir -p "$to"
cd "$root"
PATH=$OPENIM_CACHE/cargo-cyclonedx/bin:$PATH cargo cyclonedx --format json --describe binaries --target x86_64-unknown-linux-gnu --quiet
for program in openim-server openim-operator kubectl-openim; do
  mv "$(find . -name "${program}_bin.cdx.json" -not -path "./target/*" -print -quit)" "$to/$program.cdx.json"
  printf '%-18s %4d packages\n' "$program" "$(node -p 'JSON.parse(require("fs").readFileSync(process.argv[1])).components.length' "$to/$program.cdx.json")"
done
find . -name '*.cdx.json' -not -path "./dist/*" -not -path "./target/*" -delete
