# frozen_string_literal: true

require_relative 'helper'

# What the stand-in does not know, it refuses, naming the place.
class RefusalTest < Minitest::Test
  include StandinTest

  # refused converges a recipe whose second line is wrong.
  def refused(recipe, pattern, code: 1)
    out = one_recipe("log 'first line'\n#{recipe}")
    assert_equal code, out.code, out.text
    fatal = out.text[/FATAL: .*/]
    assert_match(pattern, fatal)
    assert_includes fatal, "#{@dir}/repo/cookbooks/t/recipes/default.rb:2", 'the place is not named'
    refute_includes out.text, 'Recipe: t::default', 'something converged before the refusal'
  end

  def test_unknown_resources_and_names
    refused("ruby_block('x') { block { 1 } }", /unknown resource `ruby_block`/)
    refused('frobnicate', /unknown name `frobnicate`/)
    refused("cron 'x'", /unknown resource `cron`/)
  end

  def test_unknown_properties_actions_and_wrong_types
    refused("file('/x') { flavour 'a' }", %r{file\[/x\] had an error: unknown property or name `flavour`})
    refused("file('/x') { action :explode }", /no action :explode/)
    refused("file('/x') { content 5 }", /property `content` of .* must be String, not 5/)
    refused("file('/x') { mode '9999' }", /property `mode` .* wrong form/)
    refused("directory('/x') { recursive 'yes' }", /must be true or false/)
  end

  def test_unsupported_parts_of_the_language
    refused("search(:node, '*:*')", /search is not supported/)
    refused("data_bag_item('a', 'b')", /data_bag_item is not supported/)
    refused("file('/x') { notifies :run, 'execute[y]', :sometime }", /timing :sometime is not supported/)
    refused("node['a'] = 1", /read-only/)
    refused("node.set['a'] = 1", /node.set is not known/)
    refused("node['nope']['deeper']", /undefined method `\[\]' for nil/)
  end

  def test_notifications_are_resolved_before_anything_changes
    refused("file('/x') { notifies :run, 'execute[nobody]' }", /execute\[nobody\], and no recipe declares it/)
    refused("file('/x') { notifies :explode, 'log[first line]' }", /no action :explode to notify/)
  end

  def test_recipes_that_are_not_there_or_do_not_parse
    refused("include_recipe 'other'", /cookbook other is not part of this run/)
    refused("include_recipe '::nope'", /has no recipe nope/)
    out = one_recipe("log 'x'\nfile '/x' do\n")
    assert_equal 1, out.code
    assert_match(%r{FATAL: SyntaxError: .*recipes/default\.rb:\d+}, out.text)
  end

  def test_cookbooks_that_extend_chef_itself
    write('cookbooks/t/libraries/x.rb', 'module X; end')
    out = one_recipe('')
    assert_equal 1, out.code
    assert_match(%r{cookbook t has libraries: .*libraries/x.rb:1}, out.text)
  end

  def test_a_template_error_names_the_templates_line
    write('cookbooks/t/templates/x.erb', "ok\n<%= @a.fetch('b') %>\n")
    out = one_recipe("template('#{@dir}/x') { source 'x.erb'; variables(a: {}) }")
    assert_match(%r{FATAL: template.*key not found.*templates/x\.erb:2}, out.text)
  end

  def test_a_failing_resource_names_where_it_was_declared
    out = one_recipe("\n\nfile '#{@dir}/no/such/dir/f'")
    assert_equal 1, out.code
    assert_match(%r{FATAL: file.*parent directory .* does not exist .*recipes/default\.rb:3}, out.text)
  end

  def test_local_mode_names_what_the_repository_lacks
    cookbook('t', '')
    write('roles/broken.json', "{\n  \"run_list\": [\n}")
    assert_match(/no cookbook nope .*asked for by the run list/, converge('nope').text)
    assert_match(/role\[nope\] \(asked for by the run list\)/, converge('role[nope]').text)
    assert_match(%r{roles/broken\.json is not JSON}, converge('role[broken]').text)
    assert_match(/there is no environment prod/, converge('t', environment: 'prod').text)
  end
end

class CommandLineTest < Minitest::Test
  include StandinTest

  def call(*argv)
    out = StringIO.new
    err = StringIO.new
    [ChefStandin::CLI.new(argv, stdout: out, stderr: err).main, out.string, err.string]
  end

  def test_it_says_what_it_is
    code, out, = call('--version')
    assert_equal 0, code
    assert_match(/\ABakehouse lab's Chef stand-in [\d.]+ \(this is not Chef Infra Client\)$/, out)
  end

  def test_bad_command_lines_and_configurations_end_with_43
    assert_equal 43, call('--frobnicate').first
    assert_equal 43, call('-c', "#{@dir}/nope.rb").first
    rb = write('client.rb', "node_name 'x'\nchef_server_url 'not a url'\n")
    code, _, err = call('-c', rb)
    assert_equal 43, code
    assert_match(/chef_server_url is "not a url"/, err)
    assert_match(/client\.rb:1/, call('-c', write('client.rb', "node_name(\n")).last)
    assert_match(/runs a policy's own run list only.*client\.rb:1/, call('-c', write('client.rb', "named_run_list 'x'\n")).last)
  end

  def test_recipes_are_utf8_in_the_c_locale
    write('cookbooks/t/templates/x.erb', "<%= @word %> ß\n")
    cookbook('t', "# Größe\ntemplate('#{@dir}/x') { source 'x.erb'; variables(word: 'é'); mode '0644' }")
    rb = write('client.rb', "chef_repo_path '#{@dir}/repo'\nfile_cache_path '#{@dir}/cache'\n")
    program = File.expand_path('../bin/chef-client', __dir__)
    ok = system({ 'LC_ALL' => 'C', 'LANG' => 'C' }, 'ruby', program, '-z', '-c', rb, '-o', 't', out: "#{@dir}/out", err: "#{@dir}/out")
    assert ok, File.read("#{@dir}/out")
    assert_equal "é ß\n", File.read("#{@dir}/x", encoding: 'UTF-8')
    assert_includes File.read("#{@dir}/out", encoding: 'UTF-8'), '+é ß'
  end

  def test_sigterm_ends_the_command_and_the_run_with_3
    cookbook('t', "execute 'echo $$ > #{@dir}/pid; exec sleep 60'")
    rb = write('client.rb', "chef_repo_path '#{@dir}/repo'\nfile_cache_path '#{@dir}/cache'\n")
    program = File.expand_path('../bin/chef-client', __dir__)
    run = spawn('ruby', program, '-z', '-c', rb, '-o', 't', out: "#{@dir}/out")
    3000.times { File.size?("#{@dir}/pid") ? break : sleep(0.01) }
    Process.kill('TERM', run)
    Process.wait(run)
    assert_equal 3, $CHILD_STATUS.exitstatus, File.read("#{@dir}/out")
    assert_raises(Errno::ESRCH) { Process.kill(0, File.read("#{@dir}/pid").to_i) }
  end

  def test_the_real_clients_options_are_accepted_and_unknown_settings_warn
    cookbook('t', "file '#{@dir}/done'")
    rb = write('client.rb', <<~RUBY)
      chef_repo_path '#{@dir}/repo'
      file_cache_path '#{@dir}/cache'
      ohai.disabled_plugins = [:Passwd]
      log_location STDOUT
      trusted_certs_dir '/x'
      wibble 5
    RUBY
    code, out, = call('-z', '-c', rb, '-o', 't', '-N', 'n', '-l', 'warn', '-F', 'doc', '--once', '--no-fork', '--no-color',
                      '--chef-license', 'accept-silent', '-L', "#{@dir}/log")
    assert_equal 0, code, out
    assert_match(/setting wibble is unknown .*client\.rb:6/, out)
    assert File.exist?("#{@dir}/done")
    assert_includes File.read("#{@dir}/log"), 'Chef stand-in finished'
  end
end
