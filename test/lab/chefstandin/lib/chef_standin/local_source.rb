# frozen_string_literal: true

module ChefStandin
  # Node, roles, environment and cookbooks from a chef-repo on disk.
  class LocalSource
    def initialize(config, output)
      @config = config
      @output = output
    end

    def describe = "the chef-repo #{@config.chef_repo_path} (local mode)"

    def load_node(name, environment)
      data = read_json(File.join(@config.node_path, "#{name}.json"))
      data ? Node.from_json(name, data) : Node.new(name, environment: environment || '_default')
    end

    def save_node(node)
      FileUtils.mkdir_p(@config.node_path)
      path = File.join(@config.node_path, "#{node.name}.json")
      File.write("#{path}.new", JSON.pretty_generate(node.to_json_object))
      File.rename("#{path}.new", path)
    end

    def policy(group, name)
      raise UnsupportedError, "policy #{name} of group #{group}: policies are kept by a Chef server, and this is local mode"
    end

    def role(name) = read_json(File.join(@config.role_path, "#{name}.json"))

    def environment(name)
      return {} if name == '_default'

      path = File.join(@config.environment_path, "#{name}.json")
      read_json(path) || raise(Error, "there is no environment #{name} (#{path})")
    end

    # cookbooks finds those of the recipes and, transitively, what they depend on.
    def cookbooks(_environment, recipes)
      wanted = recipes.map { |r| [r[/\A[^:@]+/], 'the run list'] }
      found = {}
      until wanted.empty?
        name, by = wanted.shift
        next if found.key?(name)

        found[name] = load(name, by)
        wanted.concat(found[name].dependencies.map { |d| [d, "cookbook #{name}"] })
      end
      found.values
    end

    private

    def load(name, wanted_by)
      dir = @config.cookbook_path.map { |p| File.expand_path(File.join(p, name)) }.find { |d| File.directory?(d) }
      raise Error, "there is no cookbook #{name} in #{@config.cookbook_path.join(', ')} (asked for by #{wanted_by})" unless dir

      meta = Metadata.read(dir)
      Cookbook.new(meta.name, meta.version, meta.dependencies.keys, dir)
    end

    def read_json(path)
      return nil unless File.file?(path)

      JSON.parse(File.read(path))
    rescue JSON::ParserError => e
      raise Error.new("#{path} is not JSON: #{e.message[0, 200]}", location: path)
    end
  end
end
