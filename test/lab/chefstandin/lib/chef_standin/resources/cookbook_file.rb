# frozen_string_literal: true

module ChefStandin
  module Resources
    # cookbook_file: content from the cookbook's files/.
    class CookbookFile < FileLike
      provides :cookbook_file
      property :source, String
      property :cookbook, String

      private

      def desired_content
        from = cookbook ? run_context.cookbooks.fetch(cookbook) : recipe.cookbook
        File.binread(from.find('files', source || File.basename(path), node))
      end
    end
  end
end
