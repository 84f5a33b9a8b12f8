#!/bin/sh
# Runs outside the new root file system, with apt looking into it: downloads each
# package and what it needs beyond the base. One call a package, so that packages
# which exclude each other can both be there.
set -eu
for package in $LAB_PACKAGES; do
	echo "I: fetching $package for the lab's repository"
	APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -qq -y --download-only --no-install-recommends \
		-o APT::Sandbox::User=root -o Dir::Cache::archives="$LAB_REPO" install "$package"
done
rm -rf "$LAB_REPO/partial" "$LAB_REPO/lock"
