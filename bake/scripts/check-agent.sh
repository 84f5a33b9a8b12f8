#!/bin/sh
# Checks that the agent runs on this machine and that systemd accepts its unit:
# a unit that makes an ordering cycle is dropped at boot without a word.
set -u
"$AGENT" version || { echo "error: $AGENT does not run in the image" >&2; exit 67; }
systemctl daemon-reload
if ! said=$(systemd-analyze --man=no verify "$UNIT" 2>&1) || [ -n "$said" ]; then
	printf '%s\n' "$said"
	# Other units' faults are the base image's, and not for us to judge.
	if printf '%s\n' "$said" | grep -F -e "${UNIT%.service}" -e "ordering cycle" >&2; then
		echo "error: systemd refuses $UNIT" >&2
		exit 67
	fi
fi
[ "$(systemctl is-enabled "$UNIT")" = enabled ] || { echo "error: $UNIT is not enabled" >&2; exit 67; }
