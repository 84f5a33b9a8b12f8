# frozen_string_literal: true

require 'English'
require 'minitest/autorun'
require 'stringio'
require 'tmpdir'
require_relative '../lib/chef_standin'

# Builds small chef-repos and runs the stand-in on them in this process, in
# local mode. Commands go to a recording shell unless a test wants the real one.
module StandinTest
  # Answers commands from a table of patterns and remembers them; status 0
  # and no output for the rest.
  class FakeShell
    attr_reader :commands

    def initialize(answers = {})
      @answers = answers
      @commands = []
    end

    def run(command, **)
      text = command.is_a?(Array) ? command.join(' ') : command
      @commands << text
      _, (status, stdout) = @answers.find { |pattern, _| pattern.match?(text) }
      ChefStandin::Shell::Result.new(text, stdout.to_s, '', status || 0)
    end

    def ran?(pattern) = commands.any? { |c| pattern.match?(c) }
  end

  Outcome = Struct.new(:code, :text, :dir) do
    def updated = text[%r{, (\d+)/\d+ resources updated}, 1].to_i
  end

  def setup
    @dir = Dir.mktmpdir('standin')
  end

  def teardown
    FileUtils.rm_rf(@dir)
  end

  def write(path, text)
    full = File.join(@dir, 'repo', path)
    FileUtils.mkdir_p(File.dirname(full))
    File.write(full, text)
    full
  end

  def cookbook(name, recipe, metadata: '', attributes: nil)
    write("cookbooks/#{name}/metadata.rb", "name '#{name}'\nversion '1.0.0'\n#{metadata}")
    write("cookbooks/#{name}/recipes/default.rb", recipe)
    write("cookbooks/#{name}/attributes/default.rb", attributes) if attributes
  end

  def converge(*run_list, shell: FakeShell.new, **settings)
    config = ChefStandin::Config.new
    { local_mode: true, node_name: 'n1', chef_repo_path: File.join(@dir, 'repo'), file_cache_path: File.join(@dir, 'cache'),
      file_backup_path: File.join(@dir, 'backup'), override_runlist: run_list.empty? ? nil : run_list }
      .merge(settings).each { |name, value| config.set(name, value) }
    out = StringIO.new
    code = ChefStandin::Client.new(config.finish, ChefStandin::Output.new(out), shell: shell).run
    Outcome.new(code, out.string, @dir)
  end

  def one_recipe(text, **options)
    cookbook('t', text)
    converge('t', **options)
  end
end
