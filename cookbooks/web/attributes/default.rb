default['web']['user'] = 'web'
default['web']['group'] = 'web'
default['web']['root'] = '/srv/web'
default['web']['nginx']['port'] = 80
default['web']['nginx']['max_body'] = '10m'
default['web']['app']['port'] = 8080
default['web']['app']['memory_max'] = '512M'
