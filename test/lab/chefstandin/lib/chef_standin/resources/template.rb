# frozen_string_literal: true

module ChefStandin
  module Resources
    # template: content from the cookbook's templates/, through ERB.
    class Template < FileLike
      provides :template
      property :source, String
      property :cookbook, String
      property :variables, Hash, default: {}.freeze

      private

      def desired_content
        from = cookbook ? run_context.cookbooks.fetch(cookbook) : recipe.cookbook
        file = from.find('templates', source || "#{File.basename(path)}.erb", node)
        Page.new(node, variables).render(File.read(file), file)
      rescue Error
        raise
      rescue StandardError, ScriptError => e
        raise Error.new("rendering template: #{e.message} (#{e.class})", location: Where.in_backtrace(e) || file || location)
      end
    end

    # What a template is evaluated in: its variables, and the node.
    class Page
      attr_reader :node

      # A line that holds a statement alone leaves no trace, indentation and
      # newline included, as in the real client's templates.
      STATEMENT_LINE = /^[ \t]*<%(?![=%])((?:(?!%>).)*?)-?%>[ \t]*\r?\n/m

      def initialize(node, variables)
        @node = node
        variables.each { |name, value| instance_variable_set("@#{name}", value) }
      end

      def render(text, file)
        trimmed = text.gsub(STATEMENT_LINE) { "<%#{Regexp.last_match(1)}-%>\n" }
        erb = ERB.new(trimmed, trim_mode: '-')
        erb.filename = file
        erb.result(binding)
      end

      def platform?(*names) = node.platform?(*names)

      def method_missing(word, *_args)
        raise UnsupportedError.new("`#{word}` is not known in a template", location: Where.caller_location)
      end

      def respond_to_missing?(*) = false
    end
  end
end
