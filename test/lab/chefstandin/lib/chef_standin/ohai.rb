# frozen_string_literal: true

module ChefStandin
  # The automatic attributes: a small part of what Ohai collects. There is no
  # ec2 attribute: the stand-in never talks to the metadata service.
  class Ohai
    def initialize(shell)
      @shell = shell
    end

    def collect
      { 'os' => 'linux', 'os_version' => uname[:release], 'ohai_time' => Time.now.to_f, 'root_group' => 'root',
        'init_package' => 'systemd', 'current_user' => Etc.getpwuid&.name,
        'uptime_seconds' => read('/proc/uptime').to_f.to_i,
        'languages' => { 'ruby' => { 'version' => RUBY_VERSION, 'platform' => RUBY_PLATFORM } },
        'chef_packages' => { 'chef_standin' => { 'version' => VERSION, 'title' => TITLE } },
        'virtualization' => { 'system' => virtualization } }
        .merge(names, platform, kernel, memory, cpu, network, host_keys)
    end

    private

    def uname = (@uname ||= Etc.uname)

    def read(path)
      File.read(path)
    rescue SystemCallError
      ''
    end

    def names
      machine = uname[:nodename]
      fqdn = begin
        Addrinfo.getaddrinfo(machine, nil, nil, :STREAM, nil, Socket::AI_CANONNAME).first&.canonname || machine
      rescue SocketError
        machine
      end
      { 'machinename' => machine, 'hostname' => machine.split('.').first, 'fqdn' => fqdn,
        'domain' => fqdn.split('.', 2)[1] }
    end

    def platform
      release = read('/etc/os-release').scan(/^(\w+)="?(.*?)"?$/).to_h
      id = release['ID'] || 'linux'
      debian = id == 'debian' ? read('/etc/debian_version').strip : ''
      { 'platform' => id, 'platform_version' => debian.match?(/\A\d/) ? debian : release['VERSION_ID'].to_s,
        'platform_family' => %w[debian ubuntu].include?(id) ? 'debian' : release.fetch('ID_LIKE', id).split.first,
        'lsb' => { 'id' => release['NAME'].to_s.split.first, 'codename' => release['VERSION_CODENAME'],
                   'release' => release['VERSION_ID'] } }
    end

    def kernel
      { 'kernel' => { 'name' => uname[:sysname], 'release' => uname[:release], 'version' => uname[:version],
                      'machine' => uname[:machine], 'os' => 'GNU/Linux' } }
    end

    def memory
      info = read('/proc/meminfo').scan(/^(\w+):\s+(\d+) kB/).to_h
      { 'memory' => { 'total' => "#{info['MemTotal']}kB", 'free' => "#{info['MemFree']}kB",
                      'available' => "#{info['MemAvailable']}kB", 'swap' => { 'total' => "#{info['SwapTotal']}kB" } } }
    end

    def cpu
      { 'cpu' => { 'total' => Etc.nprocessors, 'model_name' => read('/proc/cpuinfo')[/^model name\s*:\s*(.*)$/, 1] } }
    end

    # As the plugin ssh_host_key of Ohai writes them.
    def host_keys
      keys = %w[dsa rsa ecdsa ed25519].each_with_object({}) do |kind, all|
        type, key = read("/etc/ssh/ssh_host_#{kind}_key.pub").split
        next unless key

        all["host_#{kind}_public"] = key
        all['host_ecdsa_type'] = type if kind == 'ecdsa'
      end
      { 'keys' => { 'ssh' => keys } }
    end

    def network
      device = read('/proc/net/route').lines.drop(1).map(&:split).find { |f| f[1] == '00000000' }&.first
      addresses = Socket.getifaddrs.select { |i| i.addr&.ipv4? && !i.addr.ipv4_loopback? }
      chosen = addresses.find { |i| i.name == device } || addresses.first
      return { 'network' => { 'interfaces' => {} } } unless chosen

      mac = read("/sys/class/net/#{chosen.name}/address").strip
      { 'ipaddress' => chosen.addr.ip_address, 'macaddress' => mac.upcase,
        'network' => { 'default_interface' => device,
                       'interfaces' => addresses.to_h { |i| [i.name, { 'addresses' => { i.addr.ip_address => { 'family' => 'inet' } } }] } } }
    end

    def virtualization
      @shell.run(%w[systemd-detect-virt]).stdout.strip
    rescue CommandFailed
      ''
    end
  end
end
