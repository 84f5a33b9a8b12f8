#!/usr/bin/env bash
# Compares boot-agent's pull with what people use instead. Run by `make bench-pull`
# as root. The peers are built once from the Go module proxy into the lab's cache;
# arguments go to pullbench (-mib 256 -runs 1 is a quick look).
set -euo pipefail
cd "$(dirname "$0")/../.."

cache=${BAKEHOUSE_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bakehouse-lab}/peers
if [[ ! -x $cache/versitygw || ! -x $cache/s5cmd ]]; then
	mkdir -p "$cache/module"
	# A module of their own: the proxy serves these versions, but lists none,
	# which `go install package@version` asks for.
	printf 'module peers\n\ngo 1.26\n\nrequire (\n\tgithub.com/peak/s5cmd/v2 v2.3.0\n\tgithub.com/versity/versitygw v1.8.0\n)\n' >"$cache/module/go.mod"
	(cd "$cache/module" && go build -mod=mod -o "$cache/s5cmd" github.com/peak/s5cmd/v2 &&
		go build -mod=mod -o "$cache/versitygw" github.com/versity/versitygw/cmd/versitygw)
fi
for tool in aws zstd tar unshare; do
	command -v "$tool" >/dev/null || { echo "bench-pull: error: $tool is not installed" >&2; exit 2; }
done
exec go run ./test/pullbench -bin bin -versitygw "$cache/versitygw" -s5cmd "$cache/s5cmd" -dir "${BENCH_DIR:-/dev/shm}" "$@"
