# frozen_string_literal: true

module ChefStandin
  module Resources
    # execute
    class Execute < Resource
      provides :execute
      property :command, String, Array, name_property: true
      property :cwd, String
      property :creates, String
      property :environment, Hash, default: {}.freeze
      property :user, String, Integer
      property :group, String, Integer
      property :umask, String, Integer
      property :input, String
      property :timeout, Integer, Float, String, default: 3600, coerce: ->(v) { v.is_a?(String) ? Float(v) : v }
      property :returns, Array, default: [0].freeze, coerce: ->(v) { Array(v) }
      property :live_stream, *BOOLEAN, default: false
      default_action :run

      alias env environment

      # Guards run where, and as whom, the command itself would.
      def guard_defaults
        { cwd: cwd, environment: environment, user: user, group: group, umask: umask }.compact
      end

      action :run do
        return @updated if creates && File.exist?(creates_path)

        shown = command.is_a?(Array) ? command.join(' ') : command
        change(sensitive ? 'execute sensitive resource' : "execute #{shown}") do
          shell.run(command, cwd: cwd, env: environment, user: user, group: group, umask: umask, input: input,
                             timeout: timeout, stream: streamer).check(returns, quiet: sensitive)
        end
      end

      private

      def creates_path = cwd ? File.expand_path(creates, cwd) : creates

      def streamer
        return nil if sensitive || !live_stream

        ->(line) { output.detail(line) }
      end
    end
  end
end
