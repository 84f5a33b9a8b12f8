# frozen_string_literal: true

module ChefStandin
  # One revision of a policy (Policyfile lock), as the server gives it to a
  # policy group: a run list of recipes, locked cookbooks and attributes.
  class Policy
    attr_reader :name, :group, :revision, :locks

    def initialize(name, group, data)
      @name = name
      @group = group
      raise Error, "#{self} is no policy: the server's reply is not an object" unless data.is_a?(Hash)

      @revision = data['revision_id']
      @run_list = data['run_list']
      @locks = data['cookbook_locks']
      @default = data['default_attributes'] || {}
      @override = data['override_attributes'] || {}
      check
    end

    # recipes are those of the policy's own run list, or of another one: all of
    # cookbooks that the policy locks.
    def recipes(instead = nil)
      (instead || @run_list).map do |text|
        item = RunList.parse(text.to_s)
        raise Error, "#{self} has #{text} in its run list: a policy takes recipes only" unless item.kind == :recipe

        book = item.name[/\A[^:]+/]
        raise Error, "#{self} locks no cookbook #{book}, which #{text} needs" unless @locks.key?(book)

        RunList.qualify(item.name)
      end
    end

    def default_attributes = hoist(@default)
    def override_attributes = hoist(@override)
    def to_s = "policy #{@name} of group #{@group}"

    private

    def check
      raise Error, "#{self} names no revision" if @revision.to_s.empty?
      raise Error, "#{self} has no run list" unless @run_list.is_a?(Array)
      raise Error, "#{self} has no cookbook_locks" unless @locks.is_a?(Hash)

      @locks.each do |book, lock|
        next if lock.is_a?(Hash) && !lock['identifier'].to_s.empty?

        raise Error, "#{self} locks cookbook #{book} to no identifier"
      end
    end

    # hoist lays what stands below the group's name over the rest: that is how
    # one policy differs from group to group.
    def hoist(values)
      own = values[@group]
      own.is_a?(Hash) ? Attributes.lay_over(values, own) : values
    end
  end
end
