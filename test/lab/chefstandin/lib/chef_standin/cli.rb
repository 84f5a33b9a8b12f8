# frozen_string_literal: true

module ChefStandin
  # The command line: the options of chef-client that the house and its
  # operators use. Anything else is refused.
  class CLI
    DEFAULT_CONFIG = '/etc/chef/client.rb'

    def initialize(argv, stdout: $stdout, stderr: $stderr)
      @argv = argv.dup
      @stdout = stdout
      @stderr = stderr
      @given = {}
    end

    # main returns the exit code.
    def main
      options = parse
      return 0 if options == :done

      @stdout.puts(BANNER)
      output = Output.new(@stdout)
      trap_signals
      run(build_config, output)
    rescue OptionParser::ParseError => e
      refuse(ConfigError.new(e.message))
    rescue Error => e
      refuse(e)
    end

    private

    def refuse(error)
      @stderr.puts("#{TITLE}: error: #{error.message}#{error.location ? " (#{error.location})" : ''}")
      error.exit_code
    end

    def run(config, output)
      output.configure(level: config.log_level, file: log_file(config))
      config.warnings.each { |w| output.log(:warn, w) }
      Chef::Log.sink = output
      Client.new(config, output).run
    end

    def log_file(config)
      config.log_location.is_a?(String) && config.log_location != 'STDOUT' ? config.log_location : nil
    end

    def parse
      rest = parser.parse(@argv)
      return :done if @given[:done]
      raise ConfigError, "unexpected argument #{rest.first.inspect}" unless rest.empty?

      @given
    end

    def parser
      OptionParser.new do |o|
        o.banner = "#{BANNER}\nusage: chef-client [options]"
        input_options(o)
        output_options(o)
        o.on('-v', '--version', 'say what this is') { finish(BANNER) }
        o.on('-h', '--help', 'this text') { finish(o.help) }
      end
    end

    def finish(text)
      @stdout.puts(text)
      @given[:done] = true
    end

    def input_options(opts)
      opts.on('-c', '--config FILE', "client.rb (#{DEFAULT_CONFIG})") { |v| @given[:config] = v }
      opts.on('-z', '--local-mode', 'read the chef-repo on disk, no server') { @given[:local_mode] = true }
      opts.on('-j', '--json-attributes FILE', 'attributes and run_list') { |v| @given[:json_attribs] = v }
      opts.on('-o', '--override-runlist LIST', 'run this list, save no node') { |v| @given[:override_runlist] = v.split(/\s*,\s*/) }
      opts.on('-E', '--environment NAME') { |v| @given[:environment] = v }
      opts.on('-N', '--node-name NAME') { |v| @given[:node_name] = v }
      opts.on('-S', '--server URL') { |v| @given[:chef_server_url] = v }
      opts.on('-k', '--client_key FILE') { |v| @given[:client_key] = v }
      opts.on('--chef-license VALUE', 'accepted, without effect') { |v| @given[:chef_license] = v }
    end

    def output_options(opts)
      opts.on('-l', '--log_level LEVEL', %w[auto trace debug info warn error fatal]) { |v| @given[:log_level] = v.to_sym }
      opts.on('-L', '--logfile FILE') { |v| @given[:log_location] = v }
      opts.on('-F', '--format NAME', 'accepted, without effect') { |_| nil }
      opts.on('--force-formatter', 'accepted, without effect') { nil }
      opts.on('--[no-]color', 'accepted: output is never coloured') { |_| nil }
      opts.on('--once', 'accepted: there is no other way') { nil }
      opts.on('--[no-]fork', 'accepted: there is no other way') { |_| nil }
    end

    def build_config
      config = Config.new
      path = @given.delete(:config)
      if path then config.load_file(path)
      elsif File.exist?(DEFAULT_CONFIG) then config.load_file(DEFAULT_CONFIG)
      end
      @given.each { |name, value| config.set(name, value) }
      config.finish
    end

    def trap_signals
      %w[INT TERM].each { |name| trap(name) { Thread.main.raise(Interrupted.new(name)) } }
    end
  end
end
