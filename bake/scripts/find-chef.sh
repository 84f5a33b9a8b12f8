#!/bin/sh
# Prints the path of the Chef client, or nothing. Cinc also installs a
# chef-client that only redirects, so cinc-client goes first.
PATH=$PATH:/opt/cinc/bin:/opt/chef/bin
command -v cinc-client || command -v chef-client || true
