#
# Cookbook:: web
# Recipe:: app
#
# Everything the app needs, but the app: that is pulled on first boot.
#

root = node['web']['root']

group node['web']['group'] do
  system true
end

user node['web']['user'] do
  comment 'web app'
  gid node['web']['group']
  home root
  shell '/usr/sbin/nologin'
  system true
  manage_home false
end

# Releases belong to root: the app runs what it cannot change.
[root, "#{root}/releases"].each do |path|
  directory path do
    owner 'root'
    group 'root'
    mode '0755'
    recursive true
  end
end

directory "#{root}/shared" do
  owner node['web']['user']
  group node['web']['group']
  mode '0750'
end

systemd_unit 'web.service' do
  content(
    'Unit' => {
      'Description' => 'The web app',
      'After' => 'network-online.target',
      'Wants' => 'network-online.target',
      'ConditionPathExists' => "#{root}/current",
    },
    'Service' => {
      'User' => node['web']['user'],
      'Group' => node['web']['group'],
      'WorkingDirectory' => "#{root}/current",
      'ExecStart' => "#{root}/current/web",
      'Restart' => 'on-failure',
      'RestartSec' => '1s',
      'MemoryMax' => node['web']['app']['memory_max'],
      'NoNewPrivileges' => 'yes',
      'ProtectSystem' => 'strict',
      'ProtectHome' => 'yes',
      'PrivateTmp' => 'yes',
      'PrivateDevices' => 'yes',
      'ProtectKernelTunables' => 'yes',
      'ProtectKernelModules' => 'yes',
      'ProtectControlGroups' => 'yes',
      'RestrictSUIDSGID' => 'yes',
      'RestrictAddressFamilies' => 'AF_INET AF_INET6 AF_UNIX',
      'LockPersonality' => 'yes',
      'CapabilityBoundingSet' => '',
      'ReadWritePaths' => "#{root}/shared",
    },
    'Install' => {
      'WantedBy' => 'multi-user.target',
    }
  )
  # systemd-analyze would reject the unit: its program arrives on first boot.
  verify false
  action [:create, :enable]
end
