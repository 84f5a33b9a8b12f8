# frozen_string_literal: true

module ChefStandin
  # What recipes know as `node`.
  class Node
    attr_reader :name, :attributes, :run_state
    attr_accessor :chef_environment, :run_list, :recipes, :roles, :policy_name, :policy_group

    def initialize(name, environment: '_default')
      @name = name
      @chef_environment = environment
      @run_list = []
      @recipes = []
      @roles = []
      @run_state = Mash.new
      @attributes = Attributes.new
    end

    alias environment chef_environment

    def self.from_json(name, data)
      node = new(name, environment: data['chef_environment'] || '_default')
      node.run_list = Array(data['run_list'])
      node.policy_name = data['policy_name']
      node.policy_group = data['policy_group']
      node.attributes.replace(:normal, data['normal'])
      node.attributes.replace(:automatic, data['automatic'])
      node
    end

    def to_json_object
      whole = {
        'name' => name, 'chef_environment' => chef_environment,
        'json_class' => 'Chef::Node', 'chef_type' => 'node', 'run_list' => run_list,
        'automatic' => Mash.plain(attributes.level(:automatic)), 'normal' => Mash.plain(attributes.level(:normal)),
        'default' => attributes.group(Attributes::DEFAULTS), 'override' => attributes.group(Attributes::OVERRIDES)
      }
      # A server that knows no policies refuses the very keys.
      policy? ? whole.merge('policy_name' => policy_name, 'policy_group' => policy_group) : whole
    end

    def policy? = !(policy_name || policy_group).nil?

    def [](key) = attributes.merged[key]
    def []=(key, value)
      attributes.merged[key] = value
    end

    def default = attributes.level(:default)
    def normal = attributes.level(:normal)
    def override = attributes.level(:override)
    def automatic = attributes.level(:automatic)
    def force_default = attributes.level(:force_default)
    alias default! force_default
    def force_override = attributes.level(:force_override)
    alias override! force_override

    def attribute?(key) = attributes.merged.key?(key)
    alias key? attribute?

    def dig(*path) = attributes.merged.dig(*path)
    def fetch(...) = attributes.merged.fetch(...)

    # read returns nil where any part of the path is missing.
    def read(*path)
      path.reduce(attributes.merged) do |at, key|
        case at
        when Hash then at[key]
        when Array then key.is_a?(Integer) ? at[key] : nil
        end
      end
    end

    def exist?(*path) = !read(*path).nil?
    def to_hash = Mash.plain(attributes.merged)
    alias to_h to_hash
    def role?(role) = roles.include?(role)
    def recipe?(recipe) = recipes.include?(RunList.qualify(recipe))
    def platform?(*names) = names.map(&:to_s).include?(self['platform'].to_s)
    def platform_family?(*names) = names.map(&:to_s).include?(self['platform_family'].to_s)
    def to_s = "node[#{name}]"
    alias inspect to_s

    def method_missing(method, *_args)
      raise UnsupportedError.new("node.#{method} is not known (read an attribute as node['#{method}'])",
                                 location: Where.caller_location)
    end

    def respond_to_missing?(*) = false
  end
end
