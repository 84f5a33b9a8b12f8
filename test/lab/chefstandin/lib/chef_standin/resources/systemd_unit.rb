# frozen_string_literal: true

module ChefStandin
  module Resources
    # systemd_unit: a unit file under /etc/systemd/system, and its state
    class SystemdUnit < Resource
      provides :systemd_unit
      property :unit_name, String, name_property: true, regex: /\A[^\/]+\.[a-z]+\z/
      property :content, String, Hash
      property :triggers_reload, *BOOLEAN, default: true
      property :verify, *BOOLEAN, default: true
      default_action :nothing

      ROOT = '/etc/systemd/system'

      action :create do
        raise Error, 'needs the property `content`' unless content

        text = to_ini
        old = File.exist?(unit_path) ? File.read(unit_path) : nil
        if old != text
          change("#{old ? 'update' : 'create'} unit #{unit_name}") { install(text) }
        end
      end

      action :delete do
        change("delete unit #{unit_name}") { File.unlink(unit_path) && reload } if File.exist?(unit_path)
      end

      action(:enable) { step('enable') unless is?('is-enabled') }
      action(:disable) { step('disable') if is?('is-enabled') }
      action(:reenable) { step('reenable') }
      action(:mask) { step('mask') unless state == 'masked' }
      action(:unmask) { step('unmask') if state == 'masked' }
      action(:start) { step('start') unless is?('is-active') }
      action(:stop) { step('stop') if is?('is-active') }
      action(:restart) { step('restart') }
      action(:try_restart) { step('try-restart') }
      action(:reload_or_restart) { step('reload-or-restart') }
      action(:reload_or_try_restart) { step('reload-or-try-restart') }
      action(:reload) { step('reload') if is?('is-active') }

      private

      def unit_path = File.join(ROOT, unit_name)

      def to_ini
        return content if content.is_a?(String)

        sections = content.map do |section, options|
          lines = options.flat_map { |name, values| Array(values).map { |value| "#{name} = #{value}\n" } }
          "[#{section}]\n#{lines.join}"
        end
        sections.join("\n")
      end

      def install(text)
        Dir.mktmpdir do |dir|
          temp = File.join(dir, unit_name)
          File.write(temp, text)
          shell.run(['systemd-analyze', 'verify', temp]).check if verify
        end
        FileUtils.mkdir_p(ROOT)
        beside = File.join(ROOT, ".#{unit_name}.chef-standin")
        File.write(beside, text, perm: 0o644)
        File.rename(beside, unit_path)
        reload
      end

      def reload
        shell.run(%w[systemctl daemon-reload]).check if triggers_reload
      end

      def step(verb)
        change("#{verb} unit #{unit_name}") { systemctl(verb).check }
      end

      def is?(question) = systemctl('--quiet', question).ok?
      def state = systemctl('is-enabled').stdout.strip
      def systemctl(*words) = shell.run(['systemctl', *words, unit_name])
    end
  end
end
