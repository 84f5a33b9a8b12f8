# frozen_string_literal: true

require_relative 'helper'

# Recipes converged for real below a temporary folder.
class ConvergeTest < Minitest::Test
  include StandinTest

  def test_a_second_run_changes_nothing
    recipe = <<~RUBY
      directory '#{@dir}/d/e' do
        recursive true
        mode '0750'
      end
      file '#{@dir}/d/f' do
        content "one\\n"
        mode '0600'
      end
      link('#{@dir}/d/l') { to '#{@dir}/d/f' }
    RUBY
    first = one_recipe(recipe)
    assert_equal [0, 3], [first.code, first.updated], first.text
    assert_equal ['0750', '0600'], %w[d/e d/f].map { |p| format('%04o', File.stat("#{@dir}/#{p}").mode & 0o7777) }
    assert_equal "#{@dir}/d/f", File.readlink("#{@dir}/d/l")
    second = one_recipe(recipe)
    assert_equal [0, 0], [second.code, second.updated], second.text
  end

  def test_a_changed_file_keeps_a_backup_and_shows_the_difference
    File.write("#{@dir}/f", "old\n")
    out = one_recipe("file('#{@dir}/f') { content \"new\\n\" }", shell: ChefStandin::Shell.new)
    assert_match(/^ +-old$/, out.text)
    assert_match(/^ +\+new$/, out.text)
    backups = Dir["#{@dir}/backup#{@dir}/f.chef-*"]
    assert_equal ["old\n"], backups.map { |b| File.read(b) }
  end

  def test_sensitive_content_and_commands_are_never_shown
    out = one_recipe(<<~RUBY, shell: ChefStandin::Shell.new)
      file '#{@dir}/s' do
        content 'hunter2'
        sensitive true
      end
      execute 'echo hunter2; exit 3' do
        sensitive true
      end
    RUBY
    assert_equal 1, out.code
    shown = out.text.gsub('execute[echo hunter2; exit 3]', '')
    refute_includes shown, 'hunter2'
  end

  def test_notifications_run_now_or_once_at_the_end
    out = one_recipe(<<~RUBY)
      execute('later') { command 'later-command'; action :nothing }
      execute('now') { command 'now-command'; action :nothing }
      %w(a b).each do |name|
        file "#{@dir}/\#{name}" do
          notifies :run, 'execute[later]'
          notifies :run, 'execute[now]', :immediately
        end
      end
      execute('watching') { command 'watch-command'; action :nothing; subscribes :run, 'file[#{@dir}/a]', :immediately }
      log 'last'
    RUBY
    runs = out.text.scan(/- (?:execute (\S+)|(last))/).flatten.compact
    assert_equal %w[now-command watch-command now-command last later-command], runs
  end

  def test_before_runs_only_ahead_of_a_change
    recipe = <<~RUBY
      execute('first') { action :nothing }
      file('#{@dir}/a') { content 'x'; notifies :run, 'execute[first]', :before }
    RUBY
    out = one_recipe(recipe)
    assert_operator out.text.index('execute first'), :<, out.text.index('create new file'), out.text
    refute_includes one_recipe(recipe).text, 'execute first'
  end

  def test_looking_ahead_changes_nothing
    out = one_recipe(<<~RUBY, shell: StandinTest::FakeShell.new(/fails/ => [1, '']))
      execute('fails') { action :nothing }
      file('#{@dir}/a') { content 'x'; notifies :run, 'execute[fails]', :before }
    RUBY
    assert_equal 1, out.code
    refute File.exist?("#{@dir}/a")
  end

  def test_a_failed_run_still_sends_delayed_notifications
    shell = StandinTest::FakeShell.new(/boom/ => [1, ''])
    out = one_recipe(<<~RUBY, shell: shell)
      file('#{@dir}/a') { notifies :run, 'execute[later]' }
      execute('boom')
      execute('later') { action :nothing }
    RUBY
    assert_equal 1, out.code
    assert shell.ran?(/later/), out.text
  end

  def test_guards_by_command_and_by_block
    shell = StandinTest::FakeShell.new(/no/ => [1, ''])
    out = one_recipe(<<~RUBY, shell: shell)
      file('#{@dir}/1') { only_if 'no' }
      file('#{@dir}/2') { not_if 'yes' }
      file('#{@dir}/3') { only_if { false } }
      file('#{@dir}/4') { not_if { false }; only_if 'yes' }
    RUBY
    assert_equal %w[4], (1..4).map(&:to_s).select { |n| File.exist?("#{@dir}/#{n}") }, out.text
    assert_includes out.text, 'skipped due to not_if'
  end

  def test_templates_see_variables_and_the_node
    write('cookbooks/t/templates/x.erb', "<% @list.each do |i| %>\n  <% if i > 1 -%>\n<%= i %>\n  <% end %>\n<% end %>\n<%= node['t'] %>\n")
    cookbook('t', "template('#{@dir}/x') { source 'x.erb'; variables(list: [1, 2, 3]) }", attributes: "default['t'] = 'attr'")
    out = converge('t')
    assert_equal "2\n3\nattr\n", File.read("#{@dir}/x"), out.text
  end

  def test_the_most_specific_file_is_taken
    write('cookbooks/t/files/default/x', 'default')
    write("cookbooks/t/files/host-#{Etc.uname[:nodename].split('.').first}/x", 'host')
    out = one_recipe("cookbook_file '#{@dir}/x'")
    assert_equal 'host', File.read("#{@dir}/x"), out.text
  end

  def test_lazy_values_and_retries_and_ignored_failures
    out = one_recipe(<<~RUBY, shell: StandinTest::FakeShell.new(/boom/ => [1, '']))
      node.default['x'] = 'early'
      file('#{@dir}/x') { content(lazy { node['x'] }) }
      node.default['x'] = 'late'
      execute('boom') { ignore_failure true; retries 1; retry_delay 0 }
    RUBY
    assert_equal 0, out.code, out.text
    assert_equal 'late', File.read("#{@dir}/x")
    assert_includes out.text, 'ignoring failure'
  end

  def test_include_recipe_and_attributes_follow_dependencies
    cookbook('a', "include_recipe 'b', 'b::default'\nfile(\"\#{node['b']['dir']}/\#{node['v']}\")", metadata: "depends 'b'",
                                                                                                  attributes: "default['v'] = node['b']['v'] + 1")
    cookbook('b', "file \"\#{node['b']['dir']}/b\"", attributes: "default['b']['dir'] = '#{@dir}'\ndefault['b']['v'] = 1")
    out = converge('a')
    assert_equal 0, out.code, out.text
    assert File.exist?("#{@dir}/2") && File.exist?("#{@dir}/b")
    assert_equal 1, out.text.scan('Recipe: b::default').size
  end

  def test_the_node_is_saved_after_a_good_run_only
    write('roles/r.json', '{"run_list": ["recipe[t]"], "default_attributes": {"from": "role"}}')
    File.write("#{@dir}/attrs.json", '{"run_list": ["role[r]"], "given": {"x": 1}}')
    cookbook('t', "execute 'boom'")
    bad = converge(json_attribs: "#{@dir}/attrs.json", shell: StandinTest::FakeShell.new(/boom/ => [1, '']))
    saved = "#{@dir}/repo/nodes/n1.json"
    assert_equal [1, false], [bad.code, File.exist?(saved)]
    assert_equal 0, converge(json_attribs: "#{@dir}/attrs.json").code
    node = JSON.parse(File.read(saved))
    assert_equal [%w[role[r]], { 'given' => { 'x' => 1 } }, 'role', %w[t::default]],
                 [node['run_list'], node['normal'], node['default']['from'], node['automatic']['recipes']]
  end

  def test_the_environments_defaults_lose_and_its_overrides_win_against_the_role
    write('environments/prod.json', '{"default_attributes": {"a": "env", "b": "env"}, "override_attributes": {"c": "env"}}')
    write('roles/r.json', '{"run_list": ["recipe[t]"], "default_attributes": {"a": "role"}, "override_attributes": {"c": "role"}}')
    cookbook('t', "log \"\#{node['a']} \#{node['b']} \#{node['c']} \#{node.chef_environment}\"", attributes: "default['a'] = 'cookbook'")
    assert_includes converge('role[r]', environment: 'prod').text, 'log[role env env prod]'
  end

  def test_both_reboots_are_scheduled_and_end_with_35
    %i[reboot_now request_reboot].each do |action|
      shell = StandinTest::FakeShell.new
      out = one_recipe("reboot('r') { reason 'why'; action :#{action} }\nlog 'after'", shell: shell)
      assert_equal 35, out.code, out.text
      assert_includes shell.commands, 'shutdown -r +0 why'
      assert_equal action == :request_reboot, out.text.include?('- after')
    end
  end

  def test_a_reboot_that_cannot_be_scheduled_is_41_and_a_pending_one_37
    shell = StandinTest::FakeShell.new(/shutdown/ => [1, ''])
    assert_equal 41, one_recipe("reboot('r') { action :reboot_now }", shell: shell).code
    assert_equal 37, one_recipe("raise Chef::Exceptions::RebootPending, 'first reboot'").code
  end
end
