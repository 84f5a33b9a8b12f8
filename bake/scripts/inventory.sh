#!/bin/sh
# Prints what the image holds, for bake/inventory to read: sections that begin
# with [NAME] and the closing [end], without which the output is not whole.
set -u
echo '[os]'
cat /etc/os-release || exit 1
echo '[arch]'
dpkg --print-architecture || exit 1
# The build of the cloud image, where Canonical tells it.
echo '[base]'
cat /etc/cloud/build.info 2>/dev/null || true
# What the image will boot, not what runs: /boot/vmlinuz is the packages' link to
# the newest kernel; without it the newest by name, as GRUB takes it.
echo '[kernel]'
kernel=$(readlink -f /boot/vmlinuz 2>/dev/null || true)
if [ ! -f "$kernel" ]; then
	kernel=$(find /boot -maxdepth 1 -name 'vmlinuz-*' 2>/dev/null | sort -V | tail -n 1)
fi
if [ -f "$kernel" ]; then basename "$kernel" | sed 's/^vmlinuz-//'; fi
echo '[agent]'
"$AGENT" version || exit 1
# The package that brought the Chef client; asking the client itself takes
# seconds, and is done only when no package owns it.
echo '[chef]'
client=$(readlink -f "$CLIENT")
if owner=$(dpkg-query --search "$client" 2>/dev/null); then
	# Package and version are dpkg's to fill in.
	# shellcheck disable=SC2016
	dpkg-query --show --showformat '${Package}\t${Version}\n' "${owner%%:*}"
else
	printf '%s\t%s\n' "$(basename "$CLIENT")" "$("$CLIENT" --version | sed 's/.*: *//' | tail -n 1)"
fi
echo '[packages]'
# shellcheck disable=SC2016
dpkg-query --show --showformat '${Package}\t${Version}\t${Architecture}\t${db:Status-Status}\t${source:Package}\t${source:Version}\n' || exit 1
echo '[end]'
