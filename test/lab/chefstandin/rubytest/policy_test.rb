# frozen_string_literal: true

require_relative 'helper'

# A node that has a policy converges what its group runs of it, not a run list.
class PolicyTest < Minitest::Test
  include StandinTest

  ID = 'f04cc40faf628253fe7d9566d66a1733fb1afbe9'

  # Keeps nodes, and serves policy web of group prod, which locks cookbook t.
  class FakeServer
    attr_reader :saved, :asked
    attr_accessor :node, :policy, :artefact

    def initialize(recipe)
      @recipe = recipe
      @asked = []
      @policy = { 'name' => 'web', 'revision_id' => 'rev1', 'run_list' => ['recipe[t::default]'],
                  'cookbook_locks' => { 't' => { 'version' => '1.0.0', 'identifier' => ID } },
                  'default_attributes' => { 'word' => 'default', 'list' => %w[a], 'prod' => { 'list' => %w[b], 'site' => 'of prod' } },
                  'override_attributes' => { 'word' => 'override' } }
      @artefact = { 'name' => 't', 'version' => '1.0.0', 'identifier' => ID, 'recipes' => [
        { 'path' => 'recipes/default.rb', 'checksum' => Digest::MD5.hexdigest(recipe), 'url' => 'http://x/y' }
      ] }
    end

    def get_or_nil(path)
      @asked << path
      { 'nodes/n1' => @node, 'policy_groups/prod/policies/web' => @policy, "cookbook_artifacts/t/#{ID}" => @artefact }[path]
    end

    def post(*) = {}
    def put(_path, body) = @saved = body
    def download(_url) = @recipe
  end

  RECIPE = "log \"word \#{node['word']}, list \#{node['list']}, site \#{node['site']}, in \#{node.chef_environment}\"\n"

  def run_policy(api = FakeServer.new(RECIPE), **settings)
    config = ChefStandin::Config.new
    { chef_server_url: 'http://x', node_name: 'n1', file_cache_path: File.join(@dir, 'cache'),
      file_backup_path: File.join(@dir, 'backup') }.merge(settings).each { |k, v| config.set(k, v) }
    out = StringIO.new
    output = ChefStandin::Output.new(out)
    source = ChefStandin::ServerSource.new(config.finish, output, api: api)
    code = ChefStandin::Client.new(config, output, shell: FakeShell.new, source: source).run
    [code, out.string, api]
  end

  WEB = { policy_name: 'web', policy_group: 'prod' }.freeze

  def test_a_policy_brings_recipes_cookbooks_and_attributes
    code, text, api = run_policy(**WEB)
    assert_equal 0, code, text
    assert_includes text, 'word override, list ["b"], site of prod, in prod'
    saved = api.saved
    assert_equal ['web', 'prod', ['recipe[t::default]'], 'prod'],
                 saved.values_at('policy_name', 'policy_group', 'run_list', 'chef_environment')
    assert_equal ['rev1', 'web', 'prod', [], ['t::default']],
                 saved['automatic'].values_at('policy_revision', 'policy_name', 'policy_group', 'roles', 'recipes')
    assert_empty(api.asked.grep(/roles|environments/))
  end

  def test_the_node_itself_names_its_policy_and_its_run_list_does_not_count
    api = FakeServer.new(RECIPE)
    api.node = { 'name' => 'n1', 'policy_name' => 'web', 'policy_group' => 'prod', 'run_list' => ['role[nosuch]'] }
    2.times do
      code, text, = run_policy(api)
      assert_equal 0, code, text
      assert_includes text, 'Using policy web of group prod, revision rev1'
      api.node = api.saved
    end
  end

  def test_client_rb_wins_over_the_node_and_json_over_both
    api = FakeServer.new(RECIPE)
    api.node = { 'name' => 'n1', 'policy_name' => 'old', 'policy_group' => 'old' }
    assert_equal 0, run_policy(api, **WEB).first
    json = write('a.json', '{"policy_name": "web", "policy_group": "prod"}')
    assert_equal 0, run_policy(api, policy_name: 'other', policy_group: 'other', json_attribs: json).first
  end

  def test_a_node_without_a_policy_is_saved_without_the_keys
    _, _, api = run_policy
    refute_includes api.saved.keys, 'policy_name'
  end

  def spoilt(pattern, **settings)
    api = FakeServer.new(RECIPE)
    yield api if block_given?
    code, text, = run_policy(api, **WEB, **settings)
    assert_equal 1, code
    assert_match(pattern, text)
    assert_nil api.saved
  end

  def test_what_cannot_be_run_is_refused
    spoilt(/no policy web in group prod/) { |a| a.policy = nil }
    spoilt(/no policy nosuch in group prod/, policy_name: 'nosuch')
    spoilt(/no policy_group is set/, policy_group: nil)
    spoilt(/no policy_name is set/, policy_name: nil)
    spoilt(/does not work with an environment \(prod\)/, environment: 'prod')
    spoilt(/names no revision/) { |a| a.policy.delete('revision_id') }
    spoilt(/has no run list/) { |a| a.policy.delete('run_list') }
    spoilt(/has no cookbook_locks/) { |a| a.policy.delete('cookbook_locks') }
    spoilt(/to no identifier/) { |a| a.policy['cookbook_locks']['t'] = {} }
    spoilt(/locks no cookbook u/) { |a| a.policy['run_list'] = ['recipe[u]'] }
    spoilt(/takes recipes only/) { |a| a.policy['run_list'] = ['role[web]'] }
    spoilt(/locks no cookbook u/, override_runlist: ['u'])
    spoilt(/no cookbook artefact t #{ID}/) { |a| a.artefact = nil }
    spoilt(/the server gave 00/) { |a| a.artefact['identifier'] = '00' }
  end

  def test_local_mode_knows_no_policies
    cookbook('t', "log 'x'")
    outcome = converge(**WEB)
    assert_equal 1, outcome.code
    assert_match(/this is local mode/, outcome.text)
  end
end
