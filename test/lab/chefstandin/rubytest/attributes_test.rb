# frozen_string_literal: true

require_relative 'helper'

class AttributesTest < Minitest::Test
  include ChefStandin

  def setup
    @node = Node.new('n')
  end

  def test_levels_win_in_chefs_order
    order = %i[default env_default role_default force_default normal override role_override env_override force_override automatic]
    order.each do |level|
      @node.attributes.level(level)['who'] = level.to_s
      assert_equal level.to_s, @node['who'], "#{level} loses against a lower level"
    end
  end

  def test_arrays_unite_within_a_group_and_are_replaced_between_groups
    @node.default['list'] = [1, 2]
    @node.attributes.level(:role_default)['list'] = [2, 3]
    assert_equal [1, 2, 3], @node['list']
    @node.override['list'] = [9]
    assert_equal [9], @node['list']
  end

  def test_hashes_merge_and_keys_may_be_symbols
    @node.default['a']['b']['c'] = 1
    @node.normal[:a][:b][:d] = 2
    assert_equal({ 'c' => 1, 'd' => 2 }, @node['a']['b'])
    assert_equal 2, @node[:a][:b][:d]
    assert_equal 1, @node.read('a', 'b', 'c')
    assert_nil @node.read('a', 'x', 'y')
  end

  def test_the_merged_view_cannot_be_written
    error = assert_raises(Error) { @node['a'] = 1 }
    assert_match(/read-only/, error.message)
    @node.default['a']['b'] = 1
    assert_raises(Error) { @node['a']['b'] = 2 }
  end

  def test_an_unknown_method_of_node_is_refused
    assert_match(/node.set is not known/, assert_raises(UnsupportedError) { @node.set }.message)
  end

  def test_the_saved_node_holds_plain_json
    @node.normal['bakehouse']['id'] = 'i-1'
    data = JSON.parse(JSON.generate(@node.to_json_object))
    assert_equal({ 'bakehouse' => { 'id' => 'i-1' } }, data['normal'])
    assert_equal 'Chef::Node', data['json_class']
  end
end

class RunListTest < Minitest::Test
  include ChefStandin

  def expand(roles, *items) = RunList.new('_default', ->(name) { roles[name] }).expand(items)

  def test_nested_roles_expand_in_order_once_and_the_outer_role_wins
    roles = { 'web' => { 'run_list' => ['role[base]', 'recipe[web]'], 'default_attributes' => { 'a' => 'outer', 'o' => 1 } },
              'base' => { 'run_list' => ['recipe[base]', 'role[web]'], 'default_attributes' => { 'a' => 'inner', 'i' => 1 } } }
    list = expand(roles, 'role[web]', 'base')
    assert_equal %w[base web], list.recipes
    assert_equal %w[web base], list.roles
    assert_equal({ 'a' => 'outer', 'i' => 1, 'o' => 1 }, list.default_attributes)
  end

  def test_all_missing_roles_are_named_with_who_asked
    error = assert_raises(Error) { expand({ 'a' => { 'run_list' => %w[role[b] role[c]] } }, 'role[a]') }
    assert_includes error.message, 'role[b] (asked for by role[a]), role[c] (asked for by role[a])'
  end

  def test_an_environment_has_its_own_run_list
    role = { 'run_list' => ['recipe[a]'], 'env_run_lists' => { 'prod' => ['recipe[b]'] } }
    assert_equal %w[b], RunList.new('prod', ->(_) { role }).expand(['role[x]']).recipes
  end

  def test_a_malformed_item_is_refused
    assert_match(/"role\[x" is not/, assert_raises(Error) { expand({}, 'role[x') }.message)
  end
end

class SigningTest < Minitest::Test
  include ChefStandin

  KEY = OpenSSL::PKey::RSA.new(2048)

  def test_protocol_13_signs_the_canonical_request
    now = Time.utc(2026, 1, 2, 3, 4, 5)
    headers = Signing.new('bob', KEY).headers('GET', '/nodes/x', '', now: now)
    signature = (1..20).filter_map { |i| headers["X-Ops-Authorization-#{i}"] }.join.unpack1('m')
    text = "Method:GET\nPath:/nodes/x\nX-Ops-Content-Hash:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n" \
           "X-Ops-Sign:version=1.3\nX-Ops-Timestamp:2026-01-02T03:04:05Z\nX-Ops-UserId:bob\nX-Ops-Server-API-Version:1"
    assert KEY.public_key.verify(OpenSSL::Digest.new('SHA256'), signature, text)
    assert(headers.values.all? { |v| v.length <= 60 || v.include?('=') })
  end

  def test_an_unknown_protocol_is_a_configuration_error
    assert_raises(ConfigError) { Signing.new('bob', KEY, version: '9') }
  end
end
