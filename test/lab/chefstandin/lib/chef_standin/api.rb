# frozen_string_literal: true

module ChefStandin
  # JSON over HTTP to one Chef server, signed with the client's own key.
  class API
    TRANSIENT = [Errno::ECONNREFUSED, Errno::ECONNRESET, Errno::EPIPE, Errno::EHOSTUNREACH, Errno::ENETUNREACH,
                 Errno::ETIMEDOUT, SocketError, Net::OpenTimeout, Net::ReadTimeout, EOFError].freeze

    def initialize(config, output)
      @config = config
      @output = output
      @base = URI.parse(config.chef_server_url.chomp('/'))
      @signing = Signing.new(config.node_name, load_key(config.client_key),
                             version: config.authentication_protocol_version.to_s)
    end

    def get(path) = json('GET', path)
    def post(path, body) = json('POST', path, JSON.generate(body))
    def put(path, body) = json('PUT', path, JSON.generate(body))

    # get_or_nil answers nil where the server says that there is no such thing.
    def get_or_nil(path)
      get(path)
    rescue ServerError => e
      raise unless e.status == 404

      nil
    end

    # download fetches a cookbook file. Only our own server gets a signature:
    # elsewhere (a bucket) the URL itself is the permission.
    def download(url)
      uri = URI.parse(url)
      own = uri.host == @base.host && uri.port == @base.port
      reply = attempt("downloading #{url}") { send_request(uri, request_for('GET', uri, '', signed: own)) }
      raise ServerError.new("downloading #{url}: #{explain(reply)}", status: reply.code.to_i) unless reply.code == '200'

      reply.body
    end

    private

    def json(method, path, body = '')
      uri = URI.parse("#{@base}/#{path}")
      what = "#{method} #{uri}"
      reply = attempt(what) { send_request(uri, request_for(method, uri, body, signed: true)) }
      code = reply.code.to_i
      raise ServerError.new("#{what}: #{explain(reply)}", status: code) unless code.between?(200, 299)

      JSON.parse(reply.body)
    rescue JSON::ParserError => e
      raise ServerError, "#{what}: the reply is not JSON: #{e.message[0, 120]}"
    end

    def request_for(method, uri, body, signed:)
      request = Net::HTTP.const_get(method.capitalize).new(uri.request_uri)
      request['Accept'] = 'application/json'
      request['X-Chef-Version'] = PROTOCOL_VERSION
      request['User-Agent'] = "bakehouse-chef-standin/#{VERSION}"
      unless body.empty?
        request['Content-Type'] = 'application/json'
        request.body = body
      end
      @signing.headers(method, uri.path, body).each { |k, v| request[k] = v } if signed
      request
    end

    def send_request(uri, request)
      http = Net::HTTP.new(uri.host, uri.port)
      http.use_ssl = uri.scheme == 'https'
      http.ca_file = @config.ssl_ca_file if @config.ssl_ca_file
      http.verify_mode = OpenSSL::SSL::VERIFY_NONE if @config.ssl_verify_mode == :verify_none
      http.open_timeout = 10
      http.read_timeout = @config.rest_timeout
      http.start { |open| open.request(request) }
    end

    def attempt(what)
      tries = 0
      begin
        reply = yield
        raise ServerError.new("#{what}: #{explain(reply)}", status: reply.code.to_i) if reply.code.to_i >= 500

        reply
      rescue ServerError, *TRANSIENT => e
        tries += 1
        raise_unreachable(what, e) if tries > @config.http_retry_count
        @output.log(:warn, "#{what}: #{e.message}; trying again in #{@config.http_retry_delay} s (#{tries})")
        sleep @config.http_retry_delay
        retry
      end
    end

    def raise_unreachable(what, error)
      raise error if error.is_a?(ServerError)

      raise ServerError, "#{what}: the Chef server does not answer: #{error.message}"
    end

    def explain(reply)
      told = words_of(reply.body.to_s)
      case reply.code
      when '401' then "401: the server does not accept the key of client #{@config.node_name} (#{told})"
      when '403' then "403: client #{@config.node_name} may not do this (#{told})"
      else "#{reply.code}: #{told}"
      end
    end

    # words_of finds the text in an error reply: a string, a list of strings,
    # or an object with a message, which Chef Server wraps in a string once more.
    def words_of(body)
      found = JSON.parse(body)['error']
      (found.is_a?(Hash) ? [found] : Array(found)).map { |e| e.is_a?(Hash) ? e['message'].to_s : inner_message(e.to_s) }.join('; ')
    rescue JSON::ParserError, TypeError
      body[0, 160]
    end

    def inner_message(text)
      inner = JSON.parse(text)
      inner.is_a?(Hash) && inner['message'] ? inner['message'] : text
    rescue JSON::ParserError
      text
    end

    def load_key(path)
      OpenSSL::PKey::RSA.new(File.read(path))
    rescue SystemCallError => e
      raise ConfigError, "reading client_key: #{e.message} (the stand-in does not register clients)"
    rescue OpenSSL::PKey::PKeyError => e
      raise ConfigError, "reading client_key #{path}: not an RSA private key: #{e.message}"
    end
  end
end
