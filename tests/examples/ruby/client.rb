# Buys the emails of a list over HTTP and puts them into a CRM (here: a JSON file). Needs no gem.
#
#   ruby client.rb http://127.0.0.1:8787 TOKEN 789 790
#   ruby client.rb webhook SECRET_FILE MESSAGES    verifies messages of unlockd, one JSON object a line
require "json"
require "net/http"
require "openssl"

SECONDS = 60

# Newer values replace older ones, never the other way round. RFC 3339 in UTC sorts as text.
def upsert(people, contacts)
  contacts.each do |contact|
    next unless contact["outcome"] == "delivered"
    known = people[contact["personnel_id"]]
    next if known && known["obtained_at"] >= contact["obtained_at"]
    people[contact["personnel_id"]] = contact.slice("email", "obtained_at")
  end
end

class Unlockd
  def initialize(url, token)
    @url, @token = "#{url.chomp("/")}/api/v1", token
  end

  # Without an answer, the same call again is safe: it has the same key.
  def call(path, body = nil, key = nil)
    uri = URI(@url + path)
    5.times do |attempt|
      begin
        request = body ? Net::HTTP::Post.new(uri) : Net::HTTP::Get.new(uri)
        request["Authorization"] = "Bearer #{@token}"
        request["Content-Type"] = "application/json"
        request["Idempotency-Key"] = key if key
        request.body = JSON.generate(body) if body
        answer = Net::HTTP.start(uri.host, uri.port, use_ssl: uri.scheme == "https", read_timeout: 40, max_retries: 0) do |http|
          http.request(request)
        end
        return JSON.parse(answer.body) if answer.is_a?(Net::HTTPSuccess)
        abort JSON.parse(answer.body)["detail"] if answer.code.to_i < 500 && answer.code != "429"
      rescue SystemCallError, IOError, Timeout::Error
        # Asked again below.
      end
      sleep 0.2 * 2**attempt
    end
    abort "unlockd does not answer"
  end

  def enqueue(ids)
    key = "list-#{OpenSSL::Digest::SHA256.hexdigest(ids.sort.join(","))[0, 32]}"
    call("/requests", { personnel_ids: ids, reference: "ruby over HTTP" }, key)["id"]
  end

  def wait(request)
    finish, after = Time.now + SECONDS, 0
    until (found = call("/requests/#{request}"))["finished_at"]
      abort "request #{request} is #{found["status"]}" if Time.now > finish
      after = call("/changes?after=#{after}&wait=5")["next_after"]
    end
  end

  def contacts(request)
    all, cursor = [], 0
    while cursor
      page = call("/requests/#{request}/contacts?cursor=#{cursor}")
      all.concat(page["contacts"])
      cursor = page["next_cursor"]
    end
    all
  end
end

# Standard Webhooks: whether one of the secrets has signed the message, lately.
def verify(secrets, headers, body, now = Time.now)
  id, at, signature = headers.values_at("webhook-id", "webhook-timestamp", "webhook-signature")
  return false if (now.to_i - at.to_i).abs > 300
  given = signature.split.select { |part| part.start_with?("v1,") }.map { |part| part[3..] }
  secrets.any? do |secret|
    key = secret.delete_prefix("whsec_").unpack1("m")
    good = [OpenSSL::HMAC.digest("SHA256", key, "#{id}.#{at}.#{body}")].pack("m0")
    given.any? { |one| OpenSSL.secure_compare(one, good) }
  end
end

if ARGV[0] == "webhook"
  secrets = File.read(ARGV[1]).split
  lines = File.readlines(ARGV[2]).map { |line| JSON.parse(line) }
  lines.each do |message|
    headers, body = message.values_at("headers", "body")
    abort "a message is not good" unless verify(secrets, headers, body)
    changed = verify(secrets, headers, "#{body} ") || verify(secrets, headers, body, Time.now + 3_600)
    abort "a message that was changed, or is old, is taken" if changed
  end
  puts "#{lines.size} messages are good"
else
  url, token, *ids = ARGV
  unlockd = Unlockd.new(url, token)
  request = unlockd.enqueue(ids)
  unlockd.wait(request)
  contacts = unlockd.contacts(request)
  people = {}
  upsert(people, contacts)
  email = people.fetch(ids[0])["email"]
  old = { "personnel_id" => ids[0], "outcome" => "delivered", "email" => "new@example.com", "obtained_at" => "2001-01-01T00:00:00.000Z" }
  upsert(people, [old])
  abort "an older value has replaced a newer one" unless people[ids[0]]["email"] == email
  File.write("crm-ruby.json", JSON.generate(people))
  puts "request #{request}: #{contacts.size} contacts, #{people.size} people"
end
