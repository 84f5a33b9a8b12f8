#!/bin/sh
# What both tools do in the builder: install Chef, converge the role web from
# a chef-repo on disk.
set -eu
dpkg -i /tmp/chef.deb >/dev/null
mkdir -p /var/tmp/bench/repo
tar -x -f /tmp/repo.tar -C /var/tmp/bench/repo
cat >/var/tmp/bench/client.rb <<'EOF'
node_name 'bench'
local_mode true
chef_repo_path '/var/tmp/bench/repo'
file_cache_path '/var/tmp/bench/cache'
EOF
chef-client -c /var/tmp/bench/client.rb --no-color --once --local-mode --override-runlist 'role[web]'
rm -rf /var/tmp/bench /tmp/chef.deb /tmp/repo.tar
