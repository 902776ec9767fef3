"""kombu: the messaging library below Celery, with the topologies it builds on its own (delayed delivery, SimpleQueue)."""

import os
import socket
import sys
import time

from amqp.exceptions import AMQPNotImplementedError, NotFound, PreconditionFailed, ResourceLocked
from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.transport import native_delayed_delivery as delayed

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "shared"))
from checks import expect, expect_that, run_checks, token, wait_until  # noqa: E402

URI = sys.argv[1]
DIRECT_REPLY_TO = "amq.rabbitmq.reply-to"


class Scope:
    """The connections of one check, and the names it declared."""

    def __init__(self):
        self._run = token()
        self._connections = []
        self._queues = []
        self._exchanges = []

    def connect(self, **options):
        connection = Connection(URI, heartbeat=30, transport_options={"confirm_publish": True, **options})
        connection.connect()
        self._connections.append(connection)
        return connection

    def channel(self, **options):
        return self.connect(**options).channel()

    def name(self, suffix):
        return f"kombu.{self._run}.{suffix}"

    def queue(self, channel, suffix, exchange=None, **options):
        name = self.name(suffix)
        self._queues.append(name)
        queue = Queue(name, exchange or Exchange(""), durable=True, **options)
        bound = queue(channel)
        bound.queue_declare()
        if exchange:
            bound.queue_bind()
        return bound

    def exchange(self, channel, suffix, kind):
        self.remove_exchange_later(self.name(suffix))
        exchange = Exchange(self.name(suffix), kind)(channel)
        exchange.declare()
        return exchange

    def remove_queue_later(self, name):
        self._queues.append(name)

    def remove_exchange_later(self, name):
        self._exchanges.append(name)

    def close(self):
        for connection in self._connections:
            connection.release()
        with Connection(URI) as connection:
            channel = connection.channel()
            for name in self._queues:
                channel.queue_delete(name)
            for name in self._exchanges:
                channel.exchange_delete(name)


def take(channel, queue, count, seconds=10):
    """The next `count` messages of the queue, acknowledged."""
    messages = []
    with Consumer(channel, [queue], on_message=messages.append):
        while len(messages) < count:
            channel.connection.client.drain_events(timeout=seconds)
    for message in messages:
        message.ack()
    expect(len(messages), count, f"messages from {queue.name}")
    return messages


def expect_close(error_type, text, refused):
    """Fails the check unless `refused()` is answered with this error, whose text contains `text`."""
    try:
        refused()
    except error_type as error:
        expect_that(text in str(error), f"{error} lacks {text!r}")
    else:
        raise AssertionError(f"was accepted, wanted {error_type.__name__}")


def connect_properties(scope):
    connection = scope.connect()
    transport = connection.connection
    expect(transport.server_properties["product"], "RabbitMQ", "product")
    expect(transport.heartbeat, 30, "heartbeat")
    # From product and version kombu decides whether it may ask for a prefetch that the whole channel shares: not from 4.0 on.
    expect_that(connection.transport.qos_semantics_matches_spec(transport), "not taken for a RabbitMQ of version 4 or later")


def simple_queue(scope):
    connection = scope.connect()
    name = scope.name("simple")
    scope.remove_queue_later(name)
    scope.remove_exchange_later(name)
    queue = connection.SimpleQueue(name)
    for number in range(3):
        queue.put({"number": number})
    expect(queue.qsize(), 3, "qsize")
    for number in range(3):
        message = queue.get(timeout=5)
        expect(message.payload, {"number": number})
        message.ack()
    queue.close()


def publish_and_consume(scope):
    channel = scope.channel()
    exchange = scope.exchange(channel, "topic", "topic")
    queue = scope.queue(channel, "logs", exchange, routing_key="kern.#")
    producer = Producer(channel, exchange, serializer="json", compression="zlib")
    producer.publish({"severity": "critical"}, routing_key="kern.disk.full", headers={"kept": 1}, priority=3)
    producer.publish({"severity": "info"}, routing_key="auth.login")
    (message,) = take(channel, queue, 1)
    expect(message.payload, {"severity": "critical"})
    expect((message.headers["kept"], message.properties["priority"], message.delivery_info["routing_key"]),
           (1, 3, "kern.disk.full"))


def mandatory_return(scope):
    channel = scope.channel()
    returned = []
    channel.events["basic_return"].add(lambda error, exchange, key, message: returned.append((error.reply_code, key, message.body)))
    Producer(channel).publish("lost", routing_key=scope.name("nowhere"), mandatory=True)
    wait_until(lambda: returned, "the return")
    expect(returned, [(312, scope.name("nowhere"), "lost")])


def prefetch(scope):
    channel = scope.channel()
    queue = scope.queue(channel, "prefetch")
    producer = Producer(channel)
    for number in range(10):
        producer.publish(str(number), routing_key=queue.name)
    messages = []

    def drain():
        try:
            while True:
                channel.connection.client.drain_events(timeout=0.2)
        except socket.timeout:
            return len(messages)

    with Consumer(channel, [queue], on_message=messages.append, prefetch_count=3):
        wait_until(lambda: drain() >= 3, "three deliveries")
        expect(len(messages), 3, "deliveries before an ack")
        messages[0].ack()
        wait_until(lambda: drain() >= 4, "one more delivery")
        expect(len(messages), 4, "deliveries after an ack")


def dead_letter_rejected(scope):
    channel = scope.channel()
    exchange = scope.exchange(channel, "dlx", "fanout")
    dead = scope.queue(channel, "dead", exchange)
    queue = scope.queue(channel, "source", queue_arguments={"x-dead-letter-exchange": exchange.name})
    Producer(channel).publish("bad", routing_key=queue.name)
    queue.get().reject()
    (message,) = take(channel, dead, 1)
    (death,) = message.headers["x-death"]
    expect((death["count"], death["reason"], death["queue"]), (1, "rejected", queue.name), "x-death")


def channel_recovery(scope):
    connection = scope.connect()
    missing = scope.name("missing")
    expect_close(NotFound, f"NOT_FOUND - no queue '{missing}' in vhost '/'",
                 lambda: connection.channel().queue_declare(missing, passive=True))
    channel = connection.channel()
    queue = scope.queue(channel, "after")
    Producer(channel).publish("still here", routing_key=queue.name)
    expect(take(channel, queue, 1)[0].payload, "still here")


def connection_recovery(scope):
    connection = scope.connect()
    queue = scope.queue(connection.channel(), "survivor")
    producer = connection.Producer()
    producer.publish("first", routing_key=queue.name, delivery_mode=2)
    expect_close(AMQPNotImplementedError, "NOT_IMPLEMENTED", lambda: connection.channel().basic_qos(1, 0, False))
    revived = []
    connection.ensure(producer, lambda: producer.publish("second", routing_key=queue.name, retry=True), max_retries=3,
                      interval_start=0.05, on_revive=revived.append)()
    channel = scope.channel()
    expect([message.payload for message in take(channel, queue(channel), 2)], ["first", "second"])


def direct_reply_to(scope):
    client, server = scope.channel(confirm_publish=False), scope.channel()
    requests = scope.queue(server, "requests")
    answers = []
    client.basic_consume(DIRECT_REPLY_TO, no_ack=True, callback=answers.append)
    Producer(client).publish("ping", routing_key=requests.name, reply_to=DIRECT_REPLY_TO, correlation_id="c-1")
    (request,) = take(server, requests, 1)
    Producer(server).publish("pong", routing_key=request.properties["reply_to"], correlation_id="c-1")
    while not answers:
        client.connection.client.drain_events(timeout=5)
    expect((answers[0].body, answers[0].properties["correlation_id"]), ("pong", "c-1"))


def large_message(scope):
    channel = scope.channel()
    queue = scope.queue(channel, "large")
    body = os.urandom(1024 * 1024)
    Producer(channel).publish(body, routing_key=queue.name, content_type="application/data", content_encoding="binary")
    expect_that(take(channel, queue, 1)[0].body == body, "the body of 1 MiB changed")


def transaction(scope):
    channel, other = scope.channel(confirm_publish=False), scope.channel()
    queue = scope.queue(channel, "tx")
    producer = Producer(channel)
    channel.tx_select()
    producer.publish("rolled back", routing_key=queue.name)
    channel.tx_rollback()
    producer.publish("committed", routing_key=queue.name)
    expect(queue(other).get(), None, "message before the commit")
    channel.tx_commit()
    expect(take(other, queue(other), 1)[0].payload, "committed")


def exclusive_queue(scope):
    queue = Queue(scope.name("exclusive"), exclusive=True, auto_delete=True)
    queue(scope.channel()).queue_declare()
    expect_close(ResourceLocked, "RESOURCE_LOCKED", lambda: scope.channel().queue_declare(queue.name, passive=True))


def inequivalent_declare(scope):
    channel = scope.channel()
    scope.queue(channel, "declared", max_length=5)
    expect_close(PreconditionFailed, "inequivalent arg 'x-max-length'", lambda: scope.queue(channel, "declared", max_length=6))


def native_delayed_delivery(scope):
    """Celery's delays on quorum queues: 28 topic exchanges and queues, each a bit of the delay, ending at a last one."""
    connection = scope.connect()
    prefix = scope.name("delay")
    for level in range(delayed.MAX_NUMBER_OF_BITS_TO_USE):
        scope.remove_queue_later(delayed.level_name(level, prefix))
        scope.remove_exchange_later(delayed.level_name(level, prefix))
    scope.remove_exchange_later(f"{prefix}_{delayed.CELERY_DELAYED_DELIVERY_EXCHANGE}")
    delayed.declare_native_delayed_delivery_exchanges_and_queues(connection, "quorum", prefix)
    channel = connection.channel()
    exchange = scope.exchange(channel, "tasks", "topic")
    queue = scope.queue(channel, "tasks", exchange, routing_key="tasks")
    delayed.bind_queue_to_native_delayed_delivery_exchange(connection, queue, prefix)
    key = delayed.calculate_routing_key(1, "tasks")
    last = delayed.level_name(delayed.MAX_LEVEL, prefix)
    started = time.monotonic()
    Producer(channel, Exchange(last, "topic")).publish("later", routing_key=key)
    (message,) = take(channel, queue, 1)
    expect(message.payload, "later")
    expect_that(time.monotonic() - started >= 0.95, "the message came before its time")


run_checks(
    [
        connect_properties,
        simple_queue,
        publish_and_consume,
        mandatory_return,
        prefetch,
        dead_letter_rejected,
        channel_recovery,
        connection_recovery,
        direct_reply_to,
        large_message,
        transaction,
        exclusive_queue,
        inequivalent_declare,
        native_delayed_delivery,
    ],
    Scope,
)
