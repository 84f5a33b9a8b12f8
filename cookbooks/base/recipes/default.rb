#
# Cookbook:: base
# Recipe:: default
#

# Fetched only ahead of an installation: a machine that boots from a finished
# image needs no package mirror.
apt_update 'package lists' do
  action :nothing
end

package node['base']['packages'] do
  action :install
  notifies :update, 'apt_update[package lists]', :before
end

group node['base']['ops_group'] do
  system true
end

directory '/etc/company' do
  owner 'root'
  group 'root'
  mode '0755'
end

template '/etc/motd' do
  source 'motd.erb'
  owner 'root'
  group 'root'
  mode '0644'
  variables(
    role: node['base']['role'],
    platform: "#{node['platform']} #{node['platform_version']}"
  )
end

include_recipe 'base::journal'
