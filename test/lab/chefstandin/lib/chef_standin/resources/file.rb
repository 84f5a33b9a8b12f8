# frozen_string_literal: true

module ChefStandin
  module Resources
    # file: content given in the recipe.
    class FileResource < FileLike
      provides :file
      property :content, String

      private

      def desired_content = content
    end
  end
end
