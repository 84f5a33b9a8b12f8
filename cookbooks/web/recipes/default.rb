#
# Cookbook:: web
# Recipe:: default
#

include_recipe 'web::app'
include_recipe 'web::nginx'
