# frozen_string_literal: true

# Bunny: the broker's promises through the Ruby client, its automatic recovery, and the retry queues of Sneakers.

require_relative 'scope'

DIRECT_REPLY_TO = 'amq.rabbitmq.reply-to'

def connect_properties(scope)
  connection = scope.connect(connection_name: scope.name('connection'), properties: { answer: '42' })
  expect(connection.server_properties['product'], 'RabbitMQ', 'product')
  %w[publisher_confirms basic.nack consumer_cancel_notify exchange_exchange_bindings].each do |name|
    expect(connection.server_capabilities[name], true, name)
  end
  expect(connection.heartbeat, 30, 'heartbeat')
  expect([connection.frame_max, connection.channel_max], [131_072, 2047], 'limits')
  expect(connection.create_channel.open?, true, 'channel open')
end

def wrong_password(scope)
  # Bunny raises this one where the broker's close says 403, and another where the socket only closes.
  refusal(Bunny::AuthenticationFailureError) { scope.connect(password: 'not the password', pass: 'not the password') }
end

def publisher_confirms(scope)
  channel = scope.confirm_channel
  queue = scope.queue(channel, 'confirmed')
  100.times { |number| queue.publish(number.to_s, persistent: true) }
  expect(channel.wait_for_confirms, true, 'all confirmed')
  expect(bodies(take(queue, 100)), (0...100).map(&:to_s), 'order')
end

def mandatory_return(scope)
  channel = scope.confirm_channel
  exchange = scope.exchange(channel, 'no_bindings', :direct)
  returned = []
  exchange.on_return { |info, _, body| returned << [info.reply_code, info.reply_text, info.routing_key, body] }
  exchange.publish('lost', routing_key: 'nowhere', mandatory: true)
  expect(channel.wait_for_confirms, true, 'confirmed')
  expect(returned, [[312, 'NO_ROUTE', 'nowhere', 'lost']], 'what was returned before the confirm')
end

def confirm_nack(scope)
  channel = scope.confirm_channel
  queue = scope.queue(channel, 'full', 'x-max-length' => 1, 'x-overflow' => 'reject-publish')
  queue.publish('fits')
  expect(channel.wait_for_confirms, true, 'first confirm')
  queue.publish('too much')
  expect(channel.wait_for_confirms, false, 'second confirm')
  expect(channel.nacked_set.to_a, [2], 'refused messages')
  expect(bodies(take(queue, 1)), ['fits'])
end

def prefetch(scope)
  channel = scope.channel
  queue = scope.queue(channel, 'prefetch')
  10.times { |number| queue.publish(number.to_s) }
  channel.prefetch(3)
  _, deliveries = consume(queue)
  first = Array.new(3) { next_of(deliveries) }
  sleep 0.2
  expect(deliveries.size, 0, 'deliveries beyond the prefetch')
  channel.ack(first[1][0].delivery_tag, true)
  2.times { next_of(deliveries) }
  sleep 0.2
  expect(deliveries.size, 0, 'deliveries beyond two acks')
end

def dead_letter_rejected(scope)
  channel = scope.channel
  exchange = scope.exchange(channel, 'dlx', :fanout)
  dead = scope.queue(channel, 'dead').bind(exchange)
  queue = scope.queue(channel, 'source', 'x-dead-letter-exchange' => exchange.name)
  queue.publish('bad', headers: { 'kept' => 'yes' })
  info, = queue.pop(manual_ack: true)
  channel.nack(info.delivery_tag)
  (info, properties, body), = take(dead, 1)
  expect([info.exchange, info.routing_key, body], [exchange.name, queue.name, 'bad'])
  expect(properties.headers['kept'], 'yes')
  death = properties.headers['x-death'].first
  expect((death.delete('time') - Time.now).abs < 60, true, 'time of death')
  wanted = { 'count' => 1, 'reason' => 'rejected', 'queue' => queue.name, 'exchange' => '', 'routing-keys' => [queue.name] }
  expect(death, wanted, 'x-death')
end

def requeue_redelivers(scope)
  channel = scope.channel
  queue = scope.queue(channel, 'requeue')
  %w[first second].each { |body| queue.publish(body) }
  info, = queue.pop(manual_ack: true)
  expect(info.redelivered?, false, 'redelivered')
  channel.reject(info.delivery_tag, true)
  found = take(queue, 2).map { |again, _, body| [body, again.redelivered?] }
  expect(found, [['first', true], ['second', false]])
end

def channel_recovery(scope)
  connection = scope.connect
  expect(connection.queue_exists?(scope.name('missing')), false, 'queue')
  channel = connection.create_channel
  error = refusal(Bunny::NotFound) { channel.queue(scope.name('missing'), passive: true) }
  expect(error.channel_close.reply_text, "NOT_FOUND - no queue '#{scope.name('missing')}' in vhost '/'")
  expect([channel.open?, connection.open?], [false, true], 'channel and connection open')
  queue = scope.queue(connection.create_channel, 'after')
  queue.publish('still here')
  expect(bodies(take(queue, 1)), ['still here'])
end

# The broker closes the connection; Bunny comes back with its channel, exchange, exclusive queue, binding and consumer.
def automatic_recovery(scope)
  recovered = Thread::Queue.new
  connection = scope.connect(automatically_recover: true, recover_from_connection_close: true,
                             network_recovery_interval: 0.1, recovery_completed: -> { recovered << true })
  channel = connection.create_channel
  channel.prefetch(5)
  exchange = scope.exchange(channel, 'events', :topic)
  work = scope.queue(channel, 'work').bind(exchange, routing_key: 'work.#')
  temporary = channel.queue('', exclusive: true).bind(exchange, routing_key: '#')
  _, jobs = consume(work)
  _, events = consume(temporary, manual_ack: false)
  exchange.publish('one', routing_key: 'work.new', persistent: true)
  expect(next_of(jobs)[0].redelivered?, false, 'redelivered')
  expect(next_of(events)[2], 'one')
  # A method on a channel that is not open (504). Bunny itself sends no such thing; the frame is its encoder's.
  connection.send_frame(AMQ::Protocol::Basic::Qos.encode(99, 0, 1, false))
  next_of(recovered, 'the recovery')
  info, _, body = next_of(jobs, 'the redelivery')
  expect([body, info.redelivered?], ['one', true])
  channel.ack(info.delivery_tag)
  exchange.publish('two', routing_key: 'work.new')
  expect(next_of(jobs)[2], 'two')
  expect(next_of(events)[2], 'two', 'by the exclusive queue that was declared again')
end

def direct_reply_to(scope)
  server = scope.channel
  client = scope.channel
  requests = scope.queue(server, 'requests')
  requests.subscribe do |_, properties, body|
    server.default_exchange.publish("#{body} pong", routing_key: properties.reply_to,
                                                    correlation_id: properties.correlation_id)
  end
  answers = Thread::Queue.new
  client.basic_consume(DIRECT_REPLY_TO, '', true) { |_, properties, body| answers << [properties.correlation_id, body] }
  client.default_exchange.publish('ping', routing_key: requests.name, reply_to: DIRECT_REPLY_TO, correlation_id: 'c-1')
  expect(next_of(answers, 'the answer'), ['c-1', 'ping pong'])
end

def large_message(scope)
  channel = scope.confirm_channel
  queue = scope.queue(channel, 'large')
  body = Random.bytes(1 << 20)
  queue.publish(body, persistent: true)
  queue.publish('', persistent: true)
  expect(channel.wait_for_confirms, true, 'confirmed')
  large, empty = bodies(take(queue, 2))
  expect(large.b == body.b, true, '1 MiB unchanged')
  expect(empty, '', 'empty body')
end

def transaction(scope)
  channel = scope.channel
  queue = scope.queue(channel, 'tx')
  other = scope.channel.queue(queue.name, passive: true)
  channel.tx_select
  queue.publish('rolled back')
  channel.tx_rollback
  queue.publish('committed')
  nothing_in(other)
  channel.tx_commit
  expect(bodies(take(other, 1)), ['committed'])
  nothing_in(other)
end

def routing(scope)
  channel = scope.channel
  topics = scope.exchange(channel, 'topics', :topic)
  headers = scope.exchange(channel, 'headers', :headers)
  headers.bind(topics, routing_key: 'doc.#')
  orange = channel.queue('', exclusive: true).bind(topics, routing_key: '*.orange.#')
  pdf = channel.queue('', exclusive: true).bind(headers, arguments: { 'x-match' => 'all', 'format' => 'pdf', 'pages' => 3 })
  topics.publish('orange', routing_key: 'quick.orange')
  topics.publish('short', routing_key: 'doc.new', headers: { 'format' => 'pdf', 'pages' => 2 })
  topics.publish('right', routing_key: 'doc.new', headers: { 'format' => 'pdf', 'pages' => 3 })
  expect(bodies(take(orange, 1)), ['orange'])
  expect(bodies(take(pdf, 1)), ['right'])
  [orange, pdf].each { |queue| nothing_in(queue) }
end

# A Sneakers worker with its Maxretry handler: rejected jobs wait in -retry, and go to -error after the last attempt.
def sneakers_retries(scope)
  channel = scope.channel
  retries = scope.exchange(channel, 'job-retry', :topic)
  requeue = scope.exchange(channel, 'job-retry-requeue', :topic)
  errors = scope.exchange(channel, 'job-error', :topic)
  scope.queue(channel, 'job-retry', 'x-dead-letter-exchange' => requeue.name, 'x-message-ttl' => 50)
       .bind(retries, routing_key: '#')
  failed = scope.queue(channel, 'job-error').bind(errors, routing_key: '#')
  jobs = scope.queue(channel, 'job', 'x-dead-letter-exchange' => retries.name).bind(requeue, routing_key: '#')
  _, deliveries = consume(jobs)
  jobs.publish('stubborn')
  counts = []
  loop do
    info, properties, body = next_of(deliveries, 'an attempt')
    deaths = (properties.headers || {})['x-death'] || []
    counts << deaths.select { |death| death['queue'] == jobs.name }.sum { |death| death['count'] }
    if counts.last == 3
      errors.publish(body, routing_key: info.routing_key)
      channel.ack(info.delivery_tag)
      break
    end
    channel.reject(info.delivery_tag)
  end
  expect(counts, [0, 1, 2, 3], 'deaths at each attempt')
  expect(bodies(take(failed, 1)), ['stubborn'])
end

# What a worker gives back waits, for longer each time that it failed, and others are there meanwhile.
def delayed_retries(scope)
  channel = scope.channel
  channel.prefetch(1)
  queue = scope.queue(channel, 'retrying', 'x-queue-type' => 'quorum', 'x-delayed-retry-type' => 'all',
                                           'x-delayed-retry-min' => 200, 'x-delayed-retry-max' => 60_000)
  _, deliveries = consume(queue)
  %w[first second].each { |body| queue.publish(body) }
  info, = next_of(deliveries)
  since = now
  channel.reject(info.delivery_tag, true)
  info, _, body = next_of(deliveries)
  expect(body, 'second', 'message while the first one waits')
  channel.ack(info.delivery_tag)
  [0.2, 0.4].each do |least|
    info, _, body = next_of(deliveries, 'the first one again')
    expect([body, info.redelivered?], ['first', true])
    waited = now - since
    expect(waited >= least - 0.01, true, "#{waited} s before it came back, which are #{least}")
    since = now
    channel.reject(info.delivery_tag, true)
  end
  info, properties, = next_of(deliveries, 'the first one at last')
  expect(properties.headers['x-delivery-count'], 3, 'failures')
  channel.ack(info.delivery_tag)
end

# The Sneakers worker without its topology: what it rejects is tried again by the queue itself, and is a dead letter then.
def retries_of_rejected(scope)
  channel = scope.channel
  failed = scope.queue(channel, 'failed')
  jobs = scope.queue(channel, 'jobs', 'x-queue-type' => 'quorum', 'x-retry-delays' => '50ms,100ms', 'x-retry-rejected' => true,
                                      'x-dead-letter-exchange' => '', 'x-dead-letter-routing-key' => failed.name)
  attempts = 0
  jobs.subscribe(manual_ack: true) do |info, _, _|
    attempts += 1
    channel.reject(info.delivery_tag)
  end
  jobs.publish('stubborn')
  _, dead = consume(failed)
  _, properties, body = next_of(dead, 'the dead letter')
  expect([body, properties.headers['x-first-death-reason']], %w[stubborn rejected])
  # RabbitMQ keeps the arguments and does not look at them.
  leveret = channel.connection.server_properties['information'].include?('Leveret')
  expect(attempts, leveret ? 3 : 1, 'attempts')
end

def now
  Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

def exclusive_queue(scope)
  owner = scope.channel
  queue = owner.queue('', exclusive: true)
  refusal(Bunny::ResourceLocked) { scope.channel.queue(queue.name, passive: true) }
  owner.connection.close
  refusal(Bunny::NotFound) { scope.channel.queue(queue.name, passive: true) }
end

def inequivalent_declare(scope)
  channel = scope.channel
  2.times { scope.queue(channel, 'declared', 'x-max-length' => 5) }
  error = refusal(Bunny::PreconditionFailed) { scope.queue(scope.channel, 'declared', 'x-max-length' => 6) }
  expect(error.message.include?("inequivalent arg 'x-max-length' for queue"), true, error.message)
end

def consumer_cancel_notify(scope)
  channel = scope.channel
  queue = scope.queue(channel, 'doomed')
  cancelled = Thread::Queue.new
  consumer = Bunny::Consumer.new(channel, queue)
  consumer.on_cancellation { |cancel| cancelled << cancel.consumer_tag }
  queue.subscribe_with(consumer)
  scope.channel.queue_delete(queue.name)
  expect(next_of(cancelled, 'the cancellation'), consumer.consumer_tag)
end

def properties_round_trip(scope)
  channel = scope.channel
  queue = scope.queue(channel, 'properties')
  sent = {
    content_type: 'application/json', content_encoding: 'gzip', delivery_mode: 2, priority: 9,
    correlation_id: 'correlation', reply_to: 'reply', expiration: '60000', message_id: 'id',
    timestamp: 1_700_000_000, type: 'kind', user_id: channel.connection.user, app_id: 'app',
    headers: { 'text' => 'grüße'.b, 'yes' => true, 'small' => -7, 'large' => 2**40, 'double' => 0.25, 'nothing' => nil,
               'time' => Time.at(1_700_000_000), 'list' => [true, 'x', { 'y' => 1 }], 'table' => { 'deep' => {} } }
  }
  queue.publish('x', sent)
  (_, properties, _), = take(queue, 1)
  received = properties.to_hash.merge(timestamp: properties.timestamp.to_i)
  sent.each { |name, value| expect(received[name], value, name) }
end

run_checks(ARGV.fetch(0), %i[
             connect_properties wrong_password publisher_confirms mandatory_return confirm_nack prefetch
             dead_letter_rejected requeue_redelivers channel_recovery automatic_recovery direct_reply_to large_message
             transaction routing sneakers_retries delayed_retries retries_of_rejected exclusive_queue
             inequivalent_declare consumer_cancel_notify properties_round_trip
           ])
