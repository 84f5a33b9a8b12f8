#!/usr/bin/env bash
# Measures in the lab and prints Markdown; WRITE=1 also replaces the section in
# docs/benchmarks.md. ROUNDS says how often (default 3).
#   bench.sh [bake|packer|lag]...
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- bake
write=()
[ "${WRITE:-}" != 1 ] || write=(-write "$PWD/docs/benchmarks.md")

if [[ " $* " = *" packer "* ]] && ! command -v packer >/dev/null; then
	[ "$(id -u)" = 0 ] || { echo 'bench: packer is not installed; install it, or run this as root' >&2; exit 2; }
	{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends packer; } >&2
fi
go build -trimpath -o bin/bench ./test/bench
bin/lab up >&2
trap 'bin/lab down >&2' EXIT
for what in "$@"; do
	bin/lab run -- bin/bench -rounds "${ROUNDS:-3}" "${write[@]}" "$what"
done
