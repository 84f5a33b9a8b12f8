#!/bin/sh
# Looks for what an image must not hold. It shares no code with the scrub, only
# the table that the calls at the end are made from, and it prints one line
# "SURVIVED <tab> what <tab> path" for each thing it finds.
set -u
TAB=$(printf '\t')
IFS='
'
STAMP=/run/bakehouse/scrubbed

survived() { printf 'SURVIVED%s%s%s%s\n' "$TAB" "$1" "$TAB" "$2"; }

# each WHAT PATTERN FUNCTION: calls FUNCTION WHAT PATH for every path that
# matches; ~ stands for the home of every user that getent knows.
each() {
	case $2 in
	'~'*)
		getent passwd | cut -d: -f6 | sort -u | while read -r home; do
			each "$1" "${home%/}${2#\~}" "$3"
		done
		;;
	*)
		# shellcheck disable=SC2086
		for found in $2; do
			if [ -e "$found" ] || [ -L "$found" ]; then "$3" "$1" "$found"; fi
		done
		;;
	esac
}

# listed WHAT: every path on standard input is a survivor.
listed() { while read -r path; do survived "$1" "$path"; done; }

bare_() { find "$2" -xdev -mindepth 1 2>&1 | listed "$1"; }
no_files_() { find "$2" -xdev -type f 2>&1 | listed "$1"; }
blank_() { if [ -s "$2" ] || [ -d "$2" ]; then survived "$1" "$2"; fi; }
fresh_() { find "$2" -xdev -type f -size +0 ! -newer "$STAMP" 2>&1 | listed "$1"; }

absent() { each "$1" "$2" survived; }
bare() { each "$1" "$2" bare_; }
no_files() { each "$1" "$2" no_files_; }
blank() { each "$1" "$2" blank_; }
fresh() { each "$1" "$2" fresh_; }

# no_keys WHAT DIR: private keys in PEM files of up to 1 MiB, by content.
no_keys() {
	[ -d "$2" ] || return 0
	find "$2" -xdev -type f -size -2048 -exec grep -lIsE -e '^-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY( BLOCK)?-----' -- {} + |
		while read -r path; do allow "$path" || survived "$1" "$path"; done
}

# no_aws_secret WHAT DIR: files that set a secret key, but for examples.
no_aws_secret() {
	[ -d "$2" ] || return 0
	find "$2" -xdev -type f -size -2048 -exec grep -lIsEi -e 'aws_secret_access_key["'"'"']?[[:space:]]*[:=][[:space:]]*["'"'"']?[A-Za-z0-9/+]{40}' -- {} + |
		while read -r path; do survived "$1" "$path"; done
}

kept() { if [ ! -e "$1" ] && [ ! -L "$1" ]; then survived "damage: the scrub took" "$1"; fi; }

finish() { echo VERIFIED; }
