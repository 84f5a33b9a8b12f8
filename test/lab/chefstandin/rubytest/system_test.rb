# frozen_string_literal: true

require_relative 'helper'

# Resources that drive the system's own programs, against a recording shell.
class SystemTest < Minitest::Test
  include StandinTest

  def test_a_missing_package_is_installed_by_version_and_waits_for_the_lock
    shell = StandinTest::FakeShell.new(/dpkg-query/ => [1, ''], /policy jq/ => [0, "jq:\n  Installed: (none)\n  Candidate: 1.6-2\n"])
    out = one_recipe("package 'jq'", shell: shell)
    assert shell.ran?(/\Aapt-get -q -y -o DPkg::Lock::Timeout=\d+ .*install jq=1\.6-2\z/), shell.commands.inspect
    assert_includes out.text, 'install version 1.6-2 of package jq'
  end

  def test_lists_are_fetched_only_ahead_of_an_installation
    recipe = "apt_update('lists') { action :nothing }\npackage('jq') { notifies :update, 'apt_update[lists]', :before }"
    there = StandinTest::FakeShell.new(/dpkg-query/ => [0, "ii \t1.6-2"])
    assert_equal [0, 0], one_recipe(recipe, shell: there).then { |o| [o.code, o.updated] }
    refute there.ran?(/apt-get/)
  end

  def test_an_installed_package_is_left_alone
    shell = StandinTest::FakeShell.new(/dpkg-query/ => [0, "ii \t1.6-2"])
    out = one_recipe("package %w(jq curl)", shell: shell)
    assert_equal [0, 0], [out.code, out.updated], out.text
    refute shell.ran?(/apt-get/)
  end

  def test_an_unknown_package_names_itself
    shell = StandinTest::FakeShell.new(/dpkg-query/ => [1, ''])
    out = one_recipe("package 'nope'", shell: shell)
    assert_equal 1, out.code
    assert_match(/FATAL: package\[nope\] had an error: apt knows no package nope/, out.text)
  end

  def test_services_are_changed_only_where_they_differ
    shell = StandinTest::FakeShell.new(/is-active/ => [3, ''], /is-enabled/ => [0, 'enabled'])
    out = one_recipe("service('x') { action [:enable, :start] }", shell: shell)
    assert_equal ['systemctl start x'], shell.commands.grep(/systemctl (start|enable|restart)/)
    assert_equal 1, out.updated
  end

  def test_a_service_is_restarted_by_notification
    shell = StandinTest::FakeShell.new
    one_recipe("service('x') { action :nothing }\nfile('#{@dir}/f') { notifies :restart, 'service[x]' }", shell: shell)
    assert_equal 'systemctl restart x', shell.commands.last
  end

  def test_the_units_text_comes_from_a_hash
    unit = ChefStandin::Resources::SystemdUnit
    resource = unit.new(:systemd_unit, 'x.service', Struct.new(:run_context).new(nil), 'r.rb:1')
    resource.content('Unit' => { 'After' => %w[a.target b.target] }, 'Service' => { 'ExecStart' => '/x' })
    assert_equal "[Unit]\nAfter = a.target\nAfter = b.target\n\n[Service]\nExecStart = /x\n", resource.send(:to_ini)
  end

  def test_a_missing_account_and_group_are_made
    shell = StandinTest::FakeShell.new
    out = one_recipe("user('bh-nobody-1') { system true; shell '/bin/false'; home '/srv/x' }", shell: shell)
    assert_equal 0, out.code, out.text
    assert_includes shell.commands, 'useradd -d /srv/x -s /bin/false -r -M bh-nobody-1'
  end

  def test_an_account_that_is_right_is_left_alone
    shell = StandinTest::FakeShell.new
    root = Etc.getpwnam('root')
    out = one_recipe("user('root') { home '#{root.dir}'; uid 0; gid 'root' }\ngroup('root') { append true; members [] }", shell: shell)
    assert_equal [0, 0], [out.code, out.updated], out.text
  end
end

class ShellTest < Minitest::Test
  def setup
    @shell = ChefStandin::Shell.new
  end

  def test_status_output_environment_and_folder
    result = @shell.run('echo "$X $PWD"; echo bad >&2; exit 3', env: { 'X' => 1 }, cwd: '/usr')
    assert_equal ["1 /usr\n", "bad\n", 3], [result.stdout, result.stderr, result.status]
    error = assert_raises(ChefStandin::CommandFailed) { result.check }
    assert_match(/exited with 3, expected 0:\nbad/, error.message)
    assert_equal result, result.check([0, 3])
  end

  def test_a_long_command_leaves_room_for_the_cause
    error = assert_raises(ChefStandin::CommandFailed) { @shell.run("echo why >&2\n#{"true\n" * 200}exit 1").check }
    assert_operator error.brief.length, :<, 200
    assert error.brief.end_with?('expected 0: why'), error.brief
  end

  def test_a_command_is_killed_with_its_children_when_its_time_is_over
    error = assert_raises(ChefStandin::CommandFailed) { @shell.run('sleep 60 & wait', timeout: 0.1) }
    assert_match(/did not end within 0.1 s/, error.message)
  end

  def test_a_program_that_is_not_there_is_a_clear_failure
    assert_match(/no-such-program/, @shell.run(%w[/no-such-program]).stderr)
  end

  def test_long_output_does_not_block
    assert_equal 200_000, @shell.run('head -c 200000 /dev/zero | tr "\0" x').stdout.size
  end
end

class ShellTest < Minitest::Test
  # A shell whose signal comes as early as it can: the command is started and
  # nobody waits for it yet.
  class EarlySignal < ChefStandin::Shell
    attr_reader :pid

    private

    def start(*)
      listener = Thread.current
      super.tap do |pid,|
        @pid = pid
        Thread.new { listener.raise(ChefStandin::Interrupted.new('TERM')) }.join
      end
    end
  end

  def test_a_signal_right_after_the_start_still_ends_the_command
    shell = EarlySignal.new
    assert_raises(ChefStandin::Interrupted) { shell.run('exec sleep 60') }
    assert_raises(Errno::ESRCH) { Process.kill(0, shell.pid) }
  ensure
    kill(shell.pid)
  end

  def kill(pid)
    Process.kill('KILL', pid)
  rescue Errno::ESRCH
    nil
  end
end
