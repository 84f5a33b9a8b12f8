# frozen_string_literal: true

module ChefStandin
  module Resources
    # link, symbolic or hard
    class Link < Resource
      provides :link
      property :target_file, String, name_property: true
      property :to, String
      property :link_type, Symbol, default: :symbolic, equal_to: %i[symbolic hard], coerce: :to_sym.to_proc
      property :owner, String, Integer
      property :group, String, Integer
      default_action :create

      action :create do
        raise Error, 'needs the property `to`' unless to

        unless in_place?
          change("create #{link_type} link at #{target_file} to #{to}") { put }
        end
        own if link_type == :symbolic && (owner || group)
      end

      action :delete do
        if File.symlink?(target_file) || (link_type == :hard && File.exist?(target_file))
          change("delete #{link_type} link at #{target_file}") { File.unlink(target_file) }
        elsif File.exist?(target_file)
          raise Error, "#{target_file} exists and is not a link"
        end
      end

      private

      def in_place?
        return File.symlink?(target_file) && File.readlink(target_file) == to if link_type == :symbolic

        File.exist?(target_file) && File.exist?(to) && File.identical?(target_file, to)
      end

      def put
        raise Error, "#{target_file} is a directory" if File.directory?(target_file) && !File.symlink?(target_file)

        # Beside, then over: nobody sees a moment without the link.
        temp = "#{target_file}.chef-standin-#{Process.pid}"
        link_type == :symbolic ? File.symlink(to, temp) : File.link(to, temp)
        File.rename(temp, target_file)
      end

      def own
        stat = File.lstat(target_file)
        uid = owner.is_a?(String) ? Etc.getpwnam(owner).uid : owner
        gid = group.is_a?(String) ? Etc.getgrnam(group).gid : group
        return if (uid.nil? || stat.uid == uid) && (gid.nil? || stat.gid == gid)

        change("change owner of the link to #{owner}:#{group}") { File.lchown(uid, gid, target_file) }
      rescue ArgumentError => e
        raise Error, e.message
      end
    end
  end
end
