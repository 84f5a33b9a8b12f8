# frozen_string_literal: true

module ChefStandin
  # Owner, group and mode, shared by what has a place in the file system.
  module Permissions
    def self.included(klass)
      klass.property :owner, String, Integer
      klass.property :group, String, Integer
      klass.property :mode, String, Integer, regex: /\A0?[0-7]{3,4}\z/
      klass.class_eval { alias_method :user, :owner }
    end

    # permission_changes lists what differs, as [text, action] pairs.
    def permission_changes(target)
      stat = File.exist?(target) ? File.stat(target) : nil
      changes = []
      uid = id_of(owner, :passwd)
      gid = id_of(group, :group)
      changes << ["change owner to '#{owner}'", -> { File.chown(uid, nil, target) }] if uid && stat&.uid != uid
      changes << ["change group to '#{group}'", -> { File.chown(nil, gid, target) }] if gid && stat&.gid != gid
      bits = mode.is_a?(String) ? mode.to_i(8) : mode
      if bits && (stat.nil? || (stat.mode & 0o7777) != bits)
        from = stat ? format('%04o', stat.mode & 0o7777) : ''
        # Last, because chown drops the set-id bits.
        changes << [format("change mode from '%s' to '%04o'", from, bits), -> { File.chmod(bits, target) }]
      end
      changes
    end

    def apply_permissions(target)
      permission_changes(target).each { |text, act| change(text, &act) }
    end

    private

    def id_of(name, kind)
      return name if name.nil? || name.is_a?(Integer)

      kind == :passwd ? Etc.getpwnam(name).uid : Etc.getgrnam(name).gid
    rescue ArgumentError
      raise Error.new("there is no #{kind == :passwd ? 'user' : 'group'} #{name}", location: location, resource: to_s)
    end
  end

  # The base of file, cookbook_file and template. Subclasses answer
  # desired_content: the bytes, or nil for "leave them".
  class FileLike < Resource
    include Permissions

    property :path, String, name_property: true
    property :backup, Integer, false, default: 5
    property :verify, String
    property :force_unlink, *BOOLEAN, default: false

    default_action :create

    action(:create) { create }
    action(:create_if_missing) { create unless File.exist?(path) }

    action :delete do
      if File.exist?(path) || File.symlink?(path)
        raise Error, "#{path} is a directory" if File.directory?(path) && !File.symlink?(path)

        change("delete file #{path}") do
          back_up
          File.unlink(path)
        end
      end
    end

    action :touch do
      create
      change("update utime on file #{path}") { FileUtils.touch(path) }
    end

    private

    def create
      check_place
      content = desired_content
      content = content.b if content
      old = File.exist?(target) ? File.binread(target) : nil
      if old.nil? then create_new(content || '')
      elsif content && content != old then update(old, content)
      end
      apply_permissions(target)
    end

    # A symbolic link is followed: its target is the file that is managed.
    def target = File.symlink?(path) && File.exist?(path) ? File.realpath(path) : path

    def check_place
      parent = File.dirname(path)
      raise Error, "parent directory #{parent} does not exist" unless File.directory?(parent)
      return unless File.exist?(path) && !File.file?(path)
      raise Error, "#{path} exists and is not a file" unless force_unlink

      change("remove #{path}, which is not a file") { FileUtils.rm_rf(path) }
    end

    def create_new(content)
      change("create new file #{path}") do
        show_diff('', content)
        write(content)
      end
    end

    def update(old, content)
      change("update content in file #{path} from #{short(old)} to #{short(content)}") do
        show_diff(old, content)
        back_up
        write(content)
      end
    end

    def short(bytes) = Digest::SHA256.hexdigest(bytes)[0, 6]

    # write replaces the file in one step and keeps its owner and mode.
    def write(content)
      temp = "#{target}.chef-standin-#{Process.pid}#{File.extname(target)}"
      stat = File.exist?(target) ? File.stat(target) : nil
      # Nobody but root reads the bytes before the owner and mode are right.
      File.open(temp, File::WRONLY | File::CREAT | File::EXCL | File::BINARY, 0o600) do |file|
        file.write(content)
        file.fsync
      end
      check_content(temp)
      File.chown(stat.uid, stat.gid, temp) if stat
      File.chmod(stat ? stat.mode & 0o7777 : first_mode, temp)
      File.rename(temp, target)
    ensure
      FileUtils.rm_f(temp) if temp
    end

    def first_mode
      return 0o666 & ~File.umask if mode.nil?

      (mode.is_a?(String) ? mode.to_i(8) : mode) & 0o777
    end

    def check_content(temp)
      return unless verify

      command = verify.gsub('%{path}', temp)
      result = shell.run(command)
      return if result.ok?

      raise Error, "proposed content for #{path} failed verification `#{command}`#{result.tail}"
    end

    def back_up
      return unless backup&.positive?

      folder = File.join(run_context.config.file_backup_path, File.dirname(path))
      FileUtils.mkdir_p(folder)
      base = "#{File.basename(path)}.chef-"
      FileUtils.cp(path, File.join(folder, base + Time.now.strftime('%Y%m%d%H%M%S.%6N')), preserve: true)
      old = Dir.children(folder).select { |f| f.start_with?(base) }.sort.reverse.drop(backup)
      old.each { |f| File.unlink(File.join(folder, f)) }
    end

    def show_diff(old, new)
      return output.detail('(content suppressed: sensitive)') if sensitive
      return output.detail('(binary content)') if (old + new).include?("\0")

      lines = Tempfile.create('old') do |a|
        Tempfile.create('new') do |b|
          [[a, old], [b, new]].each { |f, text| f.tap { f.binmode; f.write(text) }.close }
          shell.run(['diff', '-u', '--label', path, '--label', path, a.path, b.path]).stdout.lines
        end
      end
      output.detail(lines.first(60).join)
      output.detail("(#{lines.size - 60} more lines)") if lines.size > 60
    rescue CommandFailed
      nil # no diff on this machine: the change itself is what counts
    end
  end
end
