#!/bin/sh
# Installs the Chef package at $DEB, after fetching it from $URL if that is set.
# The digest is checked here as well, over what really arrived.
set -eu
if [ -n "${URL:-}" ]; then
	curl -fsSL --retry 3 -o "$DEB" "$URL" || { echo "error: fetching the Chef package from $URL failed" >&2; exit 66; }
fi
have=$(sha256sum "$DEB" | cut -d' ' -f1)
[ "$have" = "$SHA256" ] || { echo "error: the Chef package's SHA-256 is $have, not $SHA256" >&2; exit 66; }
# _apt cannot read our folder; root installs from it all the same.
DEBIAN_FRONTEND=noninteractive apt-get -y -q -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 --no-install-recommends install "$DEB"
rm -f "$DEB"
