#!/usr/bin/env bash
# Builds a release of this commit in dist/VERSION: images, the chart, kubectl-openim with its krew manifest, bills of materials, checksums, signatures and the
# notes of CHANGELOG.md. What this machine cannot build is skipped and listed at the end. Nothing is published without REGISTRY.
#   e2e/release.sh VERSION            all of it
#   e2e/release.sh VERSION plugin     only kubectl-openim for this machine; archives that other machines built become part of the release if they are in dist/VERSION
# REGISTRY=ghcr.io/openim-cluster  images and chart are pushed there       COSIGN_KEY=file  signs with a key; default: with the identity of the workflow
# DRY=1  nothing is compiled                                               COMPLETE=1       fails if anything was skipped
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"
version=${1:-} only=${2:-all}
repository=https://github.com/openim-cluster/openim-cluster
platforms=(linux-amd64 linux-arm64 darwin-amd64 darwin-arm64)
missing=()
refuse() { echo "no release: $1" >&2; echo "  $2" >&2; exit 1; }
leave_out() { missing+=("$1"); echo "skipped: $1"; }
has_program() { command -v "$1" > /dev/null; }

[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[a-z0-9.]+)?$ ]] || { echo "usage: $0 VERSION [plugin], as make release VERSION=1.2.3; it is $(workspace_version) now" >&2; exit 2; }
[ "$only" = all ] || [ "$only" = plugin ] || { echo "usage: $0 VERSION [plugin]" >&2; exit 2; }
[ "$version" = "$(workspace_version)" ] || refuse "the sources are version $(workspace_version)" "say version = \"$version\" in Cargo.toml, run cargo metadata, and commit"
for field in version appVersion; do
  told=$(sed -n "s/^$field: //p" charts/openim-operator/Chart.yaml)
  [ "$told" = "$version" ] || refuse "the chart has $field $told" "say $field: $version in charts/openim-operator/Chart.yaml, and commit"
done
grep -q "openim-server:$version}\$" compose.yaml || refuse "compose.yaml names another version" "say openim-server:$version in compose.yaml, and commit"
[ -z "$(git status --porcelain)" ] || refuse "there are changes that are not committed" "commit or stash them: $(git status --porcelain | head -3 | cut -c4- | paste -sd' ')"
# notes: what CHANGELOG.md says of this version.
notes() { awk -v version="$version" '/^## / {inside = $2 == version; next} inside' CHANGELOG.md; }
[ -n "$(notes | tr -d '[:space:]')" ] || refuse "CHANGELOG.md says nothing of $version" "give its first section the title '## $version' in place of '## Unreleased', and commit"
if tagged=$(git rev-parse -q --verify "refs/tags/v$version^{commit}") && [ "$tagged" != "$(git rev-parse HEAD)" ]; then
  refuse "v$version is another commit, $(git rev-parse --short "$tagged")" "choose the next version, or check out v$version"
fi

dist=$root/dist/$version
mkdir -p "$dist"
# The same bytes from the same commit.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct); export SOURCE_DATE_EPOCH
pack() { tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf - "$@" | gzip -n; }

archived() { [ -f "$dist/kubectl-openim-$1.tar.gz" ]; }
plugin() {
  local here work
  here=$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
  ! archived "$here" || return 0
  [ -z "${DRY:-}" ] || return 0 # named below
  work=$(mktemp -d)
  step "kubectl-openim for $here" compile_plugin "$work"
  cp LICENSE "$work"
  pack -C "$work" kubectl-openim LICENSE > "$dist/kubectl-openim-$here.tar.gz"
  rm -rf "$work"
}
compile_plugin() { # FOLDER
  local flags=
  [ "$(uname -s)" != Linux ] || flags="-C target-feature=+crt-static"
  RUSTFLAGS=$flags cargo build --locked --release --target "$(rustc -vV | sed -n 's/^host: //p')" --target-dir "$OPENIM_CACHE/release-target" -p openim-operator --bin kubectl-openim
  cp "$OPENIM_CACHE/release-target/$(rustc -vV | sed -n 's/^host: //p')/release/kubectl-openim" "$1"
}
krew() {
  local platform archive
  cat << END_OF_FILE
apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata: {name: openim}
spec:
  version: v$version
  homepage: $repository
  shortDescription: Operate OpenIM messaging clusters
  description: |
    Shows the state of an OpenIMCluster, previews edits and diagnoses problems; approves and
    rolls back changes, shows logs, drains nodes, backs up and restores.
  platforms:
END_OF_FILE
  for platform in "${platforms[@]}"; do
    archived "$platform" || continue
    archive=$dist/kubectl-openim-$platform.tar.gz
    cat << END_OF_FILE
  - selector: {matchLabels: {os: ${platform%-*}, arch: ${platform#*-}}}
    uri: $repository/releases/download/v$version/$(basename "$archive")
    sha256: $(sha256sum "$archive" | cut -d' ' -f1)
    bin: kubectl-openim
END_OF_FILE
  done
}
chart() {
  local helm=helm
  has_program helm || [ ! -x "$bin/helm" ] || helm=$bin/helm
  has_program "$helm" || { leave_out "the chart: helm is missing"; return 0; }
  "$helm" package charts/openim-operator --destination "$dist" > /dev/null
  [ -z "${REGISTRY:-}" ] || "$helm" push "$dist/openim-operator-$version.tgz" "oci://$REGISTRY/charts"
}
images() {
  local name output
  docker buildx version > /dev/null 2>&1 || { leave_out "images: Docker with buildx is missing"; return 0; }
  docker info > /dev/null 2>&1 || { leave_out "images: no Docker engine runs"; return 0; }
  [ -z "${DRY:-}" ] || { leave_out "images: a dry run compiles nothing"; return 0; }
  for name in server operator; do
    output="type=oci,dest=$dist/openim-$name-$version.oci.tar"
    [ -z "${REGISTRY:-}" ] || output=type=registry
    step "image openim-$name" docker buildx build --platform linux/amd64,linux/arm64 --target "$name" --provenance=mode=max --sbom=true \
      --build-arg "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH" --tag "${REGISTRY:-ghcr.io/openim-cluster}/openim-$name:$version" \
      --metadata-file "$dist/openim-$name.json" --output "$output" .
  done
}
boms() {
  [ -z "${DRY:-}" ] || { leave_out "bills of materials: a dry run compiles nothing"; return 0; }
  e2e/sbom.sh "$dist/sbom"
  pack -C "$dist" sbom > "$dist/sbom-$version.tar.gz"
  rm -rf "$dist/sbom"
}
sign() {
  local key=() name digest
  has_program cosign || { leave_out "signatures: cosign is missing"; return 0; }
  if [ -n "${COSIGN_KEY:-}" ]; then
    key=(--key "$COSIGN_KEY")
  elif [ -z "${ACTIONS_ID_TOKEN_REQUEST_URL:-}" ]; then
    leave_out "signatures: there is neither COSIGN_KEY nor a workflow that may sign"
    return 0
  fi
  cosign sign-blob --yes "${key[@]}" --bundle "$dist/SHA256SUMS.bundle" "$dist/SHA256SUMS"
  [ -n "${REGISTRY:-}" ] || return 0
  for name in server operator; do
    digest=$(sed -n 's/.*"containerimage.digest": "\(.*\)".*/\1/p' "$dist/openim-$name.json")
    cosign sign --yes "${key[@]}" "$REGISTRY/openim-$name@${digest:?the digest of openim-$name}"
  done
}

[ "$only" = plugin ] || notes > "$dist/notes.md"
plugin
[ "$only" = all ] || exit 0
for platform in "${platforms[@]}"; do
  archived "$platform" || leave_out "kubectl-openim for $platform: run '$0 $version plugin' on such a machine and copy its archive to dist/$version"
done
krew > "$dist/openim.yaml"
cp compose.yaml "$dist"
chart
images
boms
(cd "$dist" && find . -type f ! -name 'SHA256SUMS*' -printf '%P\n' | LC_ALL=C sort | xargs sha256sum > SHA256SUMS)
sign
echo "dist/$version has:"
(cd "$dist" && find . -type f -printf '  %P\n' | LC_ALL=C sort)
[ ${#missing[@]} = 0 ] || printf 'not in this release: %s\n' "${missing[@]}"
[ -z "${COMPLETE:-}" ] || [ ${#missing[@]} = 0 ] || exit 1
