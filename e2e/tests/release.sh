#!/usr/bin/env bash
# What `make release` refuses, with what to do, and what a dry run leaves: notes, a krew manifest and checksums of what there is; what is not there is named.
# On a copy of this checkout; nothing is compiled.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
copy=$work/copy version=$(workspace_version)
git_here() { git -C "$copy" -c user.name=release -c user.email=release@invalid "$@"; }
git clone -q --no-hardlinks "$root" "$copy"
# What is tested is this checkout, also what is not committed yet.
(cd "$root" && git ls-files -z -mco --exclude-standard | tar --null --ignore-failed-read -cf - -T - 2> /dev/null) | tar -C "$copy" -xf -
git_here add -A
git_here commit -qm "as it is" --allow-empty

# Neither helm, docker nor cosign: what is missing has to be said.
mkdir "$work/bin"
for program in awk basename bash cat cp cut date dirname env find git grep gzip head mkdir mktemp paste rm sed sha256sum sort tail tar tr uname xargs; do
  ln -s "$(command -v "$program")" "$work/bin"
done
release() { # OPTIONS…: its output is $said, its code $code
  code=0
  said=$(env -i HOME="$work" PATH="$work/bin" DRY=1 "${with[@]}" bash "$copy/e2e/release.sh" "$@" 2>&1) || code=$?
}
with=()
refused() { # WORDS REMEDY VERSION
  release "$3"
  [ "$code" != 0 ] && grep -q "$1" <<< "$said" && grep -q "$2" <<< "$said" || { echo "expected '$1' and '$2', got $code and: $said"; exit 1; }
}
change() { # FILE SCRIPT: commits it
  sed -i "$2" "$copy/$1"
  git_here commit -qam "change $1" --allow-empty
}

echo "no version, an unknown one, one that CHANGELOG.md does not have"
refused "usage" "make release VERSION" ""
refused "usage" "make release VERSION" one
refused "the sources are version $version" "in Cargo.toml" 99.0.0
change CHANGELOG.md "s/^## $version.*/## Unreleased/"
refused "CHANGELOG.md says nothing of $version" "'## $version' in place of" "$version"
change CHANGELOG.md "0,/^## Unreleased/s//## $version/"

echo "a chart or compose.yaml of another version, a dirty tree, a tag that is elsewhere"
change charts/openim-operator/Chart.yaml 's/^appVersion: .*/appVersion: 9.9.9/'
refused "the chart has appVersion 9.9.9" "say appVersion: $version" "$version"
change charts/openim-operator/Chart.yaml "s/^appVersion: .*/appVersion: $version/"
change compose.yaml "s/openim-server:$version/openim-server:9.9.9/"
refused "compose.yaml names another version" "openim-server:$version" "$version"
change compose.yaml "s/openim-server:9.9.9/openim-server:$version/"
echo "# changed" >> "$copy/Makefile"
refused "not committed" "commit or stash them: Makefile" "$version"
git_here checkout -q Makefile
git_here tag "v$version" HEAD~1
refused "v$version is another commit" "choose the next version" "$version"
git_here tag -d "v$version" > /dev/null

echo "a dry run: what there is is described, what is missing is named"
dist=$copy/dist/$version
mkdir -p "$dist"
# Made on another machine.
echo "an archive" > "$dist/kubectl-openim-darwin-arm64.tar.gz"
release "$version"
[ "$code" = 0 ] || { echo "$said"; exit 1; }
for line in "kubectl-openim for linux-arm64: run '.*release.sh $version plugin' on such a machine.*" "the chart: helm is missing" "images: Docker with buildx is missing" \
  "bills of materials: a dry run compiles nothing" "signatures: cosign is missing"; do
  grep -qx "not in this release: $line" <<< "$said" || { echo "'$line' is not said: $said"; exit 1; }
done
[ "$(grep -c 'uri:' "$dist/openim.yaml")" = 1 ] || { cat "$dist/openim.yaml"; exit 1; }
grep -A2 'os: darwin, arch: arm64' "$dist/openim.yaml" | grep -q "sha256: $(sha256sum < "$dist/kubectl-openim-darwin-arm64.tar.gz" | cut -d' ' -f1)\$" || { cat "$dist/openim.yaml"; exit 1; }
[ -n "$(grep '^- ' "$dist/notes.md")" ] && ! grep -q '^## ' "$dist/notes.md" || { echo "the notes are not one section:"; head -5 "$dist/notes.md"; exit 1; }
(cd "$dist" && sha256sum --quiet --check SHA256SUMS)
[ "$(wc -l < "$dist/SHA256SUMS")" = "$(find "$dist" -type f ! -name SHA256SUMS | wc -l)" ] || { cat "$dist/SHA256SUMS"; exit 1; }

echo "a release that has to be complete fails then"
with=(COMPLETE=1)
release "$version"
[ "$code" = 1 ] || { echo "ended with $code: $said"; exit 1; }
