# frozen_string_literal: true

module ChefStandin
  module Resources
    # reboot: both ways schedule it with shutdown(8) once the node is saved,
    # and the run then ends with exit code 35.
    class Reboot < Resource
      provides :reboot
      property :reason, String, default: TITLE
      property :delay_mins, Integer, default: 0

      action :request_reboot do
        change('request a system reboot to occur if the run succeeds') { ask }
      end

      action :reboot_now do
        change('rebooting the system immediately') { ask }
        throw :end_client_run_early
      end

      action :cancel do
        change('cancel any existing end-of-run reboot request') { run_context.reboot = nil } if run_context.reboot
      end

      private

      def ask
        run_context.reboot = { delay_mins: delay_mins, reason: reason, requested_by: to_s }
      end
    end
  end
end
