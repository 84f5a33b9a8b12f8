# frozen_string_literal: true

module ChefStandin
  module Resources
    # group, by groupadd, groupmod, groupdel and gpasswd
    class Group < Resource
      provides :group
      property :group_name, String, name_property: true
      property :gid, Integer, String
      property :members, Array, coerce: ->(v) { v.is_a?(String) ? v.split(/\s*,\s*/) : v }
      property :excluded_members, Array, default: [].freeze, coerce: ->(v) { v.is_a?(String) ? v.split(/\s*,\s*/) : v }
      property :append, *BOOLEAN, default: false
      property :system, *BOOLEAN, default: false
      property :non_unique, *BOOLEAN, default: false
      default_action :create

      action :create do
        create unless entry
        modify
      end

      action(:manage) { modify if entry }

      action :modify do
        raise Error, "there is no group #{group_name}" unless entry

        modify
      end

      action :remove do
        change("remove group #{group_name}") { shell.run(['groupdel', group_name]).check } if entry
      end

      private

      def entry
        Etc.getgrnam(group_name)
      rescue ArgumentError
        nil
      end

      def create
        change("create group #{group_name}") do
          shell.run(['groupadd', *(['-g', gid.to_s] if gid), *('-r' if system), *('-o' if non_unique), group_name]).check
        end
      end

      def modify
        if gid && entry.gid != gid.to_i
          change("change gid of #{group_name} to #{gid}") { shell.run(['groupmod', '-g', gid.to_s, group_name]).check }
        end
        have = entry.mem
        leaving = have & excluded_members
        leaving |= have - members if members && !append
        ((members || []) - have).each { |name| member('-a', name, 'add') }
        leaving.each { |name| member('-d', name, 'remove') }
      end

      def member(flag, name, word)
        change("#{word} member #{name}") { shell.run(['gpasswd', flag, name, group_name]).check }
      end
    end
  end
end
