#!/usr/bin/env bash
# Runs every suite and ends in one count. What cannot run here is reported as
# skipped, with the reason; -strict turns that into a failure.
#   run-tests.sh [-strict] [-only-e2e]
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
strict='' only=''
for a in "$@"; do
	case $a in
	-strict) strict=-strict ;;
	-only-e2e) only=e2e ;;
	*) echo "run-tests: unknown argument $a" >&2; exit 2 ;;
	esac
done

# skip SUITE REASON: an event that the tally counts as a skipped test.
skip() {
	printf '{"Action":"output","Package":"bakehouse/%s","Test":"all of it","Output":"%s\\n"}\n' "$1" "$2"
	printf '{"Action":"skip","Package":"bakehouse/%s","Test":"all of it"}\n' "$1"
}

# broken SUITE REASON: an event that the tally counts as a failed test.
broken() {
	printf '{"Action":"output","Package":"bakehouse/%s","Test":"set-up","Output":"%s\\n"}\n' "$1" "$2"
	printf '{"Action":"fail","Package":"bakehouse/%s","Test":"set-up"}\n' "$1"
}

suites() {
	if [ "$(id -u)" != 0 ]; then
		[ -n "$only" ] || go test -json ./...
		skip test/lab 'the lab makes namespaces and mounts: run as root'
		skip test/e2e 'the lab makes namespaces and mounts: run as root'
		return
	fi
	[ -n "$only" ] || go test -json -p 2 -timeout 30m -tags lab ./...
	if ! bin/lab up >&2; then
		broken test/e2e 'the lab did not come up; its words stand above'
		return
	fi
	trap 'bin/lab down >&2' EXIT # when this script is ended in the middle
	bin/lab run -- go test -json -count 1 -timeout 75m -tags e2e ./test/e2e
	trap - EXIT
	bin/lab down >&2 || broken test/lab 'the lab did not go down cleanly'
}

[ -n "$only" ] || test/tools/lint.sh || exit 1
suites | bin/tally $strict
