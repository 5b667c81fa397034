#!/usr/bin/env bash
# What the operator may, compared with what it did in all the tests before: on the cluster, and with the API server of operator-api.sh.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
AUDIT_LOGS=$state/log:$root/e2e/out KUBECONFIG=$state/admin.kubeconfig node --no-warnings --test --test-reporter=spec "$root/e2e/tests/rights.test.mjs"
