# frozen_string_literal: true

module ChefStandin
  # Node, roles, environment and cookbooks from a Chef server.
  class ServerSource
    def initialize(config, output, api: API.new(config, output))
      @config = config
      @output = output
      @api = api
    end

    def describe = @config.chef_server_url

    def load_node(name, environment)
      data = @api.get_or_nil("nodes/#{name}")
      unless data
        @output.log(:warn, "node #{name} is not on the server: creating it")
        fresh = Node.new(name, environment: environment || '_default')
        @api.post('nodes', fresh.to_json_object)
        return fresh
      end
      Node.from_json(name, data)
    end

    def save_node(node) = @api.put("nodes/#{node.name}", node.to_json_object)
    def role(name) = @api.get_or_nil("roles/#{name}")

    def environment(name)
      return {} if name == '_default'

      @api.get_or_nil("environments/#{name}") || raise(Error, "the Chef server has no environment #{name}")
    end

    def cookbooks(environment, recipes)
      reply = @api.post("environments/#{environment}/cookbook_versions", { 'run_list' => recipes })
      reply.map { |name, manifest| fetch(name, manifest) }
    end

    def policy(group, name)
      data = @api.get_or_nil("policy_groups/#{group}/policies/#{name}")
      raise Error, "the Chef server has no policy #{name} in group #{group}" unless data

      Policy.new(name, group, data)
    end

    # artefacts fetches the cookbooks that a policy locks, each by the hash of
    # its content.
    def artefacts(policy)
      policy.locks.map do |name, lock|
        manifest = @api.get_or_nil("cookbook_artifacts/#{name}/#{lock['identifier']}")
        raise Error, "the Chef server has no cookbook artefact #{name} #{lock['identifier']}, which #{policy} locks" unless manifest

        got = manifest['identifier'] || lock['identifier']
        raise Error, "cookbook #{name}: asked for artefact #{lock['identifier']}, the server gave #{got}" if got != lock['identifier']

        fetch(name, manifest)
      end
    end

    private

    def fetch(name, manifest)
      root = File.join(@config.file_cache_path, 'cookbooks', name)
      files = files_of(manifest)
      files.each { |file| fetch_file(name, root, file) }
      prune(root, files.map { |f| f['path'] })
      meta = manifest['metadata'] || {}
      Cookbook.new(name, manifest['version'] || meta['version'], (meta['dependencies'] || {}).keys, root)
    end

    SEGMENTS = %w[recipes attributes files templates libraries resources providers definitions root_files].freeze

    def files_of(manifest)
      manifest['all_files'] || SEGMENTS.flat_map { |s| manifest[s] || [] }
    end

    def fetch_file(name, root, file)
      path = file['path'].to_s
      if path.start_with?('/') || path.split('/').include?('..')
        raise Error, "cookbook #{name}: the server names a file outside the cookbook: #{path}"
      end

      target = File.join(root, path)
      return if File.file?(target) && Digest::MD5.file(target).hexdigest == file['checksum']

      content = @api.download(file['url'])
      got = Digest::MD5.hexdigest(content)
      raise Error, "cookbook #{name}: #{path} has checksum #{got}, the server said #{file['checksum']}" if got != file['checksum']

      FileUtils.mkdir_p(File.dirname(target))
      File.binwrite("#{target}.new", content)
      File.rename("#{target}.new", target)
    end

    # prune removes what an older version of the cookbook left in the cache.
    def prune(root, paths)
      Dir[File.join(root, '**', '*')].select { |f| File.file?(f) }.each do |file|
        File.delete(file) unless paths.include?(file.delete_prefix("#{root}/"))
      end
    end
  end
end
