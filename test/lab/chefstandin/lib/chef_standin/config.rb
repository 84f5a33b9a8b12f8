# frozen_string_literal: true

module ChefStandin
  # client.rb, evaluated as the small Ruby that it is, and the settings that
  # the command line lays over it.
  class Config
    DEFAULTS = {
      chef_server_url: nil, node_name: nil, client_key: '/etc/chef/client.pem', environment: nil,
      file_cache_path: '/var/chef/cache', file_backup_path: '/var/chef/backup', chef_repo_path: nil,
      cookbook_path: nil, role_path: nil, environment_path: nil, node_path: nil, json_attribs: nil,
      log_level: :info, log_location: nil, ssl_ca_file: nil, ssl_verify_mode: :verify_peer, rest_timeout: 300,
      http_retry_count: 5, http_retry_delay: 5, authentication_protocol_version: '1.3', local_mode: false,
      override_runlist: nil, policy_name: nil, policy_group: nil, lockfile: nil, color: false, chef_license: nil
    }.freeze

    # Settings of the real client that change nothing for a single run here.
    ACCEPTED = %i[ssl_ca_path trusted_certs_dir validation_client_name validation_key verify_api_cert no_proxy http_proxy
                  https_proxy interval splay pid_file client_fork once minimal_ohai optional_plugins formatter run_lock_timeout
                  enable_reporting data_collector cache_path data_bag_path treat_deprecation_warnings_as_errors
                  show_download_progress stream_execute_output automatic_attribute_whitelist
                  allowed_automatic_attributes blocked_automatic_attributes cookbook_sync_threads
                  force_formatter force_logger use_policyfile umask user group].freeze

    attr_reader :warnings

    def initialize
      @settings = DEFAULTS.dup
      @warnings = []
    end

    DEFAULTS.each_key do |name|
      define_method(name) { @settings[name] }
    end

    def load_file(path)
      Dsl.new(self, path).instance_eval(File.read(path), path, 1)
      self
    rescue SystemCallError => e
      raise ConfigError, "reading the client's configuration: #{e.message}"
    rescue ConfigError
      raise
    rescue StandardError, ScriptError => e
      raise ConfigError.new("evaluating #{path}: #{e.message}", location: Where.in_backtrace(e))
    end

    def set(name, value, location: nil)
      if DEFAULTS.key?(name) then @settings[name] = value
      elsif name == :named_run_list
        raise ConfigError.new("#{name}: the lab's Chef stand-in runs a policy's own run list only", location: location)
      elsif !ACCEPTED.include?(name)
        @warnings << "client.rb: setting #{name} is unknown to the stand-in and ignored (#{location || 'command line'})"
      end
    end

    # finish checks what a run needs and fills in what has a natural default.
    def finish
      @settings[:node_name] ||= Etc.uname[:nodename]
      @settings[:lockfile] ||= File.join(file_cache_path, 'chef-client-running.pid')
      local_mode ? finish_local : finish_server
      self
    end

    private

    def finish_server
      return if chef_server_url.to_s.match?(%r{\Ahttps?://[^/]+})

      raise ConfigError, "chef_server_url is #{chef_server_url.inspect}: give http(s)://HOST[:PORT][/organizations/ORG] " \
                         'in client.rb, or --local-mode'
    end

    def finish_local
      cookbooks = Array(cookbook_path)
      repo = chef_repo_path || (cookbooks.first && File.dirname(File.expand_path(cookbooks.first))) || Dir.pwd
      @settings[:chef_repo_path] = File.expand_path(repo)
      @settings[:cookbook_path] = cookbooks.empty? ? [File.join(chef_repo_path, 'cookbooks')] : cookbooks
      @settings[:role_path] ||= File.join(chef_repo_path, 'roles')
      @settings[:environment_path] ||= File.join(chef_repo_path, 'environments')
      @settings[:node_path] ||= File.join(chef_repo_path, 'nodes')
      missing = cookbook_path.find { |dir| !File.directory?(dir) }
      raise ConfigError, "local mode: there is no cookbook directory #{missing}" if missing
    end

    # What client.rb is evaluated in.
    class Dsl
      def initialize(config, path)
        @config = config
        @path = path
      end

      # ohai.disabled_plugins = [...] and the like: accepted, without effect.
      def ohai = Sink.new
      def chef_config = @config

      def method_missing(name, *args)
        return @config.respond_to?(name) ? @config.public_send(name) : nil if args.empty? && !name.to_s.end_with?('!')

        @config.set(name.to_s.chomp('=').to_sym, args.length == 1 ? args.first : args,
                    location: "#{@path}:#{caller_locations(1, 1).first.lineno}")
      end

      def respond_to_missing?(*) = true
    end

    # Swallows settings of parts that the stand-in does not have.
    class Sink
      def []=(*); end
      def [](*) = self
      def method_missing(*) = self
      def respond_to_missing?(*) = true
    end
  end
end
