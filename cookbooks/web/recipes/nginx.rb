#
# Cookbook:: web
# Recipe:: nginx
#

include_recipe 'base'

package 'nginx-light' do
  notifies :update, 'apt_update[package lists]', :before
end

service 'nginx' do
  action :nothing
end

template '/etc/nginx/sites-available/web' do
  source 'site.conf.erb'
  owner 'root'
  group 'root'
  mode '0644'
  variables(
    port: node['web']['nginx']['port'],
    max_body: node['web']['nginx']['max_body'],
    backend: "127.0.0.1:#{node['web']['app']['port']}"
  )
  notifies :reload, 'service[nginx]', :delayed
end

link '/etc/nginx/sites-enabled/web' do
  to '/etc/nginx/sites-available/web'
  notifies :reload, 'service[nginx]', :delayed
end

file '/etc/nginx/sites-enabled/default' do
  action :delete
  notifies :reload, 'service[nginx]', :delayed
end

# A broken site must fail the converge here, not nginx at some later boot.
execute 'nginx configuration test' do
  command 'nginx -t -q'
  action :nothing
  subscribes :run, 'template[/etc/nginx/sites-available/web]', :immediately
end

service 'nginx on boot' do
  service_name 'nginx'
  action [:enable, :start]
end
