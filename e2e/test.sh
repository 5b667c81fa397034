#!/usr/bin/env bash
# Everything that fits into one run: formatting, clippy, unit and property tests, drift, chart, then e2e on the real cluster. What takes longer is in
# e2e/soak.sh; docs/TESTING.md says what is shown where. One closing summary line.
#   e2e/test.sh [fast | loopback | cluster]      fast: what needs neither servers nor a cluster, and no simulation; loopback: only what runs on real servers without a
#                                                cluster; cluster: only what needs one
set -uo pipefail
export OPENIM_PROFILE=${OPENIM_PROFILE:-gate}
# The same cases in every run: what fails here fails again. Soak takes others.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-1} FUZZ_SEED=${FUZZ_SEED:-1} OPENAPI_SEED=${OPENAPI_SEED:-1}
. "$(dirname "$0")/lib.sh"
cd "$root" || exit
. e2e/parts.sh
mode=${1:-all}
case $mode in all | fast | loopback | cluster) ;; *) echo "usage: $0 [fast | loopback | cluster]" >&2; exit 2 ;; esac
wants() { [[ " $* " == *" $mode "* ]]; }
rm -f e2e/out/shown-*.json e2e/out/operator-audit*.log
echo "commit $commit, profile $OPENIM_PROFILE, seeds $PROPTEST_RNG_SEED (properties) $FUZZ_SEED (fuzzing) $OPENAPI_SEED (OpenAPI), $(nproc) processors, load $(cut -d' ' -f1-3 /proc/loadavg)"

build "Debian packages" e2e/tools/cluster/build.sh packages
# Go's programs and the stand-ins are built beside Rust's. All that compiles has ended before the cluster is tested: it would slow down what has deadlines.
tools="tools of the cluster and tests" programs="programs and tests compiled"
if [ "$mode" != fast ]; then limit=3600 beside "$tools" tools; fi
if wants all fast; then
  build "tools of the checks" e2e/tools/cluster/build.sh checks
  part "formatting" cargo fmt --all --check
  part "scripts, spelling, rules" e2e/lint.sh
  part "test runner" e2e/tests/runner.sh
  part "release, dry" e2e/tests/release.sh
  part "alerts" alerts
  part "links" node e2e/links.mjs
  part "names in the docs" node e2e/fields.mjs
  part "names in the docs, check" e2e/tests/fields.sh
  part "the docs as a book" e2e/docs.sh quick
  part "badges" node e2e/badges.mjs --check
  part "words" node e2e/words.mjs
  part "word list check" e2e/tests/words.sh
  part "floors check" e2e/tests/floors.sh
  part "table of claims" node e2e/claims.mjs
  part "table of claims, check" e2e/tests/claims.sh
  part "table of upstream's fixes" node e2e/tools/contract/fixes.mjs --check
  limit=2400 part "clippy" cargo_static clippy -q --all-targets -- -D warnings
  limit=3600 build "$programs" compiled || blocked="the programs do not compile"
elif wants loopback; then
  limit=3600 build "$programs" compiled || blocked="the programs do not compile"
else
  limit=3600 build "$programs" compiled programs || blocked="the programs do not compile"
fi
if [ "$mode" != fast ]; then
  limit=1800 build "earlier version compiled" earlier_version
  ! wants all || build "fuzz targets compiled" e2e/tests/fuzz.sh build
  # What is missing is tried once more by the part that needs it.
  uncounted=1 joined "$tools"
  grep -E '^  .* [0-9]+ s$' "$(log_of "$tools")" # how long each took
fi

if wants all fast; then
  part "unit and property tests" cargo_static test --lib --bins --tests --no-fail-fast
  part "licences and sources" "$bin/cargo-deny" check bans licenses sources
  part "security advisories" env CARGO_DENY="$bin/cargo-deny" e2e/advisories.sh check
  part "go vet" vet
  part "Flux, Argo CD, OLM" gitops
  if wants all; then
    # Nothing beside them: they take all processors, and a low priority would not protect pods, which are scheduled in groups of their own.
    part "2 000 simulated rollouts" simulation
    part "fuzzing" e2e/tests/fuzz.sh
  fi
fi
# Layers: docs/TESTING.md. What follows asks cargo no more whether everything is built.
[ -n "$blocked" ] || export OPENIM_BUILT=1
at_once=$(($(nproc) < 4 ? $(nproc) : 4))
# Without networks of their own they would meet.
unshare --net true 2> /dev/null || unshare --user --map-root-user --net true 2> /dev/null || at_once=1
! wants all cluster || beside "make up" e2e/up.sh
if wants all loopback; then
  # While the cluster comes up, which takes the processors, nothing whose servers notice how long something takes.
  later "REST" e2e/tests/rest.sh
  later "OpenAPI" e2e/tests/openapi.sh
  later "object storage" e2e/tests/objects.sh
  later "the published platform API" e2e/tests/openapi-published.sh
  later "SDKs without a browser" e2e/tests/sdk-builds.sh native
  if wants all && [ "$at_once" -gt 1 ]; then together $((at_once - 1)); else together "$at_once"; fi
fi
up=0
! wants all cluster || joined "make up" || up=$?
[ "$mode" = fast ] || later "operator and API server" e2e/tests/operator-api.sh
if wants all loopback; then
  later "Sentinel, Redis Cluster, TLS" e2e/tests/servers.sh
  later "webhooks" e2e/tests/webhooks.sh
  later "services without Kubernetes" e2e/tests/from-source.sh
  later "rights and room in Kafka" e2e/tests/kafka.sh
  later "users are erased, backups are sealed" e2e/tests/erase.sh
  later "accounts" e2e/tests/account.sh
  later "streams" e2e/tests/streams.sh
  later "console" e2e/tests/console.sh
  later "a move from upstream" e2e/tests/import.sh
fi
[ "$mode" = fast ] || together "$at_once"
if wants all loopback; then
  # Nothing beside them: one counts memory, the other freezes processes.
  part "memory has a bound" e2e/tests/memory.sh
  part "fault injection, short" e2e/tests/nemeses.sh core
fi
if wants all cluster; then
  [ $up = 0 ] || blocked=${blocked:-the cluster is not up}
  if [ -z "$blocked$stopped" ]; then export OPENIM_ENDPOINTS; OPENIM_ENDPOINTS=$(e2e/endpoints.sh); fi
  part "chart" chart
  part "make up again changes nothing" e2e/tests/up-twice.sh
  part "through the ingress" e2e/tests/ingress.sh
  part "operator on the real cluster" e2e/tests/operator.sh
  part "gateway autoscaling" e2e/tests/scaling.sh
  part "backup and restore" e2e/tests/backup.sh
  part "Gateway API route" e2e/tests/gateway-api.sh route
  part "upgrades under load" e2e/tests/upgrade.sh
  part "real SDK in a real browser" e2e/tests/sdk.sh
  part "the operator's rights" e2e/tests/rights.sh
  part "no secret leaks" e2e/tests/secrets.sh
  ! wants all || part "protocol coverage" node e2e/tools/contract/report.mjs
  part "metrics are scraped" e2e/tests/metrics.sh
fi
stale=$(e2e/soak.sh --stale) || stale="(unknown)"
[ -z "$stale" ] || echo "soak is stale for: $stale (make soak-list; make soak PARTS=stale)"
summary
