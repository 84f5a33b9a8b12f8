# frozen_string_literal: true

# The Bakehouse lab's stand-in for chef-client. It speaks the Chef Server API
# and evaluates ordinary recipe files with the common resources; whatever it
# does not know it refuses, naming file and line.
module ChefStandin
  VERSION = '0.3.0'
  TITLE = "Bakehouse lab's Chef stand-in"
  BANNER = "#{TITLE} #{VERSION} (this is not Chef Infra Client)"
  # What the X-Chef-Version header says: the protocol level spoken, which a
  # Chef server checks before it answers.
  PROTOCOL_VERSION = '16.12.3'
end
