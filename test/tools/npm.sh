#!/usr/bin/env bash
# The npm packages that tests use, in a folder beside the lab's cache.
#   npm.sh where     print the folder
#   npm.sh install   install what is missing
set -euo pipefail
version=16.2.0
home=${BAKEHOUSE_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/bakehouse-tools}/npm-groovy-lint-$version
case ${1:-} in
where) echo "$home" ;;
install)
	[ -e "$home/node_modules/npm-groovy-lint/lib/java/CodeNarcServer.jar" ] && exit
	mkdir -p "$home"
	npm install --prefix "$home" --no-audit --no-fund --ignore-scripts --loglevel error "npm-groovy-lint@$version"
	;;
*) echo 'npm.sh: error: where or install' >&2; exit 2 ;;
esac
