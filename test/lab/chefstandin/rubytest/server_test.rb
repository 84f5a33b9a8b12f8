# frozen_string_literal: true

require_relative 'helper'

# What comes from a Chef server is checked before it is used.
class ServerSourceTest < Minitest::Test
  include StandinTest

  # Answers the one cookbook that a test describes.
  class FakeAPI
    attr_reader :downloads, :node

    def initialize(manifest: {}, bytes: '', node: nil)
      @manifest = manifest
      @bytes = bytes
      @node = node
      @downloads = 0
    end

    def post(path, _body) = path.end_with?('cookbook_versions') ? { 't' => @manifest } : {}
    def get_or_nil(_path) = @node

    def download(_url)
      @downloads += 1
      @bytes
    end
  end

  def source(api)
    config = ChefStandin::Config.new
    config.set(:file_cache_path, @dir)
    ChefStandin::ServerSource.new(config, ChefStandin::Output.new(StringIO.new), api: api)
  end

  def file(path, checksum) = { 'path' => path, 'checksum' => checksum, 'url' => 'http://x/y' }

  def test_a_file_is_fetched_once_and_what_is_stale_goes
    stale = File.join(@dir, 'cookbooks/t/recipes/old.rb')
    FileUtils.mkdir_p(File.dirname(stale))
    File.write(stale, 'log 1')
    api = FakeAPI.new(manifest: { 'version' => '1.2.3', 'recipes' => [file('recipes/default.rb', Digest::MD5.hexdigest('log 2'))],
                                  'metadata' => { 'dependencies' => { 'b' => '>= 0.0.0' } } }, bytes: 'log 2')
    2.times do
      found = source(api).cookbooks('_default', ['t']).first
      assert_equal ['t', '1.2.3', ['b']], [found.name, found.version, found.dependencies]
    end
    assert_equal 1, api.downloads
    refute File.exist?(stale)
  end

  def test_bytes_that_do_not_match_are_refused
    api = FakeAPI.new(manifest: { 'recipes' => [file('recipes/default.rb', Digest::MD5.hexdigest('good'))] }, bytes: 'evil')
    error = assert_raises(ChefStandin::Error) { source(api).cookbooks('_default', ['t']) }
    assert_match(/recipes\/default.rb has checksum/, error.message)
    assert_empty Dir["#{@dir}/cookbooks/t/**/*.rb*"]
  end

  def test_a_path_out_of_the_cookbook_is_refused
    %w[../../etc/passwd /etc/passwd recipes/../../x].each do |path|
      api = FakeAPI.new(manifest: { 'all_files' => [file(path, 'x')] })
      assert_match(/outside the cookbook/, assert_raises(ChefStandin::Error) { source(api).cookbooks('_default', ['t']) }.message)
    end
  end

  def test_an_unknown_node_starts_empty
    assert_equal 'prod', source(FakeAPI.new).load_node('n', 'prod').chef_environment
  end

  def test_error_replies_are_put_in_words
    api = ChefStandin::API.allocate
    { '{"error":["a","b"]}' => 'a; b', '{"error":"a"}' => 'a', '{"error":{"message":"m","x":[]}}' => 'm',
      '{"error":["{\\"message\\":\\"m\\"}"]}' => 'm', '<html>' => '<html>', '[]' => '[]' }.each do |body, words|
      assert_equal words, api.send(:words_of, body), body
    end
  end
end
