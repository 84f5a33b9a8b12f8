# frozen_string_literal: true

module ChefStandin
  module Resources
    # package and apt_package: apt-get, never asking and waiting for locks.
    class Package < Resource
      provides :package, :apt_package
      property :package_name, Array, name_property: true, coerce: ->(v) { Array(v) }
      property :version, Array, coerce: ->(v) { Array(v) }
      property :options, Array, default: [].freeze, coerce: ->(v) { v.is_a?(String) ? v.split : v }
      property :default_release, String
      property :timeout, Integer, String, default: 900, coerce: ->(v) { Integer(v) }
      default_action :install

      LOCK_WAIT = 300 # seconds that apt waits for another apt

      action :install do
        missing = wanted.reject { |name, wish| wish ? installed(name) == wish : installed(name) }
        install(missing)
      end

      action :upgrade do
        old = wanted.reject { |name, wish| installed(name) == (wish || candidate(name)) }
        install(old)
      end

      action(:remove) { take_away('remove') }
      action(:purge) { take_away('purge') }

      private

      def wanted = package_name.zip(version || [])

      def install(list)
        return if list.empty?

        return @updated = true if @dry # the lists that name a candidate may come only now

        chosen = list.map { |name, wish| [name, wish || candidate(name)] }
        change(chosen.map { |name, v| "install version #{v} of package #{name}" }.join("\n")) do
          apt('install', *chosen.map { |name, v| "#{name}=#{v}" })
        end
      end

      def take_away(verb)
        there = package_name.select { |name| installed(name, any: verb == 'purge') }
        return if there.empty?

        change(there.map { |name| "#{verb} package #{name}" }.join("\n")) { apt(verb, *there) }
      end

      def installed(name, any: false)
        result = shell.run(['dpkg-query', '-W', '-f', '${db:Status-Abbrev}\t${Version}', name])
        status, found = result.stdout.split("\t", 2)
        return nil if !result.ok? || found.to_s.empty?

        any || status.start_with?('ii', 'hi') ? found : nil
      end

      def candidate(name)
        text = shell.run(['apt-cache', *release, 'policy', name]).check.stdout
        found = text[/^\s*Candidate:\s*(\S+)/, 1]
        return found if found && found != '(none)'

        raise Error, "apt knows no package #{name} (are the package lists fetched? see apt_update)"
      end

      def release = default_release ? ['-o', "APT::Default-Release=#{default_release}"] : []

      def apt(verb, *names)
        shell.run(['apt-get', '-q', '-y', '-o', "DPkg::Lock::Timeout=#{LOCK_WAIT}", '-o', 'Dpkg::Options::=--force-confdef',
                   '-o', 'Dpkg::Options::=--force-confold', *('--allow-downgrades' if version), *release, *options, verb, *names],
                  env: { 'DEBIAN_FRONTEND' => 'noninteractive', 'NEEDRESTART_MODE' => 'a' }, timeout: timeout).check
      end
    end
  end
end
