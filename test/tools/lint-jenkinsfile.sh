#!/usr/bin/env bash
# Lints Jenkinsfiles with CodeNarc, which npm-groovy-lint brings; npm-groovy-lint
# itself wants to start a server and does not end without a network. Two broken
# copies are linted with them: what does not object to those proves nothing.
#   lint-jenkinsfile.sh FILE...
set -euo pipefail
tools=$(cd "$(dirname "$0")" && pwd)
home=$("$tools/npm.sh" where)
jars=$home/node_modules/npm-groovy-lint/lib/java

fail() { printf 'lint-jenkinsfile: error: %s\n  next: %s\n' "$1" "$2" >&2; exit "${3:-1}"; }
[ $# -gt 0 ] || fail 'no file is named' 'lint-jenkinsfile.sh FILE...' 2
command -v java >/dev/null || fail 'java is not installed' 'run test/tools/deps.sh' 2
[ -e "$jars/CodeNarcServer.jar" ] || fail "there is no CodeNarc in $jars" 'run test/tools/deps.sh' 2

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
n=0
for f in "$@"; do
	[ -r "$f" ] || fail "cannot read $f" 'correct the name' 2
	n=$((n + 1))
	cp "$f" "$dir/$n.groovy"
done
sed '$d' "$1" >"$dir/unclosed.groovy"
{ echo 'import java.util.List'; cat "$1"; } >"$dir/unused.groovy"

# CodeNarc only warns of a file that it cannot parse, and goes on.
out=$(java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$jars/*:$jars/groovy/lib/*" org.codenarc.CodeNarc \
	-basedir="$dir" -includes='*.groovy' -rulesetfiles="file:$tools/jenkinsfile-rules.xml" -report=console 2>&1) ||
	fail "CodeNarc failed: $(tail -n 3 <<<"$out" | tr '\n' ' ')" 'run test/tools/deps.sh again'
[[ $out == *"TotalFiles=$((n + 2)) "* ]] || fail "CodeNarc did not read every file: $(grep Summary <<<"$out" || true)" 'run test/tools/deps.sh again'

# verdict FILE: what CodeNarc says of it, nothing if all is well.
verdict() {
	grep -A 6 -F "Compilation failed for [SourceFile[$dir/$1]]" <<<"$out" || true
	awk -v file="File: $1" '$0 ~ /^File: / { on = ($0 == file) } on && /Violation:/ { print }' <<<"$out"
}
for broken in unclosed.groovy unused.groovy; do
	[ -n "$(verdict "$broken")" ] || fail "CodeNarc has nothing against a file that is broken on purpose ($broken)" 'look at jenkinsfile-rules.xml'
done
code=0 n=0
for f in "$@"; do
	n=$((n + 1))
	said=$(verdict "$n.groovy")
	[ -z "$said" ] || { printf 'lint-jenkinsfile: %s:\n%s\n' "$f" "$said" >&2; code=1; }
done
exit "$code"
