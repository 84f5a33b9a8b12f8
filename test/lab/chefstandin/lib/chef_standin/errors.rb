# frozen_string_literal: true

module ChefStandin
  # The base of all that ends a run with a message instead of a stack trace.
  # location is "file:line" of the user's own file where one is known; hint is
  # more than fits one line, for the block alone.
  class Error < StandardError
    attr_accessor :location, :resource
    attr_reader :hint

    def initialize(message, location: nil, resource: nil, hint: nil)
      super(message)
      @location = location
      @resource = resource
      @hint = hint
    end

    # brief is the message on one line: the first, and what a command that it
    # quotes said last.
    def brief
      first, *rest = message.lines.map(&:strip).reject(&:empty?)
      first.to_s.end_with?(':') && rest.any? ? "#{first} #{rest.last}" : first.to_s
    end

    def exit_code = 1
  end

  # A wrong command line or client.rb.
  class ConfigError < Error
    def exit_code = 43
  end

  # A recipe asks for something that the stand-in does not have.
  class UnsupportedError < Error; end

  # A property got a value of the wrong type, or a resource lacks one it needs.
  class ValidationError < Error; end

  # A command that a resource ran ended with a status nobody expected.
  class CommandFailed < Error; end

  # The Chef server refused; status is the HTTP code (0: never answered).
  class ServerError < Error
    attr_reader :status

    def initialize(message, status: 0)
      super(message)
      @status = status
    end
  end

  # The run asked for a reboot, and it has been scheduled.
  class RebootScheduled < Error
    def exit_code = 35
  end

  # A recipe says that the machine must be rebooted before it can go on.
  class RebootNeeded < Error
    def exit_code = 37
  end

  # The reboot that was asked for could not be scheduled.
  class RebootFailed < Error
    def exit_code = 41
  end

  # SIGINT and SIGTERM.
  class Interrupted < Error
    def initialize(signal)
      super("stopped by SIG#{signal}")
      @signal = signal
    end

    def exit_code = @signal == 'INT' ? 2 : 3
  end

  # Finds the user's own file in a backtrace.
  module Where
    OWN = File.expand_path('..', __dir__)

    module_function

    def caller_location
      found = caller_locations.find { |l| user_file?(l.absolute_path || l.path) }
      found && "#{found.path}:#{found.lineno}"
    end

    # without_function leaves the file in a system error, and not the name of
    # the C function that met it.
    def without_function(message) = message.sub(/ @ \w+ - /, ': ')

    def in_backtrace(error)
      return nil unless error.backtrace

      line = error.backtrace.find { |l| user_file?(l[/\A(.+?):\d+/, 1].to_s) }
      line && line[/\A.+?:\d+/]
    end

    def user_file?(path)
      path.start_with?('/') && !path.start_with?("#{OWN}/") && !library?(path)
    end

    def library?(path)
      path.start_with?(RbConfig::CONFIG['rubylibprefix'], '/usr/lib/ruby', '/usr/bin') ||
        path.end_with?('bin/chef-client')
    end
  end
end

# The few names of Chef's own that ordinary recipes mention.
class Chef
  # Chef::Log.info and friends write to the run's output.
  module Log
    class << self
      attr_accessor :sink

      %i[debug info warn error fatal].each do |level|
        define_method(level) { |message| sink&.log(level, message) }
      end
    end
  end

  # Raised by recipes that cannot go on before a reboot: exit code 37.
  module Exceptions
    class RebootPending < StandardError; end
  end
end
