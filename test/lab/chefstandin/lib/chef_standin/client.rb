# frozen_string_literal: true

module ChefStandin
  # One run from the node to the saved node.
  class Client
    def initialize(config, output, shell: Shell.new, source: nil)
      @config = config
      @output = output
      @shell = shell
      @source = source
      @runner = nil
      @started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end

    # run returns the exit code.
    def run
      with_lock { whole_run }
      summary('finished')
      0
    rescue RebootScheduled => e
      summary('finished')
      @output.log(:warn, e.message)
      e.exit_code
    rescue Chef::Exceptions::RebootPending => e
      report(RebootNeeded.new(e.message, location: Where.in_backtrace(e)))
    rescue Error => e
      report(e)
    rescue StandardError, ScriptError => e
      report(wrap(e))
    end

    private

    def whole_run
      @source ||= @config.local_mode ? LocalSource.new(@config, @output) : ServerSource.new(@config, @output)
      @output.puts("Node #{@config.node_name}, from #{@source.describe}")
      node = prepare_node
      recipes = expand(node)
      cookbooks = fetch(node, recipes)
      context = compile(node, cookbooks, recipes)
      converge(context)
      save(node)
      reboot(context) if context.reboot
    end

    def prepare_node
      node = @source.load_node(@config.node_name, @config.environment)
      node.chef_environment = @config.environment if @config.environment
      consume_json(node) if @config.json_attribs
      node.attributes.replace(:automatic, Ohai.new(@shell).collect)
      node
    end

    def consume_json(node)
      data = JSON.parse(File.read(@config.json_attribs))
      raise Error, "#{@config.json_attribs} is not a JSON object" unless data.is_a?(Hash)

      node.run_list = Array(data.delete('run_list')) if data.key?('run_list')
      environment = data.delete('chef_environment')
      node.chef_environment = environment if environment && !@config.environment
      node.attributes.replace(:normal, Attributes.deep_merge(node.normal, data))
    rescue SystemCallError => e
      raise ConfigError, "reading json_attribs: #{e.message}"
    rescue JSON::ParserError => e
      raise ConfigError, "reading json_attribs #{@config.json_attribs}: not JSON: #{e.message[0, 160]}"
    end

    def expand(node)
      items = @config.override_runlist || node.run_list
      @output.log(:warn, "node #{node.name} has an empty run list") if items.empty?
      list = RunList.new(node.chef_environment, @source.method(:role)).expand(items)
      environment = @source.environment(node.chef_environment)
      { role_default: list.default_attributes, role_override: list.override_attributes,
        env_default: environment['default_attributes'], env_override: environment['override_attributes'] }
        .each { |level, values| node.attributes.replace(level, values) }
      node.roles = list.roles
      node.recipes = list.recipes.map { |r| RunList.qualify(r.sub(/@.*/, '')) }
      node.automatic['roles'] = node.roles
      node.automatic['recipes'] = node.recipes
      node.automatic['expanded_run_list'] = node.recipes
      list.recipes
    end

    def fetch(node, recipes)
      @output.puts("Resolving cookbooks for run list: #{recipes.inspect}")
      found = recipes.empty? ? [] : @source.cookbooks(node.chef_environment, recipes)
      set = CookbookSet.new(found, recipes)
      node.automatic['cookbooks'] = set.versions
      @output.puts('Cookbooks:')
      set.each { |c| @output.puts("  - #{c.name} (#{c.version})") }
      set
    end

    def compile(node, cookbooks, recipes)
      @output.puts('Compiling cookbooks...')
      context = RunContext.new(node, cookbooks, config: @config, shell: @shell, output: @output)
      context.load_all_attributes
      recipes.each { |r| context.load_recipe(r) }
      context
    end

    def converge(context)
      @runner = Runner.new(context)
      @runner.prepare
      @output.puts("Converging #{context.collection.size} resources")
      @runner.converge
    end

    def save(node)
      return @output.log(:warn, 'the node is not saved: the run list was overridden') if @config.override_runlist

      @source.save_node(node)
    end

    # reboot schedules what a reboot resource asked for, after the node was
    # saved, and always ends the run with RebootScheduled or RebootFailed.
    def reboot(context)
      wish = context.reboot
      result = @shell.run(['shutdown', '-r', "+#{wish[:delay_mins]}", wish[:reason]])
      raise RebootFailed, "scheduling the reboot: #{result.stderr.strip}" unless result.ok?

      raise RebootScheduled, "rebooting the machine because #{wish[:requested_by]} asked for it: #{wish[:reason]}"
    rescue CommandFailed => e
      raise RebootFailed, "scheduling the reboot: #{e.message}"
    end

    def with_lock
      FileUtils.mkdir_p(File.dirname(@config.lockfile))
      File.open(@config.lockfile, File::RDWR | File::CREAT, 0o644) do |file|
        unless file.flock(File::LOCK_EX | File::LOCK_NB)
          @output.puts("Another run holds #{@config.lockfile}; waiting for it")
          file.flock(File::LOCK_EX)
        end
        yield
      end
    end

    def wrap(error)
      where = Where.in_backtrace(error)
      # A SyntaxError carries its place in the message alone.
      where ||= error.message[%r{\A/[^:\n]+:\d+}] if error.is_a?(ScriptError)
      return Error.new(Where.without_function(error.message), location: where) if error.is_a?(SystemCallError)

      Error.new("#{error.class}: #{error.message}", location: where)
    end

    def report(error)
      summary('failed')
      title = error.resource ? "Error in #{error.resource}" : 'Error'
      @output.failure("#{TITLE}: #{title}", 'what' => error.message, 'where' => error.location,
                                                        'known' => error.hint)
      where = error.location ? " (#{error.location})" : ''
      @output.log(:fatal, "#{error.resource ? "#{error.resource} had an error: " : ''}#{error.brief}#{where}")
      error.exit_code
    end

    def summary(word)
      seconds = (Process.clock_gettime(Process::CLOCK_MONOTONIC) - @started).round(1)
      counts = @runner ? ", #{@runner.updated}/#{@runner.total} resources updated" : ''
      @output.puts("\nChef stand-in #{word}#{counts} in #{seconds} seconds")
    end
  end
end
