# frozen_string_literal: true

module ChefStandin
  module Resources
    # apt_update: fetches the package lists, at most once in `frequency`.
    class AptUpdate < Resource
      provides :apt_update
      property :frequency, Integer, default: 86_400 # seconds
      default_action :periodic

      STAMP = '/var/lib/apt/periodic/update-success-stamp'
      HOOK = '/etc/apt/apt.conf.d/15update-stamp'

      action(:update) { update }

      action :periodic do
        update if !File.exist?(STAMP) || Time.now - File.mtime(STAMP) >= frequency
      end

      private

      def update
        change('update new lists of packages') do
          FileUtils.mkdir_p([File.dirname(STAMP), File.dirname(HOOK)])
          File.write(HOOK, hook) unless File.exist?(HOOK)
          shell.run(['apt-get', '-q', '-o', "DPkg::Lock::Timeout=#{Package::LOCK_WAIT}", 'update']).check
        end
      end

      # apt itself notes each success, whoever asked for it.
      def hook = %(APT::Update::Post-Invoke-Success {"touch #{STAMP} 2>/dev/null || true";};\n)
    end
  end
end
