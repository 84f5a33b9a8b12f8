# frozen_string_literal: true

module ChefStandin
  # Signs requests to a Chef server (docs.chef.io, "Chef Infra Server API",
  # authentication headers): protocol 1.3 with SHA-256, or 1.1 with SHA-1.
  class Signing
    VERSIONS = %w[1.1 1.3].freeze

    def initialize(client_name, key, version: '1.3')
      unless VERSIONS.include?(version)
        raise ConfigError, "authentication_protocol_version #{version.inspect} is not one of #{VERSIONS.join(', ')}"
      end

      @client_name = client_name
      @key = key
      @version = version
    end

    # headers for one request; path carries no query.
    def headers(method, path, body, now: Time.now.utc)
      stamp = now.strftime('%Y-%m-%dT%H:%M:%SZ')
      canonical = @version == '1.3' ? canonical13(method, path, body, stamp) : canonical11(method, path, body, stamp)
      signed = @version == '1.3' ? @key.sign(OpenSSL::Digest.new('SHA256'), canonical) : @key.private_encrypt(canonical)
      base = {
        'X-Ops-Sign' => "algorithm=#{@version == '1.3' ? 'sha256' : 'sha1'};version=#{@version};",
        'X-Ops-Userid' => @client_name, 'X-Ops-Timestamp' => stamp, 'X-Ops-Content-Hash' => digest(body),
        'X-Ops-Server-API-Version' => '1'
      }
      [signed].pack('m0').scan(/.{1,60}/).each.with_index(1) { |line, i| base["X-Ops-Authorization-#{i}"] = line }
      base
    end

    private

    def digest(text)
      name = @version == '1.3' ? 'SHA256' : 'SHA1'
      [OpenSSL::Digest.digest(name, text)].pack('m0')
    end

    def canonical13(method, path, body, stamp)
      ["Method:#{method}", "Path:#{path}", "X-Ops-Content-Hash:#{digest(body)}", 'X-Ops-Sign:version=1.3',
       "X-Ops-Timestamp:#{stamp}", "X-Ops-UserId:#{@client_name}", 'X-Ops-Server-API-Version:1'].join("\n")
    end

    def canonical11(method, path, body, stamp)
      ["Method:#{method}", "Hashed Path:#{digest(path)}", "X-Ops-Content-Hash:#{digest(body)}",
       "X-Ops-Timestamp:#{stamp}", "X-Ops-UserId:#{digest(@client_name)}"].join("\n")
    end
  end
end
