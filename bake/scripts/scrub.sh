#!/bin/sh
# Removes what makes this machine itself, so that every instance of the image
# becomes a machine of its own. The calls at the end are made from the bake's
# table of traces.
set -eu
umask 077
HOMES=$(cut -d: -f6 /etc/passwd | sort -u)
IFS='
'

# What stands here must not write a trace again between now and the power-off.
# None of it outlasts the boot: units are only stopped, and the rest is in /run.
quiet() {
	for unit in rsyslog.service syslog.socket syslog-ng.service cron.service chef-client.service cinc-client.service \
		amazon-ssm-agent.service snap.amazon-ssm-agent.amazon-ssm-agent.service fwupd.service; do
		systemctl stop "$unit" >/dev/null 2>&1 || true
	done
	# The last name wins over whatever the role says about storage.
	mkdir -p /run/systemd/journald.conf.d
	printf '[Journal]\nStorage=volatile\n' >/run/systemd/journald.conf.d/zzzz-bakehouse.conf
	systemctl restart systemd-journald >/dev/null 2>&1 || true
	# At shutdown these would save a seed and a login record to the disk.
	systemctl mask --runtime systemd-random-seed.service systemd-update-utmp.service >/dev/null 2>&1 || true
}

# expand prints the paths that match a pattern; ~ stands for every home.
expand() {
	case $1 in
	'~'*) for home in $HOMES; do matches "${home%/}${1#\~}"; done ;;
	*) matches "$1" ;;
	esac
}

matches() {
	# The pattern has to be split and expanded here: IFS is a newline only.
	# shellcheck disable=SC2086
	for path in $1; do
		if [ -e "$path" ] || [ -L "$path" ]; then printf '%s\n' "$path"; fi
	done
}

remove() { for path in $(expand "$1"); do rm -rf -- "$path"; done; }

empty() {
	for path in $(expand "$1"); do
		[ -d "$path" ] || continue
		# What cannot go, as a mount point, is for the verification to judge.
		find "$path" -xdev -mindepth 1 -delete || true
	done
}

blank() { for path in $(expand "$1"); do : >"$path"; done; }

blank_tree() {
	for path in $(expand "$1"); do
		find "$path" -xdev -type f -size +0 -exec truncate -s 0 -- {} +
	done
}

cloud_clean() {
	if command -v cloud-init >/dev/null; then cloud-init clean --logs --seed >/dev/null || true; fi
	empty "$1"
}

finish() {
	: >/run/bakehouse/scrubbed
	sync
}

quiet
