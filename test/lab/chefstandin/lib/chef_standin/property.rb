# frozen_string_literal: true

module ChefStandin
  # One property that a resource type declares.
  class Property
    attr_reader :name, :default, :required

    def initialize(name, types, default: nil, name_property: false, equal_to: nil, regex: nil, coerce: nil, required: false)
      @name = name
      @types = types
      @default = default
      @name_property = name_property
      @equal_to = equal_to
      @regex = regex
      @coerce = coerce
      @required = required
    end

    def name_property? = @name_property

    # check answers the value as stored, or raises with the user's location.
    def check(owner, value, location)
      value = @coerce.call(value) if @coerce
      problem = problem_with(value)
      return value unless problem

      raise ValidationError.new("property `#{name}` of #{owner} #{problem}", location: location, resource: owner.to_s)
    end

    private

    def problem_with(value)
      if @types.none? { |t| t === value }
        "must be #{@types.map { |t| kind(t) }.uniq.join(' or ')}, not #{value.inspect}"
      elsif @equal_to && !@equal_to.include?(value) then "must be one of #{@equal_to.map(&:inspect).join(', ')}, not #{value.inspect}"
      elsif @regex && value.is_a?(String) && !@regex.match?(value) then "has the wrong form: #{value.inspect}"
      end
    end

    def kind(type)
      case type
      when TrueClass, FalseClass then 'true or false'
      else type.respond_to?(:name) ? type.name : type.inspect
      end
    end
  end
end
