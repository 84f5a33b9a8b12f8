#!/bin/sh
# Makes the bake's folders and keeps apt to ourselves: a fresh Ubuntu updates
# itself in the background and would hold apt's lock in the middle of a
# converge. Timers are only stopped, so the image behaves as any Ubuntu does.
set -eu
[ "$(stat -f -c %T /run)" = tmpfs ] || { echo "error: /run is not a tmpfs, and keys must not reach the disk" >&2; exit 65; }
install -d -m 0755 "$RUN_DIR"
install -d -m 0700 "$CHEF_DIR" "$WORK_DIR"
command -v apt-get >/dev/null || exit 0
printf 'DPkg::Lock::Timeout "600";\n' >/etc/apt/apt.conf.d/99bakehouse
for unit in apt-daily.timer apt-daily-upgrade.timer apt-daily.service apt-daily-upgrade.service unattended-upgrades.service; do
	systemctl stop "$unit" >/dev/null 2>&1 || true
done
# The base image's package lists are as old as the image, or absent.
apt-get -qq update || echo "warning: apt-get update failed; packages may be missing"
