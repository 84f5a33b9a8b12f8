# frozen_string_literal: true

module ChefStandin
  module Resources
    # log: says something; as in the real client it never counts as a change.
    class Log < Resource
      provides :log
      property :message, String, name_property: true
      property :level, Symbol, default: :info, equal_to: %i[debug info warn error fatal], coerce: :to_sym.to_proc
      default_action :write

      action :write do
        announce
        output.change(message) unless level == :debug || @dry
      end
    end
  end
end
