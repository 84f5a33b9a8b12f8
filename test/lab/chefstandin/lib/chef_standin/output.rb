# frozen_string_literal: true

module ChefStandin
  # What the run prints: the outline of resources and actions on stdout, and
  # log lines; all of it into the log file too, where one is named.
  class Output
    LEVELS = %i[trace debug info warn error fatal].freeze

    def initialize(stdout, now: -> { Time.now })
      @stdout = stdout
      @now = now
      @level = :info
      @file = nil
      @depth = 0
    end

    def configure(level:, file:)
      @level = LEVELS.include?(level.to_sym) ? level.to_sym : :info
      return unless file

      FileUtils.mkdir_p(File.dirname(file))
      @file = File.open(file, 'a', 0o640)
      @file.sync = true
    rescue SystemCallError => e
      raise ConfigError, "opening log_location: #{e.message}"
    end

    def puts(text = '')
      @stdout.puts(text)
      @stdout.flush
      @file&.puts(text)
    rescue Errno::ENOSPC
      nil # a full disk is told once, by the resource that met it
    end

    def log(level, message)
      return if LEVELS.index(level) < LEVELS.index(@level)

      # At the default level the outline says it all: only trouble is logged.
      puts("[#{@now.call.strftime('%Y-%m-%dT%H:%M:%S%:z')}] #{level.to_s.upcase}: #{message}") if level != :info || @level != :info
    end

    def recipe(name)
      puts("#{indent}Recipe: #{name}")
    end

    def action(resource, action, note = nil)
      puts("#{indent}  * #{resource} action #{action}#{note ? " (#{note})" : ''}")
    end

    def change(text)
      text.each_line { |line| puts("#{indent}    - #{line.chomp}") }
    end

    def detail(text)
      text.each_line { |line| puts("#{indent}      #{line.chomp}") }
    end

    # failure is the one block that tells what went wrong, and where.
    def failure(title, rows)
      bar = '=' * 80
      puts("\n#{bar}\n#{title}\n#{bar}")
      rows.each do |name, value|
        next if value.nil? || value.to_s.empty?

        first, *rest = value.to_s.lines.map(&:chomp)
        puts(format('%-9s %s', "#{name}:", first))
        rest.each { |line| puts("          #{line}") }
      end
      puts(bar)
    end

    private

    def indent = '  ' * @depth
  end
end
