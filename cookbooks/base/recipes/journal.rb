#
# Cookbook:: base
# Recipe:: journal
#
# Keeps the journal from filling small root volumes.
#

service 'systemd-journald' do
  action :nothing
end

directory '/etc/systemd/journald.conf.d' do
  owner 'root'
  group 'root'
  mode '0755'
  recursive true
end

template '/etc/systemd/journald.conf.d/50-company.conf' do
  source 'journald.conf.erb'
  owner 'root'
  group 'root'
  mode '0644'
  notifies :restart, 'service[systemd-journald]', :delayed
end

cookbook_file '/etc/logrotate.d/company' do
  source 'logrotate'
  owner 'root'
  group 'root'
  mode '0644'
  only_if { ::File.directory?('/etc/logrotate.d') }
end
