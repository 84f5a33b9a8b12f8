# frozen_string_literal: true

module ChefStandin
  # A hash whose keys are strings, and which may be asked with symbols.
  class Mash < Hash
    def self.from(value)
      case value
      when Hash then value.each_with_object(new) { |(k, v), m| m[k] = v }
      when Array then value.map { |v| from(v) }
      else value
      end
    end

    alias plain_store []=
    alias plain_fetch []

    def [](key) = plain_fetch(name_of(key))
    def []=(key, value)
      plain_store(name_of(key), convert(value))
    end
    alias store []=

    def key?(key) = super(name_of(key))
    alias include? key?
    alias has_key? key?
    alias member? key?

    def fetch(key, *rest, &block) = super(name_of(key), *rest, &block)
    def delete(key) = super(name_of(key))
    def values_at(*keys) = keys.map { |k| self[k] }

    def dig(key, *rest)
      found = self[key]
      rest.empty? || found.nil? ? found : found.dig(*rest)
    end

    def to_hash = Mash.plain(self)
    alias to_h to_hash

    # plain gives back ordinary hashes and arrays, for JSON.
    def self.plain(value)
      case value
      when Hash then value.each_with_object({}) { |(k, v), h| h[k.to_s] = plain(v) }
      when Array then value.map { |v| plain(v) }
      else value
      end
    end

    private

    def name_of(key) = key.is_a?(Symbol) ? key.to_s : key
    def convert(value) = value.is_a?(Hash) && !value.is_a?(Mash) ? Mash.from(value) : value
  end

  # One precedence level while it is written: a missing key springs into being
  # as another level below (node.default['a']['b'] = 1), and every write tells
  # the owner that the merged view is stale.
  class VividMash < Mash
    def initialize(owner = nil)
      super()
      @owner = owner
    end

    def self.build(owner, value)
      value.each_with_object(new(owner)) { |(k, v), m| m[k] = v }
    end

    def [](key)
      self[key] = VividMash.new(@owner) unless key?(key)
      super
    end

    def []=(key, value)
      @owner&.changed!
      super
    end

    def delete(key)
      @owner&.changed!
      super
    end

    private

    def convert(value) = value.is_a?(Hash) ? VividMash.build(@owner, value) : value
  end

  # The merged view that recipes read. Writing needs a precedence level.
  class ReadMash < Mash
    def self.freeze_deep(value)
      case value
      when Hash
        copy = new
        value.each { |k, v| copy.plain_store(k.to_s, freeze_deep(v)) }
        copy.freeze
      when Array then value.map { |v| freeze_deep(v) }.freeze
      else value
      end
    end

    def []=(key, _value)
      raise Error.new("node attributes are read-only without a precedence level: " \
                      "write node.default['#{key}'] = …", location: Where.caller_location)
    end
    alias store []=
  end
end
