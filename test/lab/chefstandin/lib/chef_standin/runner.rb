# frozen_string_literal: true

module ChefStandin
  # Converges the resources in order, with their notifications.
  class Runner
    attr_reader :updated, :total

    def initialize(run_context)
      @context = run_context
      @output = run_context.output
      @updated = 0
      @total = 0
      @delayed = []
      @immediate = Hash.new { |h, k| h[k] = [] }
      @before = Hash.new { |h, k| h[k] = [] }
      @later = Hash.new { |h, k| h[k] = [] }
      @recipe = nil
    end

    # prepare resolves every notification before anything changes.
    def prepare
      @context.collection.each do |resource|
        resource.notifications.each { |n| register(resource, n, target_of(n.target, n, resource)) }
        resource.subscriptions.each { |n| register(target_of(n.target, n, resource), n, resource) }
      end
    end

    # converge ends early, and well, when a reboot is to happen now.
    def converge
      catch(:end_client_run_early) do
        begin
          @context.collection.each { |r| r.action.each { |action| run_action(r, action) } }
        rescue Interrupted
          raise
        rescue StandardError
          run_delayed_after_failure
          raise
        end
        run_delayed
      end
    end

    private

    def register(source, notification, target)
      unless target.class.actions.include?(notification.action)
        raise ValidationError.new("#{target} has no action :#{notification.action} to notify", location: notification.location,
                                                                                                resource: source.to_s)
      end
      list = { immediately: @immediate, before: @before, delayed: @later }.fetch(notification.timing)[source]
      pair = [target, notification.action]
      list << pair unless list.include?(pair)
    end

    def target_of(target, notification, resource)
      return target if target.is_a?(Resource)

      @context.find(target.to_s) ||
        raise(Error.new("#{resource} names #{target}, and no recipe declares it", location: notification.location,
                                                                                  resource: resource.to_s))
    end

    def run_action(resource, action, notified_by: nil)
      head(resource)
      @total += 1
      return @output.action(resource, action, 'skipped due to action :nothing') if action == :nothing

      guard = resource.guards.find { |g| !g.allows? }
      return @output.action(resource, action, "skipped due to #{guard.name}") if guard

      prepare_for(resource, action)
      changed = attempt(resource, action)
      @output.action(resource, action, notified_by ? 'up to date, notified' : 'up to date') unless resource.announced?
      notify(resource) if changed
    rescue Error => e
      e.resource ||= resource.to_s
      e.location ||= resource.location
      raise
    rescue SystemCallError => e
      raise Error.new(Where.without_function(e.message), location: resource.location, resource: resource.to_s)
    end

    def head(resource)
      name = resource.recipe.full_name
      @output.recipe(name) if name != @recipe
      @recipe = name
    end

    # prepare_for runs what wants to come before a change that is due.
    def prepare_for(resource, action)
      wishes = @before[resource]
      return if wishes.empty? || !resource.would_change?(action)

      wishes.each { |target, wish| run_action(target, wish, notified_by: resource) }
      head(resource)
    end

    def attempt(resource, action)
      tries = 0
      begin
        resource.perform(action)
      rescue Interrupted, RebootScheduled
        raise
      rescue Error, SystemCallError => e
        tries += 1
        if tries <= resource.retries
          @output.log(:warn, "#{resource}: #{e.message.lines.first.chomp}; retrying in #{resource.retry_delay} s")
          sleep resource.retry_delay
          retry
        end
        raise unless resource.ignore_failure

        resource.announce
        @output.change("ignoring failure: #{e.message}")
        false
      end
    end

    def notify(resource)
      @updated += 1
      @later[resource].each { |pair| @delayed << pair unless @delayed.include?(pair) }
      @immediate[resource].each { |target, action| run_action(target, action, notified_by: resource) }
    end

    def run_delayed
      until @delayed.empty?
        target, action = @delayed.shift
        run_action(target, action, notified_by: true)
      end
    end

    # A failed run still restarts what its finished part has changed, as the
    # real client does; a second failure must not hide the first.
    def run_delayed_after_failure
      run_delayed
    rescue Interrupted
      raise
    rescue StandardError => e
      @output.log(:error, "while running delayed notifications after the failure: #{e.message}")
    end
  end
end
