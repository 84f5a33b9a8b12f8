# frozen_string_literal: true

module ChefStandin
  module Resources
    # service, by systemctl
    class Service < Resource
      provides :service, :systemd_service
      property :service_name, String, name_property: true
      property :supports, Hash, default: {}.freeze
      property :timeout, Integer, default: 900 # seconds

      action(:enable) { step('enable service', 'enable') unless is?('is-enabled') }
      action(:disable) { step('disable service', 'disable') if is?('is-enabled') }
      action(:start) { step('start service', 'start') unless is?('is-active') }
      action(:stop) { step('stop service', 'stop') if is?('is-active') }
      action(:restart) { step('restart service', 'restart') }
      action(:mask) { step('mask service', 'mask') unless state == 'masked' }
      action(:unmask) { step('unmask service', 'unmask') if state == 'masked' }

      # As in the real client, a service that does not run is started instead.
      action(:reload) { is?('is-active') ? step('reload service', 'reload') : step('start service', 'start') }

      private

      def step(text, verb)
        change("#{text} #{service_name}") { systemctl(verb).check }
      end

      def is?(question) = systemctl('--quiet', question).ok?
      def state = systemctl('is-enabled').stdout.strip
      def systemctl(*words) = shell.run(['systemctl', *words, service_name], timeout: timeout)
    end
  end
end
