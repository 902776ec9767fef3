# frozen_string_literal: true

# What every check needs: a runner that bounds and reports it, connections, and names that it removes. No promises here.

require 'bunny'
require 'logger'
require 'securerandom'
require 'timeout'

CHECK_SECONDS = 20
PATIENCE = 10

# The connections of one check, and the names it declared.
class Scope
  def initialize(uri)
    @uri = uri
    @run = SecureRandom.hex(4)
    @connections = []
    @queues = []
    @exchanges = []
  end

  # Without recovery, unless the options ask for it. What goes wrong is raised by what waits for it, not in this thread.
  def connect(options = {})
    settings = { heartbeat: 30, continuation_timeout: PATIENCE * 1000, automatically_recover: false,
                 session_error_handler: Thread.new {}, logger: Logger.new(IO::NULL) }
    connection = Bunny.new(@uri, settings.merge(options))
    connection.start
    @connections << connection
    connection
  end

  def channel
    connect.create_channel
  end

  def confirm_channel
    channel.tap(&:confirm_select)
  end

  def name(suffix)
    "bunny.#{@run}.#{suffix}"
  end

  def queue(channel, suffix, arguments = {})
    @queues << name(suffix)
    channel.queue(name(suffix), durable: true, arguments: arguments)
  end

  def exchange(channel, suffix, type)
    @exchanges << name(suffix)
    channel.exchange(name(suffix), type: type, durable: true)
  end

  def close
    @connections.each { |connection| connection.close if connection.open? }
    connection = Bunny.new(@uri, logger: Logger.new(IO::NULL)).start
    channel = connection.create_channel
    @queues.each { |name| channel.queue_delete(name) }
    @exchanges.each { |name| channel.exchange_delete(name) }
    connection.close
  end
end

def expect(found, wanted, what = 'value')
  raise "#{what}: got #{found.inspect[0, 200]}, wanted #{wanted.inspect[0, 200]}" unless found == wanted
end

# Runs what must be refused, and gives the exception of that class.
def refusal(kind)
  yield
  raise "no #{kind}"
rescue kind => e
  e
end

# What the thread-safe queue of a consumer yields within the patience of a check.
def next_of(deliveries, what = 'a delivery')
  Timeout.timeout(PATIENCE, RuntimeError, "waited #{PATIENCE} s for #{what}") { deliveries.pop }
end

def consume(queue, **options)
  deliveries = Thread::Queue.new
  options = { manual_ack: true }.merge(options)
  consumer = queue.subscribe(**options) { |info, properties, body| deliveries << [info, properties, body] }
  [consumer, deliveries]
end

# The next messages of the queue, acknowledged.
def take(queue, count)
  consumer, deliveries = consume(queue)
  messages = Array.new(count) { |index| next_of(deliveries, "message #{index + 1} from #{queue.name}") }
  consumer.cancel
  messages << deliveries.pop until deliveries.empty?
  messages.each { |info, _, _| queue.channel.ack(info.delivery_tag) }
  expect(messages.size, count, "messages from #{queue.name}")
  messages
end

def bodies(messages)
  messages.map(&:last)
end

def nothing_in(queue)
  expect(queue.pop, [nil, nil, nil], "message in #{queue.name}")
end

# Runs each method with a scope of its own, and prints a line for each.
def run_checks(uri, checks)
  $stdout.sync = true
  Thread.report_on_exception = false
  checks.each do |check|
    scope = Scope.new(uri)
    late = "not done within #{CHECK_SECONDS} s"
    begin
      Timeout.timeout(CHECK_SECONDS, RuntimeError, late) { send(check, scope) }
    ensure
      Timeout.timeout(CHECK_SECONDS, RuntimeError, "#{late} (cleaning up)") { scope.close }
    end
    puts "ok #{check}"
  rescue StandardError => e
    warn e.full_message(highlight: false)
    puts "FAIL #{check}: #{"#{e.class}: #{e.message}".gsub(/\s+/, ' ')[0, 400]}"
  end
  puts 'end'
end
