# frozen_string_literal: true

module ChefStandin
  Notification = Struct.new(:action, :target, :timing, :location)

  # The base of every resource: properties, guards, notifications, and the
  # means to change the machine while telling so.
  class Resource
    include Dsl

    REGISTRY = {} # rubocop:disable Style/MutableConstant -- filled while the resource files load
    TIMINGS = { delayed: :delayed, immediate: :immediately, immediately: :immediately, before: :before }.freeze

    class << self
      def provides(*types) = types.each { |t| REGISTRY[t] = self }
      def properties = (@properties ||= superclass.respond_to?(:properties) ? superclass.properties.dup : {})
      def actions = (@actions ||= superclass.respond_to?(:actions) ? superclass.actions.dup : [:nothing])

      def default_action(*names)
        return @default_action = names unless names.empty?

        @default_action || (superclass.respond_to?(:default_action) ? superclass.default_action : [:nothing])
      end

      def property(name, *types, **options)
        properties[name] = Property.new(name, types, **options)
        define_method(name) { |*args| args.empty? ? value_of(name) : assign(name, args) }
      end

      def action(name, &block)
        actions << name unless actions.include?(name)
        define_method("action_#{name}", &block)
      end
    end

    BOOLEAN = [true, false].freeze
    property :sensitive, *BOOLEAN, default: false
    property :ignore_failure, *BOOLEAN, :quiet, 'quiet', default: false
    property :retries, Integer, default: 0
    property :retry_delay, Integer, default: 2

    attr_reader :name, :type, :recipe, :location, :guards, :notifications, :subscriptions, :run_context
    attr_accessor :updated

    def initialize(type, name, recipe, location)
      @type = type
      @recipe = recipe
      @run_context = recipe.run_context
      @location = location
      @values = {}
      @name = name.is_a?(Array) ? name.join(', ') : name.to_s
      @given_name = name
      @guards = []
      @notifications = []
      @subscriptions = []
      @actions = nil
      @updated = false
    end

    def to_s = "#{type}[#{name}]"
    alias inspect to_s
    def cookbook_name = recipe.cookbook_name
    def recipe_name = recipe.recipe_name
    def output = run_context.output
    def shell = run_context.shell

    def action(*names)
      return @actions || self.class.default_action if names.empty?

      @actions = names.flatten.map(&:to_sym).each do |one|
        next if self.class.actions.include?(one)

        raise ValidationError.new("#{self} has no action :#{one} here (known: #{self.class.actions.map(&:inspect).join(', ')})",
                                  location: Where.caller_location || location, resource: to_s)
      end
    end

    def only_if(command = nil, **options, &block) = add_guard(true, command, options, block)
    def not_if(command = nil, **options, &block) = add_guard(false, command, options, block)

    def notifies(action, target, timing = :delayed)
      @notifications << Notification.new(action.to_sym, target, timing_of(timing), Where.caller_location || location)
    end

    def subscribes(action, target, timing = :delayed)
      @subscriptions << Notification.new(action.to_sym, target, timing_of(timing), Where.caller_location || location)
    end

    # validate looks for what is missing once the block has been evaluated.
    def validate
      self.class.properties.each_value do |property|
        next unless property.required && value_of(property.name).nil?

        raise ValidationError.new("#{self} needs the property `#{property.name}`", location: location, resource: to_s)
      end
    end

    # environment that a guard's command inherits; only execute has one.
    def guard_defaults = {}

    def method_missing(word, *_args)
      known = self.class.properties.keys + %i[action only_if not_if notifies subscribes]
      raise UnsupportedError.new("unknown property or name `#{word}`: the lab's Chef stand-in does not have it",
                                 location: Where.caller_location || location, resource: to_s, hint: known.sort.join(', '))
    end

    def respond_to_missing?(*) = false

    # change tells what will be done, does it, and marks the resource updated.
    def change(text)
      return @updated = true if @dry

      announce
      output.change(text)
      yield if block_given?
      @updated = true
    end

    # announce prints the resource's line once an action.
    def announce
      output.action(self, @running) unless @announced || @dry
      @announced = true
    end

    def announced? = @announced

    # would_change? runs an action without its effects, for :before. What
    # cannot be told beforehand counts as a change.
    def would_change?(action)
      @dry = true
      catch(:end_client_run_early) { return perform(action) }
      true
    rescue StandardError => e
      raise if e.is_a?(Interrupted)

      true
    ensure
      @dry = false
    end

    # perform runs one action; the runner has looked at the guards.
    def perform(action)
      @running = action
      @announced = false
      @updated = false
      public_send("action_#{action}") unless action == :nothing
      @updated
    end

    private

    def timing_of(timing)
      TIMINGS[timing.to_s.to_sym] || raise(UnsupportedError.new("#{self}: notification timing #{timing.inspect} is not supported",
                                                                location: Where.caller_location || location, resource: to_s))
    end

    def add_guard(positive, command, options, block)
      if command.nil? && block.nil?
        raise ValidationError.new("#{self}: #{positive ? 'only_if' : 'not_if'} needs a command or a block",
                                  location: Where.caller_location || location, resource: to_s)
      end
      unknown = options.keys - %i[user group cwd environment timeout umask]
      unless unknown.empty?
        raise UnsupportedError.new("#{self}: guard option #{unknown.first} is not supported", location: location, resource: to_s)
      end
      @guards << Guard.new(self, positive, command, options, block)
    end

    def assign(name, args)
      if args.length != 1
        raise ValidationError.new("property `#{name}` of #{self} takes one value", location: Where.caller_location, resource: to_s)
      end
      value = args.first
      property = self.class.properties.fetch(name)
      # As in Chef, nil takes a value back.
      @values[name] = value.nil? || value.is_a?(Lazy) ? value : property.check(self, value, Where.caller_location || location)
    end

    def value_of(name)
      property = self.class.properties.fetch(name)
      value = @values[name]
      return property.check(self, instance_exec(&value.block), location) if value.is_a?(Lazy)
      return value unless value.nil?

      property.name_property? ? property.check(self, @given_name, location) : property.default
    end
  end

  # One only_if or not_if.
  class Guard
    def initialize(resource, positive, command, options, block)
      @resource = resource
      @positive = positive
      @command = command
      @options = options
      @block = block
    end

    # allows? says whether the resource may run as far as this guard goes.
    def allows? = truth ? @positive : !@positive
    def name = @positive ? 'only_if' : 'not_if'

    private

    def truth
      return @block.call unless @command

      options = @resource.guard_defaults.merge(@options)
      @resource.shell.run(@command, cwd: options[:cwd], env: options[:environment] || {}, user: options[:user],
                                    group: options[:group], umask: options[:umask], timeout: options[:timeout] || 900).ok?
    end
  end
end
