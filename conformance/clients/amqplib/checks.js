// amqplib (Node): the tutorials' flows and the broker's promises through its promise API.
'use strict';

const { createHash, randomBytes } = require('node:crypto');
const amqp = require('amqplib');
const { assert, errorOf, runChecks, Skip, sleep, token, waitUntil } = require('../shared/checks.js');

const URI = process.argv[2];
const DIRECT_REPLY_TO = 'amq.rabbitmq.reply-to';
const bytes = (text) => Buffer.from(text);

// The connections of one check, and the names it declared.
class Scope {
  run = token();
  connections = [];
  queues = [];
  exchanges = [];

  async connect(parameters = 'heartbeat=30', options = {}) {
    const connection = await amqp.connect(`${URI}?${parameters}`, options);
    connection.failures = [];
    connection.on('error', (error) => connection.failures.push(error));
    connection.on('close', () => (connection.ended = true));
    this.connections.push(connection);
    return connection;
  }

  async channel() {
    return watch(await (await this.connect()).createChannel());
  }

  async confirmChannel() {
    return watch(await (await this.connect()).createConfirmChannel());
  }

  name(suffix) {
    return `amqplib.${this.run}.${suffix}`;
  }

  async queue(channel, suffix, options = {}) {
    const name = this.name(suffix);
    this.queues.push(name);
    await channel.assertQueue(name, options);
    return name;
  }

  async exchange(channel, suffix, type, options = {}) {
    const name = this.name(suffix);
    this.exchanges.push(name);
    await channel.assertExchange(name, type, options);
    return name;
  }

  async close() {
    for (const connection of this.connections) if (!connection.ended) await connection.close();
    const connection = await amqp.connect(URI);
    const channel = await connection.createChannel();
    for (const name of this.queues) await channel.deleteQueue(name);
    for (const name of this.exchanges) await channel.deleteExchange(name);
    await connection.close();
  }
}

// Keeps what goes wrong on a channel for the check to look at, rather than ending the process.
function watch(channel) {
  channel.failures = [];
  channel.on('error', (error) => channel.failures.push(error));
  return channel;
}

const temporaryQueue = async (channel) => (await channel.assertQueue('', { exclusive: true })).queue;

// The next `count` messages of the queue, acknowledged.
async function take(channel, queue, count) {
  const messages = [];
  const { consumerTag } = await channel.consume(queue, (message) => {
    if (message) messages.push(message);
  });
  await waitUntil(() => messages.length >= count, `${count} messages from ${queue}, got ${messages.length}`);
  await channel.cancel(consumerTag);
  for (const message of messages) channel.ack(message);
  assert.equal(messages.length, count, `messages from ${queue}`);
  return messages;
}

const texts = (messages) => messages.map((message) => message.content.toString());

async function assertEmpty(channel, queue) {
  const message = await channel.get(queue, { noAck: true });
  assert.equal(message, false, `${queue} should be empty`);
}

async function hello_world(scope) {
  const channel = await scope.channel();
  const queue = await scope.queue(channel, 'hello', { arguments: { 'x-queue-type': 'quorum' } });
  channel.sendToQueue(queue, bytes('Hello World!'));
  assert.deepEqual(texts(await take(await scope.channel(), queue, 1)), ['Hello World!']);
}

async function work_queues(scope) {
  const sender = await scope.channel();
  const queue = await scope.queue(sender, 'task_queue', { durable: true });
  const tasks = Array.from({ length: 20 }, (_, number) => `task ${number}`);
  for (const task of tasks) sender.sendToQueue(queue, bytes(task), { persistent: true });
  const done = [[], []];
  for (const finished of done) {
    const worker = await scope.channel();
    await worker.prefetch(1);
    await worker.consume(queue, async (message) => {
      assert.equal(message.properties.deliveryMode, 2);
      await sleep(5);
      finished.push(message.content.toString());
      worker.ack(message);
    });
  }
  await waitUntil(() => done.flat().length === tasks.length, 'every task to be done');
  assert.deepEqual(done.flat().sort(), tasks.sort());
  assert.ok(done[0].length > 0 && done[1].length > 0, 'one worker got every task');
}

async function publish_subscribe(scope) {
  const channel = await scope.channel();
  const exchange = await scope.exchange(channel, 'logs', 'fanout');
  const queues = [await temporaryQueue(channel), await temporaryQueue(channel)];
  for (const queue of queues) await channel.bindQueue(queue, exchange, '');
  channel.publish(exchange, '', bytes('info: Hello World!'));
  for (const queue of queues) assert.deepEqual(texts(await take(channel, queue, 1)), ['info: Hello World!']);
}

async function routing(scope) {
  const channel = await scope.channel();
  const exchange = await scope.exchange(channel, 'direct_logs', 'direct');
  const errors = await temporaryQueue(channel);
  const everything = await temporaryQueue(channel);
  await channel.bindQueue(errors, exchange, 'error');
  for (const severity of ['info', 'warning', 'error']) await channel.bindQueue(everything, exchange, severity);
  for (const severity of ['info', 'warning', 'error', 'debug']) channel.publish(exchange, severity, bytes(severity));
  assert.deepEqual(texts(await take(channel, errors, 1)), ['error']);
  assert.deepEqual(texts(await take(channel, everything, 3)), ['info', 'warning', 'error']);
}

async function topics(scope) {
  const channel = await scope.channel();
  const exchange = await scope.exchange(channel, 'topic_logs', 'topic');
  const patterns = {
    '#': ['kern.critical', 'kern.info.disk', 'auth.critical'],
    'kern.*': ['kern.critical'],
    'kern.#': ['kern.critical', 'kern.info.disk'],
    '*.critical': ['kern.critical', 'auth.critical'],
  };
  const queues = {};
  for (const pattern of Object.keys(patterns)) {
    queues[pattern] = await temporaryQueue(channel);
    await channel.bindQueue(queues[pattern], exchange, pattern);
  }
  for (const key of patterns['#']) channel.publish(exchange, key, bytes(key));
  for (const [pattern, wanted] of Object.entries(patterns)) {
    assert.deepEqual(texts(await take(channel, queues[pattern], wanted.length)), wanted, pattern);
    await assertEmpty(channel, queues[pattern]);
  }
}

const fibonacci = (number) => (number < 2 ? number : fibonacci(number - 1) + fibonacci(number - 2));

async function rpc(scope) {
  const [server, client] = [await scope.channel(), await scope.channel()];
  const requests = await scope.queue(server, 'rpc_queue');
  await server.prefetch(1);
  await server.consume(requests, (message) => {
    const { replyTo, correlationId } = message.properties;
    server.sendToQueue(replyTo, bytes(String(fibonacci(Number(message.content)))), { correlationId });
    server.ack(message);
  });
  const replyTo = await temporaryQueue(client);
  const answers = {};
  await client.consume(
    replyTo,
    (message) => (answers[message.properties.correlationId] = Number(message.content)),
    { noAck: true },
  );
  for (const number of [10, 15]) {
    client.sendToQueue(requests, bytes(String(number)), { replyTo, correlationId: `call-${number}` });
  }
  await waitUntil(() => Object.keys(answers).length === 2, 'both answers');
  assert.deepEqual(answers, { 'call-10': 55, 'call-15': 610 });
}

async function publisher_confirms(scope) {
  const channel = await scope.confirmChannel();
  const queue = await scope.queue(channel, 'confirmed');
  const confirmed = [];
  for (let number = 0; number < 500; number++) {
    channel.sendToQueue(queue, bytes(String(number)), { persistent: true }, (error) => confirmed.push([number, error]));
  }
  await channel.waitForConfirms();
  assert.equal(confirmed.length, 500);
  assert.deepEqual(confirmed.filter(([, error]) => error), [], 'messages that were not confirmed');
  assert.equal((await channel.checkQueue(queue)).messageCount, 500);
  const wanted = Array.from({ length: 500 }, (_, number) => String(number));
  assert.deepEqual(texts(await take(channel, queue, 500)), wanted);
}

async function connect_properties(scope) {
  const connection = await scope.connect('heartbeat=7&frameMax=8192&channelMax=20', {
    clientProperties: { connection_name: scope.name('connection'), answer: 42, nested: { list: [1, 'two'] } },
  });
  assert.deepEqual(
    [connection.connection.heartbeat, connection.connection.frameMax, connection.connection.channelMax],
    [7, 8192, 20],
  );
  const server = connection.connection.serverProperties;
  assert.equal(server.product, 'RabbitMQ');
  assert.match(server.version, /^[4-9]\.\d+\.\d+/);
  for (const capability of ['publisher_confirms', 'exchange_exchange_bindings', 'basic.nack', 'consumer_cancel_notify',
    'connection.blocked', 'consumer_priorities', 'authentication_failure_close', 'per_consumer_qos', 'direct_reply_to']) {
    assert.equal(server.capabilities[capability], true, capability);
  }
}

async function wrong_password() {
  const uri = new URL(URI);
  uri.password = 'wrong';
  const error = await errorOf(amqp.connect(uri.href), 'a wrong password');
  assert.match(error.message, /403 \(ACCESS-REFUSED\)|ACCESS_REFUSED/);
}

async function frame_max_at_the_floor(scope) {
  const connection = await scope.connect('frameMax=8192');
  const channel = watch(await connection.createConfirmChannel());
  const queue = await scope.queue(channel, 'small_frames');
  const body = randomBytes(100_000);
  channel.sendToQueue(queue, body);
  await channel.waitForConfirms();
  const [message] = await take(channel, queue, 1);
  assert.ok(message.content.equals(body), 'the body changed');
}

async function mandatory_return(scope) {
  const channel = await scope.confirmChannel();
  const exchange = await scope.exchange(channel, 'no_bindings', 'direct');
  const events = [];
  channel.on('return', (message) => events.push(message));
  channel.publish(exchange, 'nowhere', bytes('lost'), { mandatory: true, messageId: 'm' }, () => events.push('confirmed'));
  await channel.waitForConfirms();
  await waitUntil(() => events.length === 2, 'the return and the confirm');
  const [returned, confirm] = events;
  assert.equal(confirm, 'confirmed', 'the confirm came before the return');
  const { replyCode, replyText, exchange: by, routingKey } = returned.fields;
  assert.deepEqual({ replyCode, replyText, by, routingKey },
    { replyCode: 312, replyText: 'NO_ROUTE', by: exchange, routingKey: 'nowhere' });
  assert.equal(returned.content.toString(), 'lost');
  assert.equal(returned.properties.messageId, 'm');
}

async function confirm_nack(scope) {
  const channel = await scope.confirmChannel();
  const queue = await scope.queue(channel, 'full', { maxLength: 1, overflow: 'reject-publish' });
  const publish = (text) =>
    new Promise((resolve) => channel.sendToQueue(queue, bytes(text), {}, (error) => resolve(error ? 'nack' : 'ack')));
  assert.equal(await publish('fits'), 'ack');
  assert.equal(await publish('too much'), 'nack');
  assert.deepEqual(texts(await take(channel, queue, 1)), ['fits']);
}

async function prefetch(scope) {
  const channel = await scope.channel();
  const queue = await scope.queue(channel, 'prefetch');
  for (let number = 0; number < 10; number++) channel.sendToQueue(queue, bytes(String(number)));
  await channel.prefetch(3);
  const messages = [];
  await channel.consume(queue, (message) => messages.push(message));
  await waitUntil(() => messages.length >= 3, 'three deliveries');
  await sleep(200);
  assert.equal(messages.length, 3, 'deliveries before an ack');
  channel.ack(messages[1], true);
  await waitUntil(() => messages.length >= 5, 'two more deliveries');
  await sleep(200);
  assert.deepEqual(messages.map((message) => message.fields.deliveryTag), [1, 2, 3, 4, 5]);
}

async function requeue_redelivers(scope) {
  const channel = await scope.channel();
  const queue = await scope.queue(channel, 'requeue');
  for (const text of ['first', 'second']) channel.sendToQueue(queue, bytes(text));
  const message = await channel.get(queue);
  assert.equal(message.fields.redelivered, false);
  channel.nack(message, false, true);
  const again = await take(channel, queue, 2);
  assert.deepEqual(
    again.map((message) => [message.content.toString(), message.fields.redelivered]),
    [['first', true], ['second', false]],
  );
}

async function dead_letter_rejected(scope) {
  const channel = await scope.channel();
  const exchange = await scope.exchange(channel, 'dlx', 'topic');
  const dead = await scope.queue(channel, 'dead');
  await channel.bindQueue(dead, exchange, '#');
  const queue = await scope.queue(channel, 'source', { deadLetterExchange: exchange });
  channel.sendToQueue(queue, bytes('bad'), { headers: { kept: 'yes' } });
  channel.nack(await channel.get(queue), false, false);
  const [message] = await take(channel, dead, 1);
  assert.equal(message.fields.routingKey, queue, 'the original routing key');
  const headers = message.properties.headers;
  const [{ time, ...death }] = headers['x-death'];
  assert.equal(time['!'], 'timestamp');
  assert.equal(headers['x-death'].length, 1);
  assert.deepEqual({ ...death }, { count: 1, reason: 'rejected', queue, exchange: '', 'routing-keys': [queue] });
  assert.deepEqual(
    [headers['x-first-death-queue'], headers['x-first-death-reason'], headers['x-first-death-exchange'], headers.kept],
    [queue, 'rejected', '', 'yes'],
  );
}

async function channel_recovery(scope) {
  const connection = await scope.connect();
  const broken = watch(await connection.createChannel());
  const missing = scope.name('missing');
  const error = await errorOf(broken.checkQueue(missing), 'a missing queue');
  assert.deepEqual([error.code, error.classId, error.methodId], [404, 50, 10]);
  assert.ok(error.message.includes(`NOT_FOUND - no queue '${missing}' in vhost '/'`), error.message);
  const channel = watch(await connection.createChannel());
  const queue = await scope.queue(channel, 'after');
  channel.sendToQueue(queue, bytes('still here'));
  assert.deepEqual(texts(await take(channel, queue, 1)), ['still here']);
}

async function connection_recovery(scope) {
  const connection = await scope.connect();
  const channel = watch(await connection.createConfirmChannel());
  const queue = await scope.queue(channel, 'survivor');
  channel.sendToQueue(queue, bytes('kept'), { persistent: true });
  await channel.waitForConfirms();
  const got = [];
  await channel.consume(queue, (message) => got.push(message), { consumerTag: 'twice' });
  await waitUntil(() => got.length === 1, 'the delivery');
  await errorOf(channel.consume(queue, () => {}, { consumerTag: 'twice' }), 'a consumer tag used twice');
  await waitUntil(() => connection.ended, 'the connection to be closed');
  const [error] = connection.failures;
  assert.equal(error.code, 530);
  assert.match(error.message, /NOT_ALLOWED - attempt to reuse consumer tag 'twice'/);
  const [message] = await take(await scope.channel(), queue, 1);
  assert.deepEqual([message.content.toString(), message.fields.redelivered], ['kept', true]);
}

async function direct_reply_to(scope) {
  const [server, client] = [await scope.channel(), await scope.channel()];
  const requests = await scope.queue(server, 'requests');
  await server.consume(requests, (message) => {
    const { replyTo, correlationId } = message.properties;
    server.sendToQueue(replyTo, Buffer.concat([message.content, bytes(` via ${replyTo.slice(0, 22)}`)]), { correlationId });
    server.ack(message);
  });
  const answers = [];
  await client.consume(DIRECT_REPLY_TO, (message) => answers.push(message), { noAck: true });
  client.sendToQueue(requests, bytes('ping'), { replyTo: DIRECT_REPLY_TO, correlationId: 'c-1' });
  await waitUntil(() => answers.length === 1, 'the answer');
  assert.equal(answers[0].content.toString(), `ping via ${DIRECT_REPLY_TO}.`);
  assert.equal(answers[0].properties.correlationId, 'c-1');
}

async function large_message(scope) {
  const channel = await scope.confirmChannel();
  const queue = await scope.queue(channel, 'large');
  const body = randomBytes(1024 * 1024);
  channel.sendToQueue(queue, body, { persistent: true });
  channel.sendToQueue(queue, Buffer.alloc(0));
  await channel.waitForConfirms();
  const [large, empty] = await take(channel, queue, 2);
  const digest = (content) => createHash('sha256').update(content).digest('hex');
  assert.equal(digest(large.content), digest(body), 'digest of 1 MiB');
  assert.equal(empty.content.length, 0);
}

async function transaction() {
  throw new Skip('amqplib has no transactions');
}

async function headers_exchange(scope) {
  const channel = await scope.channel();
  const exchange = await scope.exchange(channel, 'headers', 'headers');
  const [both, either] = [await temporaryQueue(channel), await temporaryQueue(channel)];
  const wanted = { format: 'pdf', pages: 3 };
  await channel.bindQueue(both, exchange, '', { ...wanted, 'x-match': 'all' });
  await channel.bindQueue(either, exchange, '', { ...wanted, 'x-match': 'any' });
  channel.publish(exchange, '', bytes('both'), { headers: { format: 'pdf', pages: 3 } });
  channel.publish(exchange, '', bytes('format'), { headers: { format: 'pdf', pages: 4 } });
  channel.publish(exchange, '', bytes('none'), { headers: { format: 'zip' } });
  assert.deepEqual(texts(await take(channel, both, 1)), ['both']);
  assert.deepEqual(texts(await take(channel, either, 2)), ['both', 'format']);
  await assertEmpty(channel, both);
}

async function exchange_binding(scope) {
  const channel = await scope.channel();
  const source = await scope.exchange(channel, 'source', 'topic');
  const destination = await scope.exchange(channel, 'destination', 'fanout');
  const queue = await temporaryQueue(channel);
  await channel.bindQueue(queue, destination, '');
  await channel.bindExchange(destination, source, 'a.#');
  channel.publish(source, 'a.b', bytes('through'));
  channel.publish(source, 'b.a', bytes('not'));
  assert.deepEqual(texts(await take(channel, queue, 1)), ['through']);
  await channel.unbindExchange(destination, source, 'a.#');
  channel.publish(source, 'a.b', bytes('unbound'));
  await assertEmpty(channel, queue);
}

async function alternate_exchange(scope) {
  const channel = await scope.channel();
  const spare = await scope.exchange(channel, 'spare', 'fanout');
  const exchange = await scope.exchange(channel, 'main', 'direct', { alternateExchange: spare });
  const queue = await temporaryQueue(channel);
  await channel.bindQueue(queue, spare, '');
  channel.publish(exchange, 'unbound', bytes('caught'));
  assert.deepEqual(texts(await take(channel, queue, 1)), ['caught']);
}

async function ttl_dead_letter(scope) {
  const channel = await scope.channel();
  const dead = await scope.queue(channel, 'dead');
  const queue = await scope.queue(channel, 'ttl', {
    messageTtl: 100, deadLetterExchange: '', deadLetterRoutingKey: dead,
  });
  channel.sendToQueue(queue, bytes('by queue'));
  channel.sendToQueue(queue, bytes('by message'), { expiration: '50' });
  const originals = {};
  for (const message of await take(channel, dead, 2)) {
    const [death] = message.properties.headers['x-death'];
    assert.deepEqual([death.reason, death.queue, death.count], ['expired', queue, 1]);
    assert.equal(message.properties.expiration, undefined);
    originals[message.content.toString()] = death['original-expiration'];
  }
  assert.deepEqual(originals, { 'by queue': undefined, 'by message': '50' });
}

async function priority_queue(scope) {
  const channel = await scope.confirmChannel();
  const queue = await scope.queue(channel, 'priority', { maxPriority: 10 });
  for (const priority of [1, 5, undefined, 10, 5, 200]) channel.sendToQueue(queue, bytes(String(priority)), { priority });
  await channel.waitForConfirms();
  assert.deepEqual(texts(await take(channel, queue, 6)), ['10', '200', '5', '5', '1', 'undefined']);
}

async function exclusive_queue(scope) {
  const owner = await scope.connect();
  const queue = scope.name('exclusive');
  await (await owner.createChannel()).assertQueue(queue, { exclusive: true });
  const locked = await errorOf((await scope.channel()).checkQueue(queue), 'an exclusive queue of another connection');
  assert.deepEqual([locked.code, locked.classId, locked.methodId], [405, 50, 10]);
  assert.match(locked.message, /RESOURCE_LOCKED - cannot obtain exclusive access to locked queue/);
  await owner.close();
  const gone = await errorOf((await scope.channel()).checkQueue(queue), 'a queue that died with its connection');
  assert.equal(gone.code, 404);
}

async function inequivalent_declare(scope) {
  const channel = await scope.channel();
  const queue = await scope.queue(channel, 'declared', { maxLength: 5 });
  await channel.assertQueue(queue, { maxLength: 5 });
  const error = await errorOf(channel.assertQueue(queue, { maxLength: 6 }), 'a declaration with other arguments');
  assert.deepEqual([error.code, error.classId, error.methodId], [406, 50, 10]);
  assert.match(error.message, /PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue/);
}

async function unknown_delivery_tag(scope) {
  const channel = await scope.channel();
  channel.ack({ fields: { deliveryTag: 99 } });
  await waitUntil(() => channel.failures.length === 1, 'the channel error');
  const [error] = channel.failures;
  assert.deepEqual([error.code, error.classId, error.methodId], [406, 60, 80]);
  assert.match(error.message, /unknown delivery tag 99/);
}

async function publish_to_missing_exchange(scope) {
  const channel = await scope.channel();
  const missing = scope.name('missing');
  channel.publish(missing, 'key', randomBytes(300_000));
  await waitUntil(() => channel.failures.length === 1, 'the channel error');
  const [error] = channel.failures;
  assert.deepEqual([error.code, error.classId, error.methodId], [404, 60, 40]);
  assert.ok(error.message.includes(`no exchange '${missing}' in vhost '/'`), error.message);
}

async function consumer_cancel_notify(scope) {
  const channel = await scope.channel();
  const queue = await scope.queue(channel, 'doomed');
  const received = [];
  await channel.consume(queue, (message) => received.push(message));
  await (await scope.channel()).deleteQueue(queue);
  await waitUntil(() => received.length === 1, 'the cancellation');
  assert.deepEqual(received, [null]);
}

async function properties_round_trip(scope) {
  const channel = await scope.channel();
  const queue = await scope.queue(channel, 'properties');
  const sent = {
    contentType: 'application/json',
    contentEncoding: 'gzip',
    deliveryMode: 2,
    priority: 9,
    correlationId: 'correlation',
    replyTo: 'reply',
    expiration: '60000',
    messageId: 'id',
    timestamp: 1700000000,
    type: 'kind',
    userId: decodeURIComponent(new URL(URI).username),
    appId: 'app',
  };
  const headers = {
    text: 'grüße',
    true: true,
    false: false,
    small: -7,
    large: 2 ** 40,
    double: 2.5,
    nothing: null,
    bytes: Buffer.from([0, 255]),
    table: { deep: { deeper: [1, 'two', null] } },
    array: [true, 'x', { y: 1 }],
    empty: {},
    when: { '!': 'timestamp', value: 1700000000 },
    float: { '!': 'float', value: 0.5 },
    byte: { '!': 'byte', value: -3 },
    decimal: { '!': 'decimal', value: { digits: 314, places: 2 } },
  };
  channel.sendToQueue(queue, bytes('x'), { ...sent, headers });
  const [{ properties }] = await take(channel, queue, 1);
  for (const [name, value] of Object.entries(sent)) assert.equal(properties[name], value, name);
  const received = JSON.parse(JSON.stringify(properties.headers));
  const unwrapped = { ...headers, float: 0.5, byte: -3 };
  assert.deepEqual(received, JSON.parse(JSON.stringify(unwrapped)));
}

async function many_channels(scope) {
  const connection = await scope.connect();
  const queue = await scope.queue(watch(await connection.createChannel()), 'shared');
  const channels = await Promise.all(Array.from({ length: 20 }, () => connection.createConfirmChannel()));
  await Promise.all(channels.map((channel, number) => {
    for (let sequence = 0; sequence < 20; sequence++) channel.sendToQueue(queue, bytes(`${number}:${sequence}`));
    return channel.waitForConfirms();
  }));
  const received = texts(await take(watch(await connection.createChannel()), queue, 400));
  for (let number = 0; number < channels.length; number++) {
    const mine = received.filter((text) => text.startsWith(`${number}:`));
    assert.deepEqual(mine, Array.from({ length: 20 }, (_, sequence) => `${number}:${sequence}`), `order of ${number}`);
  }
}

runChecks([
  hello_world,
  work_queues,
  publish_subscribe,
  routing,
  topics,
  rpc,
  publisher_confirms,
  connect_properties,
  wrong_password,
  frame_max_at_the_floor,
  mandatory_return,
  confirm_nack,
  prefetch,
  requeue_redelivers,
  dead_letter_rejected,
  channel_recovery,
  connection_recovery,
  direct_reply_to,
  large_message,
  transaction,
  headers_exchange,
  exchange_binding,
  alternate_exchange,
  ttl_dead_letter,
  priority_queue,
  exclusive_queue,
  inequivalent_declare,
  unknown_delivery_tag,
  publish_to_missing_exchange,
  consumer_cancel_notify,
  properties_round_trip,
  many_channels,
], () => new Scope());
