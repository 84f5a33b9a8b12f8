# frozen_string_literal: true

module ChefStandin
  module Resources
    # user, by useradd, usermod and userdel
    class User < Resource
      provides :user
      property :username, String, name_property: true
      property :comment, String
      property :uid, Integer, String
      property :gid, Integer, String
      property :home, String
      property :shell, String
      property :system, *BOOLEAN, default: false
      property :manage_home, *BOOLEAN, default: false
      property :non_unique, *BOOLEAN, default: false
      property :force, *BOOLEAN, default: false
      default_action :create

      action(:create) { account ? modify : create }
      action(:manage) { modify if account }

      action :modify do
        raise Error, "there is no user #{username}" unless account

        modify
      end

      action :remove do
        if account
          change("remove user #{username}") do
            command('userdel', *('-r' if manage_home), *('-f' if force), username)
          end
        end
      end

      private

      # The property `shell` hides the runner of commands.
      def command(*argv) = run_context.shell.run(argv).check

      def account
        Etc.getpwnam(username)
      rescue ArgumentError
        nil
      end

      def create
        change("create user #{username}") do
          options = flags(wanted)
          options << '-r' if system
          options << '-o' if non_unique
          command('useradd', *options, manage_home ? '-m' : '-M', username)
        end
      end

      def modify
        now = account
        have = { comment: now.gecos, uid: now.uid, gid: now.gid, home: now.dir, shell: now.shell }
        differing = wanted.reject { |name, value| have[name] == value }
        return if differing.empty?

        change("alter user #{username}: #{differing.map { |n, v| "#{n} to #{v}" }.join(', ')}") do
          command('usermod', *flags(differing), *('-m' if manage_home && differing.key?(:home)), username)
        end
      end

      def wanted
        { comment: comment, uid: uid&.to_i, gid: group_id, home: home, shell: shell }.compact
      end

      def group_id
        return gid if gid.nil? || gid.is_a?(Integer)
        return gid.to_i if gid.match?(/\A\d+\z/)

        Etc.getgrnam(gid).gid
      rescue ArgumentError
        raise Error, "there is no group #{gid}"
      end

      FLAGS = { comment: '-c', uid: '-u', gid: '-g', home: '-d', shell: '-s' }.freeze

      def flags(values) = values.flat_map { |name, value| [FLAGS.fetch(name), value.to_s] }
    end
  end
end
