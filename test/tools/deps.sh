#!/usr/bin/env bash
# Installs what demo and test need and says what it cannot install: the lab's
# packages, shellcheck and ruby for the lint and the stand-in's own tests,
# systemd for systemd-analyze, and npm and Java for the Jenkinsfile's lint.
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() { printf 'deps: error: %s\n  next: %s\n' "$1" "$2" >&2; exit 2; }

command -v go >/dev/null 2>&1 || fail 'Go is not installed' 'install Go 1.26 or newer and put it on PATH'
have=$(go env GOVERSION)
[ "$(printf '%s\ngo1.26\n' "$have" | sort -V | head -n 1)" = go1.26 ] ||
	fail "this is $have, and the module needs go1.26" 'install Go 1.26 or newer'
[ "$(uname -s)" = Linux ] || fail 'the lab needs Linux' 'run it on a Debian or Ubuntu machine'

missing=()
for p in shellcheck ruby systemd iproute2 $(go run ./test/lab deps); do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
# Node.js and Java may well be there without a package of Debian's.
command -v npm >/dev/null 2>&1 || missing+=(npm)
command -v java >/dev/null 2>&1 || missing+=(default-jre-headless)
if [ ${#missing[@]} -gt 0 ]; then
	[ "$(id -u)" = 0 ] || fail "missing packages: ${missing[*]}" "sudo apt-get install ${missing[*]}, or run this as root"
	echo "deps: installing ${missing[*]}"
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 || {
		tail -n 5 "$log" >&2
		fail "apt-get could not install ${missing[*]}" 'see the lines above; check the package sources'
	}
fi
go mod download
test/tools/npm.sh install || fail 'npm could not install npm-groovy-lint' 'see the lines above; check the npm registry that this machine uses'
