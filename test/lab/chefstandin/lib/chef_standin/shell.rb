# frozen_string_literal: true

module ChefStandin
  # Runs commands for resources: own process group, bounded in time.
  class Shell
    Result = Struct.new(:command, :stdout, :stderr, :status) do
      def ok? = status.zero?

      # check raises unless the status is one of those expected.
      def check(returns = [0], quiet: false)
        return self if returns.include?(status)

        what = quiet ? 'the command (sensitive, not shown)' : "`#{short}`"
        said = quiet ? '' : tail
        raise CommandFailed, "#{what} exited with #{status}, expected #{returns.join(' or ')}#{said}"
      end

      # short keeps what follows it on the reader's screen.
      def short
        line = command.split.join(' ')
        line.length > 100 ? "#{line[0, 100]}…" : line
      end

      def tail
        text = (stderr.strip.empty? ? stdout : stderr).strip
        text.empty? ? '' : ":\n#{text.lines.last(12).join}"
      end
    end

    SANE_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

    # run takes a string (for sh) or an argument list. user and group are
    # names or ids; stream receives each line of output as it comes.
    def run(command, cwd: nil, env: {}, user: nil, group: nil, umask: nil, input: nil, timeout: 3600, stream: nil)
      argv = command.is_a?(Array) ? command.map(&:to_s) : ['/bin/sh', '-c', command]
      shown = command.is_a?(Array) ? command.join(' ') : command
      identity = identity_of(user, group)
      # A signal that comes between the start and the wait would leave the
      # command running with nobody to stop it: it is heard in collect only.
      Thread.handle_interrupt(Interrupted => :never) do
        pid, pipes = start(argv, cwd, clean(env), identity, umask)
        collect(pid, pipes) { follow(pid, pipes, shown, input, timeout, stream) }
      end
    rescue SystemCallError => e
      raise CommandFailed, "`#{shown}` could not be started: #{e.message}"
    end

    private

    def clean(env)
      defaults = { 'LC_ALL' => 'C.UTF-8', 'LANG' => 'C.UTF-8', 'LANGUAGE' => 'C.UTF-8' }
      path = [ENV.fetch('PATH', nil), SANE_PATH].compact.join(':').split(':').uniq.join(':')
      defaults.merge('PATH' => path).merge(env.to_h { |k, v| [k.to_s, v&.to_s] })
    end

    def identity_of(user, group)
      account = user && (user.is_a?(Integer) ? Etc.getpwuid(user) : Etc.getpwnam(user))
      gid = group.is_a?(String) ? Etc.getgrnam(group).gid : group
      [account, gid || account&.gid]
    rescue ArgumentError => e
      raise CommandFailed, "finding the user or group to run as: #{e.message}"
    end

    def start(argv, cwd, env, identity, umask)
      ours, theirs = Array.new(3) { IO.pipe }.then { |i, o, e| [[i[1], o[0], e[0]], [i[0], o[1], e[1]]] }
      pid = fork do
        ours.each(&:close)
        become(*identity)
        Process.setpgrp
        File.umask(umask.is_a?(String) ? umask.to_i(8) : umask) if umask
        exec(env, *exec_argv(argv), in: theirs[0], out: theirs[1], err: theirs[2], **(cwd ? { chdir: cwd } : {}))
      rescue SystemCallError => e
        theirs[2].puts("starting #{argv.first}: #{e.message}")
        exit!(127)
      end
      theirs.each(&:close)
      lead(pid)
      [pid, ours]
    end

    # lead makes the command a group of its own from here too, so that stop
    # finds the group however little of its start the child has done.
    def lead(pid)
      Process.setpgid(pid, pid)
    rescue Errno::EACCES, Errno::ESRCH
      nil # it has done so and gone on to its program, or it has ended
    end

    def exec_argv(argv) = [[argv.first, argv.first], *argv.drop(1)]

    def become(account, gid)
      return unless account || gid

      Process.initgroups(account.name, gid) if account && Process.uid.zero?
      Process::Sys.setgid(gid) if gid
      return unless account

      Process::Sys.setuid(account.uid)
      ENV.update('HOME' => account.dir, 'USER' => account.name, 'LOGNAME' => account.name)
    end

    # collect gives what the block makes of a started command, and stops the
    # command when a signal ends this first.
    def collect(pid, pipes, &)
      Thread.handle_interrupt(Interrupted => :immediate, &)
    rescue Interrupted
      stop(pid)
      raise
    ensure
      pipes.each { |io| io.close unless io.closed? }
    end

    def follow(pid, pipes, shown, input, timeout, stream)
      stdin, stdout, stderr = pipes
      feed(stdin, input)
      readers = [stdout, stderr].map { |io| Thread.new { drain(io, stream) } }
      status = wait(pid, timeout, shown)
      # A daemon that the command left behind keeps the pipe open: do not wait for it.
      readers.each { |t| t.join(2) }
      texts = readers.map { |t| t[:text].to_s }
      readers.each(&:kill)
      Result.new(shown, *texts, status)
    end

    def feed(stdin, input)
      stdin.write(input) if input
    rescue Errno::EPIPE
      nil
    ensure
      stdin.close
    end

    def drain(io, stream)
      Thread.current[:text] = +''
      io.each_line do |line|
        text = line.dup.force_encoding(Encoding::UTF_8).scrub('?')
        Thread.current[:text] << text
        stream&.call(text)
      end
    rescue IOError
      nil
    end

    def wait(pid, timeout, shown)
      deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + timeout
      pause = 0.002
      loop do
        done, status = Process.wait2(pid, Process::WNOHANG)
        return status.exitstatus || (128 + status.termsig) if done

        if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
          stop(pid)
          raise CommandFailed, "`#{shown}` did not end within #{timeout} s and was killed"
        end
        sleep pause
        pause = [pause * 1.5, 0.05].min
      end
    end

    def stop(pid)
      Process.kill('KILL', -pid)
      Process.wait(pid)
    rescue Errno::ESRCH, Errno::ECHILD
      nil
    end
  end
end
