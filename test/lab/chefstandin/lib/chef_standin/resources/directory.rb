# frozen_string_literal: true

module ChefStandin
  module Resources
    # directory
    class Directory < Resource
      include Permissions

      provides :directory
      property :path, String, name_property: true
      property :recursive, *BOOLEAN, default: false
      default_action :create

      action :create do
        make unless File.directory?(path)
        apply_permissions(path)
      end

      action :delete do
        if File.directory?(path)
          change("delete existing directory #{path}") { recursive ? FileUtils.rm_r(path) : Dir.rmdir(path) }
        elsif File.exist?(path)
          raise Error, "#{path} is not a directory"
        end
      end

      private

      def make
        raise Error, "#{path} exists and is not a directory" if File.exist?(path) || File.symlink?(path)

        parent = File.dirname(path)
        raise Error, "parent directory #{parent} does not exist (recursive is false)" unless recursive || File.directory?(parent)

        change("create new directory #{path}") { recursive ? FileUtils.mkdir_p(path) : Dir.mkdir(path) }
      end
    end
  end
end
