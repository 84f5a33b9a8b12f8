# frozen_string_literal: true

module ChefStandin
  # One cookbook whose files are all on disk under root.
  class Cookbook
    # Ruby that extends Chef itself: evaluating it takes the real client.
    FOREIGN = %w[libraries resources providers definitions].freeze

    attr_reader :name, :version, :dependencies, :root

    def initialize(name, version, dependencies, root)
      @name = name
      @version = version
      @dependencies = dependencies
      @root = root
      refuse_foreign
    end

    def recipe_file(recipe) = existing(File.join(root, 'recipes', "#{recipe}.rb"))

    # attribute_files, default.rb first and then by name, as Chef loads them.
    def attribute_files
      Dir[File.join(root, 'attributes', '**', '*.rb')].sort_by { |f| [File.basename(f) == 'default.rb' ? 0 : 1, f] }
    end

    def attribute_file(file) = existing(File.join(root, 'attributes', "#{file}.rb"))

    # find picks the most specific of files/ or templates/: host, platform and
    # version, platform, default, and the folder itself.
    def find(segment, path, node)
      platform = node['platform']
      folders = ["host-#{node['fqdn']}", "host-#{node['hostname']}", "#{platform}-#{node['platform_version']}",
                 "#{platform}-#{node['platform_version'].to_s.split('.').first}", platform.to_s, 'default', '.']
      folders.map { |f| File.expand_path(File.join(root, segment, f, path)) }.find { |f| File.file?(f) } ||
        raise(Error, "cookbook #{name} #{version} has no #{segment}/#{path} " \
                     "(looked in #{folders.map { |f| File.join(segment, f) }.uniq.join(', ')})")
    end

    private

    def existing(path) = File.file?(path) ? path : nil

    def refuse_foreign
      FOREIGN.each do |segment|
        found = Dir[File.join(root, segment, '**', '*.rb')].min
        next unless found

        raise UnsupportedError.new("cookbook #{name} has #{segment}: the lab's Chef stand-in does not evaluate them",
                                   location: "#{found}:1")
      end
    end
  end
end
