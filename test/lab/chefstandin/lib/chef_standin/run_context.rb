# frozen_string_literal: true

module ChefStandin
  # All that the recipes of one run share.
  class RunContext
    attr_reader :node, :cookbooks, :collection, :shell, :output, :config
    attr_accessor :reboot

    def initialize(node, cookbooks, config:, shell:, output:)
      @node = node
      @cookbooks = cookbooks
      @config = config
      @shell = shell
      @output = output
      @collection = []
      @loaded_recipes = []
      @loaded_attributes = []
      @reboot = nil
    end

    def find(key) = collection.reverse.find { |r| r.to_s == key }

    def load_all_attributes
      cookbooks.each { |c| c.attribute_files.each { |path| load_attributes(c, path) } }
    end

    def load_attributes(cookbook, path)
      return if @loaded_attributes.include?(path)

      @loaded_attributes << path
      AttributeFile.new(self, cookbook).instance_eval(File.read(path), path, 1)
    end

    # load_recipe evaluates a recipe once a run and says whether it did.
    def load_recipe(name)
      cookbook_name, recipe = RunList.qualify(name.sub(/@.*/, '')).split('::', 2)
      full = "#{cookbook_name}::#{recipe}"
      return false if @loaded_recipes.include?(full)

      cookbook = cookbooks.fetch(cookbook_name)
      path = cookbook.recipe_file(recipe)
      unless path
        raise Error.new("cookbook #{cookbook_name} #{cookbook.version} has no recipe #{recipe}",
                        location: Where.caller_location)
      end
      @loaded_recipes << full
      Recipe.new(self, cookbook, recipe).instance_eval(File.read(path), path, 1)
      true
    end
  end
end
