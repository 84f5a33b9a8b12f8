#!/usr/bin/env bash
# Runs a bake for every call that a bake makes and every fault, in the lab, and
# prints the table; docs/faults.md says more. The bounded form of the same suite
# is part of `make test`.
#   faults.sh [PART] [I/N]   only a part (plain, added, looks or proof); only the
#                            Ith of N slices of its calls
#   faults.sh waits          one bake whose image stays pending for PENDING
#                            (default: 10m) while EC2 throttles and forgets
set -euo pipefail
cd "$(dirname "$0")/../.."
test='^TestNoFaultLeavesAnything$' pending=''
case ${1-} in
'' | plain | added | looks | proof) ;;
waits) test='^TestLaunching$/^bakes$/^slow_EC2$' pending=${PENDING:-10m} ;;
*) echo "faults: unknown argument $1" >&2; exit 2 ;;
esac
[[ ${2-} =~ ^([1-9][0-9]*/[1-9][0-9]*)?$ ]] || { echo "faults: unknown slice $2: write 2/5" >&2; exit 2; }
[ -z "$pending" ] || [ -z "${2-}" ] || { echo "faults: waits has no slices" >&2; exit 2; }
table=$(mktemp)
bin/lab up >&2
trap 'bin/lab down >&2; rm -f "$table"' EXIT
code=0
bin/lab run -- env BAKEHOUSE_FAULTS="$table" BAKEHOUSE_FAULTS_OF="${1-}" BAKEHOUSE_FAULTS_SHARD="${2-}" BAKEHOUSE_FAULTS_PENDING="$pending" \
	go test -tags e2e -count 1 -timeout 180m -run "$test" ./test/e2e >&2 || code=$?
cat "$table"
exit "$code"
