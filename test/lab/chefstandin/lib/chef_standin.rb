# frozen_string_literal: true

# Everything here is Ruby's own library: the guest needs nothing but `ruby`.
require 'digest'
require 'erb'
require 'etc'
require 'fileutils'
require 'json'
require 'net/http'
require 'openssl'
require 'optparse'
require 'rbconfig'
require 'socket'
require 'tempfile'
require 'tmpdir'
require 'uri'

# systemd starts services in the C locale, and recipes are UTF-8 all the same.
verbose = $VERBOSE
$VERBOSE = nil
Encoding.default_external = Encoding::UTF_8
$VERBOSE = verbose

%w[version errors mash attributes node run_list policy signing api shell config output ohai metadata cookbook cookbook_set
   server_source local_source property].each { |part| require_relative "chef_standin/#{part}" }

# Resources before recipes: a recipe has a method for each.
require_relative 'chef_standin/dsl'
require_relative 'chef_standin/resource'
%w[file_like file cookbook_file template directory link user group execute package apt_update service systemd_unit
   log reboot].each { |part| require_relative "chef_standin/resources/#{part}" }
%w[run_context recipe runner client cli].each { |part| require_relative "chef_standin/#{part}" }
