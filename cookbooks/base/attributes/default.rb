default['base']['packages'] = %w(jq)
default['base']['ops_group'] = 'ops'
default['base']['role'] = 'unspecified'
default['base']['journal']['max_use'] = '200M'
default['base']['journal']['retention'] = '2week'
