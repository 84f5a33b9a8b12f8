# frozen_string_literal: true

module ChefStandin
  # What an attribute file is evaluated in.
  class AttributeFile
    include Dsl
    attr_reader :run_context

    def initialize(run_context, cookbook)
      @run_context = run_context
      @cookbook = cookbook
    end

    %i[default normal override force_default force_override automatic].each do |level|
      define_method(level) { node.public_send(level) }
    end
    def default! = node.force_default
    def override! = node.force_override
    def cookbook_name = @cookbook.name

    def include_attribute(*names)
      names.each do |name|
        cookbook_name, file = RunList.qualify(name).split('::', 2)
        cookbook = run_context.cookbooks.fetch(cookbook_name)
        path = cookbook.attribute_file(file)
        raise Error.new("cookbook #{cookbook_name} has no attributes/#{file}.rb", location: Where.caller_location) unless path

        run_context.load_attributes(cookbook, path)
      end
    end

    def method_missing(word, *_args)
      raise UnsupportedError.new("`#{word}` is not known in an attribute file", location: Where.caller_location)
    end

    def respond_to_missing?(*) = false
  end

  # What a recipe is evaluated in.
  class Recipe
    include Dsl
    attr_reader :run_context, :cookbook, :recipe_name

    def initialize(run_context, cookbook, recipe_name)
      @run_context = run_context
      @cookbook = cookbook
      @recipe_name = recipe_name
    end

    def cookbook_name = cookbook.name
    def full_name = "#{cookbook.name}::#{recipe_name}"

    def include_recipe(*names)
      names.flatten.each do |name|
        run_context.load_recipe(name.start_with?('::') ? "#{cookbook_name}#{name}" : name)
      end
    end

    # resources('service[nginx]') answers a resource declared before.
    def resources(key)
      run_context.find(key) || raise(Error.new("there is no resource #{key} yet", location: Where.caller_location))
    end

    Resource::REGISTRY.each do |type, klass|
      define_method(type) { |name = '', &block| declare(klass, type, name, block) }
    end

    def method_missing(word, *args, &block)
      what = args.empty? && !block ? "unknown name `#{word}`" : "unknown resource `#{word}`"
      raise UnsupportedError.new("#{what}: the lab's Chef stand-in does not have it", location: Where.caller_location,
                                 hint: Resource::REGISTRY.keys.sort.join(', '))
    end

    def respond_to_missing?(*) = false

    private

    def declare(klass, type, name, block)
      resource = klass.new(type, name, self, Where.caller_location)
      resource.instance_exec(&block) if block
      resource.validate
      run_context.collection << resource
      resource
    rescue Error => e
      e.resource ||= "#{type}[#{Array(name).join(', ')}]"
      raise
    end
  end
end
