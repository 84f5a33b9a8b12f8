# frozen_string_literal: true

module ChefStandin
  # What recipes, attribute files and resource blocks may say alike.
  module Dsl
    REFUSED = %i[search data_bag data_bag_item partial_search chef_vault_item shell_out shell_out! tag untag tagged?
                 registry_key_exists? reboot_pending? declare_resource edit_resource find_resource build_resource
                 delete_resource with_run_context powershell_out platform_version].freeze

    def node = run_context.node
    def platform?(*names) = node.platform?(*names)
    def platform_family?(*names) = node.platform_family?(*names)
    def debian? = platform_family?('debian')
    def debian_platform? = platform?('debian')
    def ubuntu? = platform?('ubuntu')
    alias ubuntu_platform? ubuntu?
    def systemd? = File.directory?('/run/systemd/system')
    def lazy(&block) = Lazy.new(block)

    def value_for_platform(map)
      versions = map[node['platform']] || map[node['platform'].to_sym]
      found = versions && (versions[node['platform_version']] || versions['default'])
      found || map['default'] || map[:default]
    end

    def value_for_platform_family(map)
      pair = map.find { |names, _| Array(names).map(&:to_s).include?(node['platform_family']) }
      pair ? pair.last : map['default'] || map[:default]
    end

    REFUSED.each do |word|
      define_method(word) do |*_args|
        raise UnsupportedError.new("#{word} is not supported by the lab's Chef stand-in", location: Where.caller_location)
      end
    end

    # A property's value that is worked out only when the resource converges.
    Lazy = Struct.new(:block)
  end
end
