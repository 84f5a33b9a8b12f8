#!/usr/bin/env bash
# gofmt, go vet and staticcheck over every build tag; shellcheck over scripts.
set -euo pipefail
cd "$(dirname "$0")/../.."
tags=${1:-lab,e2e,bench}

unformatted=$(git ls-files '*.go' | xargs -r gofmt -l)
if [ -n "$unformatted" ]; then
	printf 'lint: not formatted (gofmt -w):\n%s\n' "$unformatted" >&2
	exit 1
fi
go vet -tags "$tags" ./...
go tool staticcheck -tags "$tags" ./...
git ls-files '*.sh' .ci/run | xargs shellcheck --severity=warning
for f in $(git ls-files '*.rb' ':!test/fixtures'); do
	ruby -wc "$f" >/dev/null
done
test/tools/lint-jenkinsfile.sh Jenkinsfile
echo 'lint: ok'
