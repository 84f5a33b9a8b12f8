#!/usr/bin/env bash
# Runs a bake for every call that a bake makes and every fault, in the lab, and
# prints the table. The bounded form of the same suite is part of `make test`.
set -euo pipefail
cd "$(dirname "$0")/../.."
table=$(mktemp)
bin/lab up >&2
trap 'bin/lab down >&2; rm -f "$table"' EXIT
code=0
bin/lab run -- env BAKEHOUSE_FAULTS="$table" go test -tags e2e -count 1 -timeout 90m -run '^TestNoFaultLeavesAnything$' ./test/e2e >&2 || code=$?
cat "$table"
exit "$code"
