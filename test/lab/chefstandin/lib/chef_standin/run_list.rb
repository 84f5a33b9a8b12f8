# frozen_string_literal: true

module ChefStandin
  # Parses run-list items and expands roles.
  class RunList
    Item = Struct.new(:kind, :name, :version)
    PATTERN = /\A(?:(?<kind>recipe|role)\[(?<inner>[^\[\]@]+)(?:@(?<v1>[\d.]+))?\]|(?<bare>[^\[\]@]+)(?:@(?<v2>[\d.]+))?)\z/

    attr_reader :recipes, :roles, :default_attributes, :override_attributes

    def self.parse(text)
      found = PATTERN.match(text.strip)
      raise Error, "run list item #{text.inspect} is not recipe[…], role[…] or a recipe's name" unless found

      Item.new(found[:kind] == 'role' ? :role : :recipe, found[:inner] || found[:bare], found[:v1] || found[:v2])
    end

    def self.qualify(recipe) = recipe.include?('::') ? recipe : "#{recipe}::default"

    # find_role is called with a role's name and answers its JSON, or nil.
    def initialize(environment, find_role)
      @environment = environment
      @find_role = find_role
      @recipes = []
      @roles = []
      @missing = []
      @default_attributes = {}
      @override_attributes = {}
    end

    def expand(items)
      expand_items(items, nil)
      unless @missing.empty?
        raise Error, "the Chef server or repository has no #{@missing.uniq.join(', ')}"
      end

      self
    end

    private

    def expand_items(items, included_by)
      items.map { |text| self.class.parse(text) }.each do |item|
        item.kind == :role ? expand_role(item.name, included_by) : add_recipe(item)
      end
    end

    def add_recipe(item)
      text = item.version ? "#{item.name}@#{item.version}" : item.name
      @recipes << text unless @recipes.include?(text)
    end

    def expand_role(name, included_by)
      return if @roles.include?(name)

      @roles << name
      role = @find_role.call(name)
      unless role
        by = included_by ? "role[#{included_by}]" : 'the run list'
        @missing << "role[#{name}] (asked for by #{by})"
        return
      end
      expand_items(run_list_of(role), name)
      merge_attributes(role)
    end

    def run_list_of(role)
      (role['env_run_lists'] || {}).fetch(@environment, role['run_list'] || [])
    end

    def merge_attributes(role)
      # After the nested roles: the outer role's attributes win.
      @default_attributes = Attributes.deep_merge(@default_attributes, role['default_attributes'] || {})
      @override_attributes = Attributes.deep_merge(@override_attributes, role['override_attributes'] || {})
    end
  end
end
