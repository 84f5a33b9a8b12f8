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
      @json_run_list = nil
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
      policy = choose_policy(node)
      recipes = policy ? apply(policy, node) : expand(node)
      cookbooks = fetch(node, recipes, policy)
      context = compile(node, cookbooks, recipes)
      converge(context)
      save(node)
      reboot(context) if context.reboot
    end

    def prepare_node
      node = @source.load_node(@config.node_name, @config.environment)
      node.chef_environment = @config.environment if @config.environment
      node.policy_name = @config.policy_name || node.policy_name
      node.policy_group = @config.policy_group || node.policy_group
      consume_json(node) if @config.json_attribs
      node.attributes.replace(:automatic, Ohai.new(@shell).collect)
      node
    end

    def consume_json(node)
      data = JSON.parse(File.read(@config.json_attribs))
      raise Error, "#{@config.json_attribs} is not a JSON object" unless data.is_a?(Hash)

      @json_run_list = data.delete('run_list')
      node.run_list = Array(@json_run_list) if @json_run_list
      node.policy_name = data.delete('policy_name') || node.policy_name
      node.policy_group = data.delete('policy_group') || node.policy_group
      environment = data.delete('chef_environment')
      node.chef_environment = environment if environment && !@config.environment
      node.attributes.replace(:normal, Attributes.deep_merge(node.normal, data))
    rescue SystemCallError => e
      raise ConfigError, "reading json_attribs: #{e.message}"
    rescue JSON::ParserError => e
      raise ConfigError, "reading json_attribs #{@config.json_attribs}: not JSON: #{e.message[0, 160]}"
    end

    # choose_policy answers the policy that the node is run by, or nil. What
    # says it: attributes given on the command line, client.rb, the node.
    def choose_policy(node)
      return nil unless node.policy?
      raise Error, "policy #{node.policy_name}: no policy_group is set" unless node.policy_group
      raise Error, "policy group #{node.policy_group}: no policy_name is set" unless node.policy_name
      raise Error, "a policy does not work with an environment (#{@config.environment})" if @config.environment

      @source.policy(node.policy_group, node.policy_name)
    end

    # apply is what expand is to roles: the policy has its recipes and
    # attributes, and its group takes the environment's place.
    def apply(policy, node)
      recipes = policy.recipes(@config.override_runlist || @json_run_list)
      @output.puts("Using #{policy}, revision #{policy.revision}")
      node.run_list = recipes.map { |r| "recipe[#{r}]" }
      node.chef_environment = policy.group
      node.roles = []
      node.recipes = recipes
      node.attributes.replace(:role_default, policy.default_attributes)
      node.attributes.replace(:role_override, policy.override_attributes)
      { 'roles' => [], 'recipes' => recipes, 'policy_name' => policy.name, 'policy_group' => policy.group,
        'policy_revision' => policy.revision, 'chef_environment' => policy.group }.each { |k, v| node.automatic[k] = v }
      recipes
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

    def fetch(node, recipes, policy)
      @output.puts("Resolving cookbooks for run list: #{recipes.inspect}")
      found = if policy then @source.artefacts(policy)
              else recipes.empty? ? [] : @source.cookbooks(node.chef_environment, recipes)
              end
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
