# frozen_string_literal: true

module ChefStandin
  # A cookbook's metadata.rb or metadata.json, read for local mode.
  class Metadata
    PLAIN = %i[maintainer maintainer_email license description long_description source_url issues_url privacy
               chef_version ohai_version supports gem provides recipe].freeze

    attr_reader :dependencies, :path

    def self.read(dir)
      ruby, json = %w[metadata.rb metadata.json].map { |n| File.join(dir, n) }
      return new(ruby).tap { |m| m.evaluate(File.read(ruby)) } if File.exist?(ruby)
      return new(json).tap { |m| m.take(JSON.parse(File.read(json))) } if File.exist?(json)

      raise Error, "cookbook #{dir} has neither metadata.rb nor metadata.json"
    rescue JSON::ParserError => e
      raise Error.new("reading cookbook metadata: #{e.message[0, 200]}", location: json)
    end

    def initialize(path)
      @path = path
      @dependencies = {}
      @name = File.basename(File.dirname(path))
      @version = '0.0.0'
    end

    def evaluate(text)
      instance_eval(text, path, 1)
    rescue Error
      raise
    rescue StandardError, ScriptError => e
      raise Error.new("evaluating metadata: #{e.message}", location: Where.in_backtrace(e) || path)
    end

    def take(data)
      @name = data['name'] || @name
      @version = data['version'] || @version
      @dependencies = data['dependencies'] || {}
    end

    def name(value = nil) = value ? @name = value : @name
    def version(value = nil) = value ? @version = value : @version

    def depends(cookbook, constraint = '>= 0.0.0')
      @dependencies[cookbook] = constraint
    end

    PLAIN.each { |word| define_method(word) { |*_| nil } }

    def method_missing(word, *_args)
      raise UnsupportedError.new("metadata: #{word} is not known", location: Where.caller_location)
    end

    def respond_to_missing?(*) = false
  end
end
