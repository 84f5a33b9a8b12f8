# frozen_string_literal: true

module ChefStandin
  # The precedence levels of a node and their merged view. The order is Chef's:
  # attribute files, environment, role, force for the defaults; attribute
  # files, role, environment, force for the overrides; automatic above all.
  class Attributes
    DEFAULTS = %i[default env_default role_default force_default].freeze
    OVERRIDES = %i[override role_override env_override force_override].freeze
    LEVELS = (DEFAULTS + %i[normal] + OVERRIDES + %i[automatic]).freeze

    def initialize
      @levels = LEVELS.to_h { |name| [name, VividMash.new(self)] }
      @merged = nil
    end

    def level(name) = @levels.fetch(name)

    def replace(name, hash)
      @levels[name] = VividMash.build(self, hash || {})
      changed!
    end

    def changed!
      @merged = nil
    end

    def merged
      @merged ||= ReadMash.freeze_deep(
        [group(DEFAULTS), level(:normal), group(OVERRIDES), level(:automatic)].reduce({}) do |all, one|
          merge(all, one) { |_, upper| upper }
        end
      )
    end

    def group(names)
      # Within the defaults, and within the overrides, arrays are united;
      # between the groups the upper one replaces the lower.
      names.map { |n| level(n) }.reduce({}) { |all, one| merge(all, one) { |a, b| unite(a, b) } }
    end

    def self.deep_merge(lower, upper)
      Attributes.new.send(:merge, lower, upper) { |a, b| a.is_a?(Array) && b.is_a?(Array) ? a | b : b }
    end

    # lay_over merges hashes alone: upper's arrays take the place of lower's.
    def self.lay_over(lower, upper)
      Attributes.new.send(:merge, lower, upper) { |_, above| above }
    end

    private

    def unite(lower, upper)
      lower.is_a?(Array) && upper.is_a?(Array) ? lower | upper : upper
    end

    def merge(lower, upper, &choose)
      upper.each_with_object(Mash.plain(lower)) do |(key, value), out|
        name = key.to_s
        out[name] =
          if out[name].is_a?(Hash) && value.is_a?(Hash) then merge(out[name], value, &choose)
          elsif out.key?(name) && !value.nil? then Mash.plain(choose.call(out[name], value))
          elsif out.key?(name) then out[name]
          else Mash.plain(value)
          end
      end
    end
  end
end
