// amqp-connection-manager (Node): channels that set themselves up again, and publishes that wait for the connection.
'use strict';

const { randomBytes } = require('node:crypto');
const manager = require('amqp-connection-manager');
const { assert, errorOf, runChecks, token, waitUntil } = require('../shared/checks.js');

const URI = process.argv[2];

// The managed connections of one check, and the names it declared.
class Scope {
  run = token();
  connections = [];
  queues = [];
  exchanges = [];

  connect() {
    const connection = manager.connect([`${URI}?heartbeat=30`], { reconnectTimeInSeconds: 0.05, heartbeatIntervalInSeconds: 30 });
    connection.failures = [];
    connection.connects = 0;
    connection.on('connect', () => connection.connects++);
    connection.on('disconnect', ({ err }) => connection.failures.push(err));
    this.connections.push(connection);
    return connection;
  }

  name(suffix) {
    return `amqp-connection-manager.${this.run}.${suffix}`;
  }

  queueName(suffix) {
    this.queues.push(this.name(suffix));
    return this.name(suffix);
  }

  exchangeName(suffix) {
    this.exchanges.push(this.name(suffix));
    return this.name(suffix);
  }

  async close() {
    const connection = this.connect();
    const channel = connection.createChannel();
    await channel.waitForConnect();
    for (const name of this.queues) await channel.deleteQueue(name);
    for (const name of this.exchanges) await channel.deleteExchange(name);
    for (const open of this.connections) await open.close();
  }
}

// Makes the broker close the connection: the same consumer tag twice on a channel is a 530.
async function breakConnection(connection, queue) {
  const { connection: model } = connection;
  const channel = await model.createChannel();
  channel.on('error', () => {});
  await channel.consume(queue, () => {}, { consumerTag: 'twice' });
  await errorOf(channel.consume(queue, () => {}, { consumerTag: 'twice' }), 'a consumer tag used twice');
}

async function work_queue(scope) {
  const queue = scope.queueName('work');
  const received = [];
  const connection = scope.connect();
  const channel = connection.createChannel({
    json: true,
    setup: async (raw) => {
      await raw.assertQueue(queue, { durable: true });
      await raw.prefetch(1);
      await raw.consume(queue, (message) => {
        received.push(JSON.parse(message.content));
        channel.ack(message);
      });
    },
  });
  await Promise.all([1, 2, 3].map((number) => channel.sendToQueue(queue, { number }, { persistent: true })));
  await waitUntil(() => received.length === 3, 'three messages');
  assert.deepEqual(received, [{ number: 1 }, { number: 2 }, { number: 3 }]);
}

async function publish_before_connect(scope) {
  const queue = scope.queueName('early');
  const channel = scope.connect().createChannel({ setup: (raw) => raw.assertQueue(queue) });
  await channel.sendToQueue(queue, Buffer.from('early'));
  assert.equal((await channel.get(queue, { noAck: true })).content.toString(), 'early');
}

async function recovers_its_setup(scope) {
  const [queue, exchange] = [scope.queueName('recovered'), scope.exchangeName('recovered')];
  const connection = scope.connect();
  const received = [];
  let setups = 0;
  const channel = connection.createChannel({
    setup: async (raw) => {
      setups++;
      await raw.assertExchange(exchange, 'topic');
      await raw.assertQueue(queue);
      await raw.bindQueue(queue, exchange, 'a.#');
      await raw.consume(queue, (message) => {
        received.push(message.content.toString());
        channel.ack(message);
      });
    },
  });
  await channel.waitForConnect();
  await channel.publish(exchange, 'a.b', Buffer.from('before'));
  await waitUntil(() => received.length === 1, 'the first message');
  await breakConnection(connection, queue);
  await waitUntil(() => connection.failures.length > 0, 'the broken connection');
  assert.match(String(connection.failures[0]), /530 \(NOT-ALLOWED\)|NOT_ALLOWED/);
  await channel.publish(exchange, 'a.b', Buffer.from('after'));
  await waitUntil(() => received.includes('after'), 'the message after the recovery');
  assert.equal(setups, 2, 'times that the setup ran');
  assert.equal(connection.connects, 2, 'connects');
}

async function confirm_nack(scope) {
  const queue = scope.queueName('full');
  const channel = scope.connect().createChannel({
    setup: (raw) => raw.assertQueue(queue, { maxLength: 1, overflow: 'reject-publish' }),
  });
  await channel.sendToQueue(queue, Buffer.from('fits'));
  await errorOf(channel.sendToQueue(queue, Buffer.from('too much')), 'a message for a full queue');
}

async function large_message(scope) {
  const queue = scope.queueName('large');
  const channel = scope.connect().createChannel({ setup: (raw) => raw.assertQueue(queue) });
  const body = randomBytes(1024 * 1024);
  await channel.sendToQueue(queue, body, { persistent: true });
  const message = await channel.get(queue, { noAck: true });
  assert.ok(message.content.equals(body), 'the body of 1 MiB changed');
}

async function setup_added_later(scope) {
  const queue = scope.queueName('later');
  const connection = scope.connect();
  const channel = connection.createChannel();
  await channel.waitForConnect();
  await channel.addSetup((raw) => raw.assertQueue(queue));
  await channel.sendToQueue(queue, Buffer.from('kept'), { persistent: true });
  await breakConnection(connection, queue);
  await waitUntil(() => connection.connects === 2, 'the recovery');
  await channel.waitForConnect();
  assert.equal((await channel.checkQueue(queue)).messageCount, 1);
}

runChecks([
  work_queue,
  publish_before_connect,
  recovers_its_setup,
  confirm_nack,
  large_message,
  setup_added_later,
], () => new Scope());
