# frozen_string_literal: true

module ChefStandin
  # The cookbooks of one run, in the order in which their attributes load:
  # the run list's order, dependencies first.
  class CookbookSet
    def initialize(cookbooks, recipes)
      @by_name = cookbooks.to_h { |c| [c.name, c] }
      @order = []
      recipes.each { |r| visit(r[/\A[^:@]+/]) }
      @by_name.each_key { |name| visit(name) }
    end

    def each(&block) = @order.map { |name| @by_name[name] }.each(&block)
    def size = @by_name.size

    def fetch(name)
      @by_name[name] || raise(Error.new("cookbook #{name} is not part of this run: " \
                                        'a cookbook that uses it must name it in metadata.rb with `depends`',
                                        location: Where.caller_location))
    end

    def versions = each.to_h { |c| [c.name, { 'version' => c.version }] }

    private

    def visit(name)
      return if @order.include?(name) || (@visiting ||= []).include?(name) || !@by_name.key?(name)

      @visiting << name
      @by_name[name].dependencies.each { |d| visit(d) }
      @order << name
    end
  end
end
