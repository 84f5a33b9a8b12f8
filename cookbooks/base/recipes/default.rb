#
# Cookbook:: base
# Recipe:: default
#

apt_update 'package lists' do
  frequency node['base']['apt_frequency']
  action :periodic
end

package node['base']['packages'] do
  action :install
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
