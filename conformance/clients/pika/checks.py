"""pika: the tutorials' flows and the broker's promises through BlockingConnection."""

import datetime
import decimal
import hashlib
import os
import sys
import threading
import time

import pika
from pika.exceptions import (
    AMQPConnectionError,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    NackError,
    UnroutableError,
)

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "shared"))
from checks import expect, expect_that, run_checks, token, wait_until  # noqa: E402

URI = sys.argv[1]
DIRECT_REPLY_TO = "amq.rabbitmq.reply-to"
PERSISTENT = pika.BasicProperties(delivery_mode=2)


class Scope:
    """The connections of one check, and the names it declared."""

    def __init__(self):
        self._run = token()
        self._connections = []
        self._queues = []
        self._exchanges = []

    def connect(self, **settings):
        parameters = pika.URLParameters(URI)
        for name, value in {"heartbeat": 30, "blocked_connection_timeout": 10, **settings}.items():
            setattr(parameters, name, value)
        connection = pika.BlockingConnection(parameters)
        self._connections.append(connection)
        return connection

    def channel(self):
        return self.connect().channel()

    def name(self, suffix):
        return f"pika.{self._run}.{suffix}"

    def queue(self, channel, suffix, arguments=None, **options):
        name = self.name(suffix)
        self._queues.append(name)
        channel.queue_declare(name, durable=True, arguments=arguments, **options)
        return name

    def exchange(self, channel, suffix, kind, **options):
        name = self.name(suffix)
        self._exchanges.append(name)
        channel.exchange_declare(name, kind, durable=True, **options)
        return name

    def close(self):
        for connection in self._connections:
            if connection.is_open:
                connection.close()
        if not (self._queues or self._exchanges):
            return
        connection = pika.BlockingConnection(pika.URLParameters(URI))
        channel = connection.channel()
        for name in self._queues:
            channel.queue_delete(name)
        for name in self._exchanges:
            channel.exchange_delete(name)
        connection.close()


def temporary_queue(channel):
    """The tutorials' queue: named by the server, gone with the connection."""
    return channel.queue_declare("", exclusive=True).method.queue


def take(channel, queue, count, auto_ack=True, seconds=10):
    """The next `count` messages of the queue, as (method, properties, body)."""
    messages = []
    for method, properties, body in channel.consume(queue, auto_ack=auto_ack, inactivity_timeout=seconds):
        if method is None:
            break
        messages.append((method, properties, body))
        if len(messages) == count:
            break
    channel.cancel()
    expect(len(messages), count, f"messages from {queue}")
    return messages


def bodies(messages):
    return [body for _, _, body in messages]


def nothing_in(channel, queue):
    method, _, body = channel.basic_get(queue, auto_ack=True)
    expect_that(method is None, f"{queue} should be empty but holds {body!r}")


def hello_world(scope):
    sender, receiver = scope.channel(), scope.channel()
    queue = scope.queue(sender, "hello", {"x-queue-type": "quorum"})
    sender.basic_publish("", queue, b"Hello World!")
    expect(bodies(take(receiver, queue, 1)), [b"Hello World!"])


def work_queues(scope):
    sender = scope.channel()
    queue = scope.queue(sender, "task_queue")
    tasks = [f"task {number}".encode() for number in range(20)]
    for task in tasks:
        sender.basic_publish("", queue, task, PERSISTENT)
    connection = scope.connect()
    done = {"first": [], "second": []}
    for worker, finished in done.items():
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)

        def work(channel, method, properties, body, finished=finished):
            expect(properties.delivery_mode, 2, "delivery_mode")
            finished.append(body)
            channel.basic_ack(method.delivery_tag)

        channel.basic_consume(queue, work, consumer_tag=worker)
    while sum(map(len, done.values())) < len(tasks):
        connection.process_data_events(time_limit=1)
    expect(sorted(done["first"] + done["second"]), sorted(tasks))
    expect_that(done["first"] and done["second"], "one worker got every task")


def publish_subscribe(scope):
    channel = scope.channel()
    exchange = scope.exchange(channel, "logs", "fanout")
    queues = [temporary_queue(channel) for _ in range(2)]
    for queue in queues:
        channel.queue_bind(queue, exchange)
    channel.basic_publish(exchange, "", b"info: Hello World!")
    for queue in queues:
        expect(bodies(take(channel, queue, 1)), [b"info: Hello World!"])


def routing(scope):
    channel = scope.channel()
    exchange = scope.exchange(channel, "direct_logs", "direct")
    errors, everything = temporary_queue(channel), temporary_queue(channel)
    channel.queue_bind(errors, exchange, "error")
    for severity in ("info", "warning", "error"):
        channel.queue_bind(everything, exchange, severity)
    for severity in ("info", "warning", "error", "debug"):
        channel.basic_publish(exchange, severity, severity.encode())
    expect(bodies(take(channel, errors, 1)), [b"error"])
    expect(bodies(take(channel, everything, 3)), [b"info", b"warning", b"error"])


def topics(scope):
    channel = scope.channel()
    exchange = scope.exchange(channel, "topic_logs", "topic")
    patterns = {
        "#": [b"kern.critical", b"kern.info.disk", b"auth.critical", b""],
        "kern.*": [b"kern.critical"],
        "kern.#": [b"kern.critical", b"kern.info.disk"],
        "*.critical": [b"kern.critical", b"auth.critical"],
    }
    queues = {pattern: temporary_queue(channel) for pattern in patterns}
    for pattern, queue in queues.items():
        channel.queue_bind(queue, exchange, pattern)
    for key in ("kern.critical", "kern.info.disk", "auth.critical", ""):
        channel.basic_publish(exchange, key, key.encode())
    for pattern, wanted in patterns.items():
        expect(bodies(take(channel, queues[pattern], len(wanted))), wanted, pattern)
        nothing_in(channel, queues[pattern])


def rpc(scope):
    connection = scope.connect()
    server, client = connection.channel(), connection.channel()
    requests = scope.queue(server, "rpc_queue")

    def fibonacci(number):
        return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

    def answer(channel, method, properties, body):
        reply = pika.BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish("", properties.reply_to, str(fibonacci(int(body))).encode(), reply)
        channel.basic_ack(method.delivery_tag)

    server.basic_qos(prefetch_count=1)
    server.basic_consume(requests, answer)
    replies = temporary_queue(client)
    answers = {}
    client.basic_consume(
        replies, lambda _c, _m, properties, body: answers.update({properties.correlation_id: body}), auto_ack=True
    )
    for number in (10, 15):
        properties = pika.BasicProperties(reply_to=replies, correlation_id=f"call-{number}")
        client.basic_publish("", requests, str(number).encode(), properties)
    while len(answers) < 2:
        connection.process_data_events(time_limit=1)
    expect(answers, {"call-10": b"55", "call-15": b"610"})


def publisher_confirms(scope):
    channel = scope.channel()
    queue = scope.queue(channel, "confirmed")
    channel.confirm_delivery()
    for number in range(50):
        channel.basic_publish("", queue, str(number).encode(), PERSISTENT)
    expect(channel.queue_declare(queue, passive=True).method.message_count, 50, "message_count after the confirms")
    expect(bodies(take(channel, queue, 50)), [str(number).encode() for number in range(50)])


def connect_properties(scope):
    connection = scope.connect(heartbeat=7, client_properties={"connection_name": scope.name("connection"), "answer": 42})
    expect(connection._impl.params.heartbeat, 7, "heartbeat")
    server = connection._impl.server_properties
    expect(server["product"], "RabbitMQ", "product")
    major = int(server["version"].split(".")[0])
    expect_that(major >= 4, f"version {server['version']} is older than 4")
    for capability in (
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ):
        expect(connection._impl.server_capabilities.get(capability), True, capability)


def wrong_password(scope):
    try:
        scope.connect(credentials=pika.PlainCredentials("guest", "not the password"))
    except AMQPConnectionError as error:
        cause = error if error.args else error.__cause__
        expect_that("ACCESS_REFUSED" in repr(cause) or "403" in repr(cause), f"refused with {cause!r}")
        return
    raise AssertionError("a wrong password was accepted")


def heartbeats(scope):
    connection = scope.connect(heartbeat=1)
    connection.process_data_events(time_limit=3)
    expect_that(connection.is_open, "an idle connection was closed despite its heartbeats")
    received = connection._impl._heartbeat_checker._heartbeat_frames_received
    expect_that(received >= 1, "no heartbeat came from the broker")


def mandatory_return(scope):
    channel = scope.channel()
    channel.confirm_delivery()
    exchange = scope.exchange(channel, "no_bindings", "direct")
    try:
        channel.basic_publish(exchange, "nowhere", b"lost", pika.BasicProperties(message_id="m"), mandatory=True)
    except UnroutableError as error:
        (returned,) = error.messages
        expect((returned.method.reply_code, returned.method.reply_text), (312, "NO_ROUTE"))
        expect((returned.body, returned.properties.message_id), (b"lost", "m"))
    else:
        raise AssertionError("an unroutable mandatory message was not returned")
    channel.basic_publish(exchange, "nowhere", b"not mandatory")


def confirm_nack(scope):
    channel = scope.channel()
    channel.confirm_delivery()
    queue = scope.queue(channel, "full", {"x-max-length": 1, "x-overflow": "reject-publish"})
    channel.basic_publish("", queue, b"fits")
    try:
        channel.basic_publish("", queue, b"too much")
    except NackError:
        pass
    else:
        raise AssertionError("a full queue with reject-publish confirmed a message")
    expect(bodies(take(channel, queue, 1)), [b"fits"])


def prefetch(scope):
    connection = scope.connect()
    channel = connection.channel()
    queue = scope.queue(channel, "prefetch")
    for number in range(10):
        channel.basic_publish("", queue, str(number).encode())
    tags = []
    channel.basic_qos(prefetch_count=3)
    channel.basic_consume(queue, lambda _c, method, _p, _b: tags.append(method.delivery_tag))
    while len(tags) < 3:
        connection.process_data_events(time_limit=1)
    connection.process_data_events(time_limit=0.3)
    expect(tags, [1, 2, 3], "deliveries before an ack")
    channel.basic_ack(2, multiple=True)
    while len(tags) < 5:
        connection.process_data_events(time_limit=1)
    connection.process_data_events(time_limit=0.3)
    expect(tags, [1, 2, 3, 4, 5], "deliveries after two acks")


def requeue_redelivers(scope):
    channel = scope.channel()
    queue = scope.queue(channel, "requeue")
    for body in (b"first", b"second"):
        channel.basic_publish("", queue, body)
    method, _, _ = channel.basic_get(queue)
    expect(method.redelivered, False, "redelivered")
    channel.basic_nack(method.delivery_tag, requeue=True)
    again = take(channel, queue, 2)
    expect([(body, method.redelivered) for method, _, body in again], [(b"first", True), (b"second", False)])


def dead_letter_rejected(scope):
    channel = scope.channel()
    exchange = scope.exchange(channel, "dlx", "direct")
    dead = scope.queue(channel, "dead")
    channel.queue_bind(dead, exchange, "rejected-here")
    queue = scope.queue(
        channel, "source", {"x-dead-letter-exchange": exchange, "x-dead-letter-routing-key": "rejected-here"}
    )
    channel.basic_publish("", queue, b"bad", pika.BasicProperties(headers={"kept": "yes"}))
    method, _, _ = channel.basic_get(queue)
    channel.basic_nack(method.delivery_tag, requeue=False)
    ((method, properties, body),) = take(channel, dead, 1)
    expect((method.exchange, method.routing_key, body), (exchange, "rejected-here", b"bad"))
    headers = properties.headers
    (death,) = headers["x-death"]
    expect_that(isinstance(death.pop("time"), datetime.datetime), "x-death has no time")
    expect(
        death, {"count": 1, "reason": "rejected", "queue": queue, "exchange": "", "routing-keys": [queue]}, "x-death"
    )
    for which in ("first", "last"):
        expect(headers[f"x-{which}-death-queue"], queue)
        expect(headers[f"x-{which}-death-reason"], "rejected")
        expect(headers[f"x-{which}-death-exchange"], "")
    expect(headers["kept"], "yes")


def delayed_retries(scope):
    """What comes back waits, for longer each time that it failed, and others are there meanwhile."""
    channel = scope.channel()
    queue = scope.queue(
        channel,
        "retrying",
        {"x-queue-type": "quorum", "x-delayed-retry-type": "all", "x-delayed-retry-min": 200, "x-delayed-retry-max": 60000},
    )

    def get():
        """pika's consumers give back what they were sent in advance, which is no failure here: so this one gets."""
        found = {}

        def ready():
            found["message"] = channel.basic_get(queue)
            return found["message"][0]

        wait_until(ready, f"a message in {queue}")
        return found["message"]

    def back(method, how):
        how(method.delivery_tag, requeue=True)
        return time.monotonic()

    for body in (b"first", b"second"):
        channel.basic_publish("", queue, body, PERSISTENT)
    method, _, body = get()
    expect(body, b"first")
    since = back(method, channel.basic_nack)
    method, _, body = get()
    expect(body, b"second", "message while the first one waits")
    channel.basic_ack(method.delivery_tag)
    for how, least in ((channel.basic_reject, 0.2), (channel.basic_reject, 0.2), (channel.basic_nack, 0.4)):
        method, _, body = get()
        expect((body, method.redelivered), (b"first", True))
        expect_that(time.monotonic() - since >= least - 0.01, f"it came back before {least} s")
        since = back(method, how)
    method, properties, _ = get()
    expect_that(time.monotonic() - since >= 0.39, "it came back before 0.4 s")
    expect(properties.headers["x-delivery-count"], 2, "failures")
    channel.basic_ack(method.delivery_tag)


def channel_recovery(scope):
    connection = scope.connect()
    channel = connection.channel()
    missing = scope.name("missing")
    try:
        channel.queue_declare(missing, passive=True)
    except ChannelClosedByBroker as error:
        expect((error.reply_code, error.reply_text), (404, f"NOT_FOUND - no queue '{missing}' in vhost '/'"))
    else:
        raise AssertionError("a passive declare found a queue that does not exist")
    expect_that(channel.is_closed and connection.is_open, "the error should close the channel and nothing else")
    channel = connection.channel()
    queue = scope.queue(channel, "after")
    channel.basic_publish("", queue, b"still here")
    expect(bodies(take(channel, queue, 1)), [b"still here"])


def connection_recovery(scope):
    connection = scope.connect()
    channel = connection.channel()
    queue = scope.queue(channel, "survivor")
    channel.confirm_delivery()
    channel.basic_publish("", queue, b"kept", PERSISTENT)
    method, _, _ = channel.basic_get(queue)
    expect(method.redelivered, False, "redelivered")
    try:
        channel.basic_qos(prefetch_size=1)
    except ConnectionClosedByBroker as error:
        expect(error.reply_code, 540, "reply code")
        expect_that(error.reply_text.startswith("NOT_IMPLEMENTED"), error.reply_text)
    else:
        raise AssertionError("prefetch_size was accepted")
    expect_that(connection.is_closed, "the connection should be closed")
    ((method, _, body),) = take(scope.channel(), queue, 1)
    expect((body, method.redelivered), (b"kept", True))


def direct_reply_to(scope):
    connection = scope.connect()
    server, client = connection.channel(), scope.connect().channel()
    requests = scope.queue(server, "requests")
    answers = []
    client.basic_consume(
        DIRECT_REPLY_TO, lambda _c, _m, properties, body: answers.append((properties.correlation_id, body)), auto_ack=True
    )
    properties = pika.BasicProperties(reply_to=DIRECT_REPLY_TO, correlation_id="c-1")
    client.basic_publish("", requests, b"ping", properties)
    ((_, properties, body),) = take(server, requests, 1)
    expect_that(properties.reply_to.startswith(DIRECT_REPLY_TO + "."), f"reply_to is {properties.reply_to}")
    server.basic_publish("", properties.reply_to, body + b" pong", pika.BasicProperties(correlation_id="c-1"))
    while not answers:
        client.connection.process_data_events(time_limit=1)
    expect(answers, [("c-1", b"ping pong")])


def large_message(scope):
    channel = scope.channel()
    channel.confirm_delivery()
    queue = scope.queue(channel, "large")
    body = os.urandom(1024 * 1024)
    channel.basic_publish("", queue, body, PERSISTENT)
    channel.basic_publish("", queue, b"", PERSISTENT)
    (_, _, received), (_, _, empty) = take(channel, queue, 2)
    expect(hashlib.sha256(received).hexdigest(), hashlib.sha256(body).hexdigest(), "digest of 1 MiB")
    expect(empty, b"")


def transaction(scope):
    channel, other = scope.channel(), scope.channel()
    queue = scope.queue(channel, "tx")
    channel.tx_select()
    channel.basic_publish("", queue, b"rolled back")
    channel.tx_rollback()
    channel.basic_publish("", queue, b"committed")
    nothing_in(other, queue)
    channel.tx_commit()
    method, _, body = channel.basic_get(queue)
    expect(body, b"committed")
    channel.basic_ack(method.delivery_tag)
    channel.tx_rollback()
    channel.basic_ack(method.delivery_tag)
    channel.tx_commit()
    channel.close()
    expect(other.queue_declare(queue, passive=True).method.message_count, 0, "messages left")


def headers_exchange(scope):
    channel = scope.channel()
    exchange = scope.exchange(channel, "headers", "headers")
    both, either = temporary_queue(channel), temporary_queue(channel)
    wanted = {"format": "pdf", "pages": 3}
    channel.queue_bind(both, exchange, "", {**wanted, "x-match": "all"})
    channel.queue_bind(either, exchange, "", {**wanted, "x-match": "any"})
    for headers, body in (
        ({"format": "pdf", "pages": 3}, b"both"),
        ({"format": "pdf", "pages": 4}, b"format"),
        ({"format": "zip", "pages": 4}, b"none"),
    ):
        channel.basic_publish(exchange, "ignored", body, pika.BasicProperties(headers=headers))
    expect(bodies(take(channel, both, 1)), [b"both"])
    expect(bodies(take(channel, either, 2)), [b"both", b"format"])
    nothing_in(channel, both)


def exchange_binding(scope):
    channel = scope.channel()
    source, destination = scope.exchange(channel, "source", "topic"), scope.exchange(channel, "destination", "fanout")
    queue = temporary_queue(channel)
    channel.queue_bind(queue, destination)
    channel.exchange_bind(destination, source, "a.#")
    channel.basic_publish(source, "a.b", b"through")
    channel.basic_publish(source, "b.a", b"not")
    expect(bodies(take(channel, queue, 1)), [b"through"])
    channel.exchange_unbind(destination, source, "a.#")
    channel.basic_publish(source, "a.b", b"unbound")
    nothing_in(channel, queue)


def alternate_exchange(scope):
    channel = scope.channel()
    spare = scope.exchange(channel, "spare", "fanout")
    exchange = scope.exchange(channel, "main", "direct", arguments={"alternate-exchange": spare})
    queue = temporary_queue(channel)
    channel.queue_bind(queue, spare)
    channel.basic_publish(exchange, "unbound", b"caught")
    expect(bodies(take(channel, queue, 1)), [b"caught"])


def ttl_dead_letter(scope):
    channel = scope.channel()
    dead = scope.queue(channel, "dead")
    source = scope.queue(
        channel,
        "ttl",
        {"x-message-ttl": 100, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead},
    )
    channel.basic_publish("", source, b"by queue")
    channel.basic_publish("", source, b"by message", pika.BasicProperties(expiration="50"))
    died = {}
    for method, properties, body in take(channel, dead, 2):
        (death,) = properties.headers["x-death"]
        expect((death["reason"], death["queue"], death["count"]), ("expired", source, 1))
        expect(properties.expiration, None, "expiration after death")
        died[body] = death.get("original-expiration")
    expect(died, {b"by queue": None, b"by message": "50"}, "original-expiration")
    nothing_in(channel, source)


def priority_queue(scope):
    channel = scope.channel()
    queue = scope.queue(channel, "priority", {"x-max-priority": 10})
    channel.confirm_delivery()
    for priority in (1, 5, None, 10, 5, 200):
        channel.basic_publish("", queue, str(priority).encode(), pika.BasicProperties(priority=priority))
    expect(bodies(take(channel, queue, 6)), [b"10", b"200", b"5", b"5", b"1", b"None"])


def exclusive_queue(scope):
    owner, other = scope.channel(), scope.channel()
    queue = scope.name("exclusive")
    owner.queue_declare(queue, exclusive=True)
    try:
        other.queue_declare(queue, passive=True)
    except ChannelClosedByBroker as error:
        expect(error.reply_code, 405, "reply code")
        expect_that(error.reply_text.startswith("RESOURCE_LOCKED - cannot obtain exclusive access"), error.reply_text)
    else:
        raise AssertionError("another connection could see an exclusive queue")
    owner.connection.close()
    channel = scope.channel()
    try:
        channel.queue_declare(queue, passive=True)
    except ChannelClosedByBroker as error:
        expect(error.reply_code, 404, "reply code once its connection closed")
    else:
        raise AssertionError("an exclusive queue outlived its connection")


def inequivalent_declare(scope):
    channel = scope.channel()
    queue = scope.queue(channel, "declared", {"x-max-length": 5})
    scope.queue(channel, "declared", {"x-max-length": 5})
    try:
        channel.queue_declare(queue, durable=True, arguments={"x-max-length": 6})
    except ChannelClosedByBroker as error:
        expect(error.reply_code, 406, "reply code")
        expect_that("inequivalent arg 'x-max-length' for queue" in error.reply_text, error.reply_text)
    else:
        raise AssertionError("a declaration with other arguments was accepted")


def consumer_cancel_notify(scope):
    connection = scope.connect()
    channel = connection.channel()
    queue = scope.queue(channel, "doomed")
    cancelled = []
    channel.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
    tag = channel.basic_consume(queue, lambda *_: None)
    scope.channel().queue_delete(queue)
    while not cancelled:
        connection.process_data_events(time_limit=1)
    expect(cancelled, [tag])


def properties_round_trip(scope):
    channel = scope.channel()
    queue = scope.queue(channel, "properties")
    sent = {
        "content_type": "application/json",
        "content_encoding": "gzip",
        "headers": {
            "text": "grüße",
            "bytes": b"\x00\xff",
            "true": True,
            "small": -7,
            "large": 2**40,
            "decimal": decimal.Decimal("3.14"),
            "when": datetime.datetime(2024, 2, 29, 12, 0, tzinfo=datetime.timezone.utc),
            "nothing": None,
            "table": {"deep": {"deeper": [1, "two", None]}},
            "array": [True, "x", {"y": 1}],
            "empty": {},
        },
        "delivery_mode": 2,
        "priority": 9,
        "correlation_id": "correlation",
        "reply_to": "reply",
        "expiration": "60000",
        "message_id": "id",
        "timestamp": 1700000000,
        "type": "kind",
        "user_id": pika.URLParameters(URI).credentials.username,
        "app_id": "app",
        "cluster_id": "cluster",
    }
    channel.basic_publish("", queue, b"x", pika.BasicProperties(**sent))
    ((_, properties, _),) = take(channel, queue, 1)
    when = properties.headers["when"]
    if when.tzinfo is None:
        properties.headers["when"] = when.replace(tzinfo=datetime.timezone.utc)
    for name, value in sent.items():
        expect(getattr(properties, name), value, name)


def concurrent_connections(scope):
    queue = scope.queue(scope.channel(), "shared")

    def publish(number):
        channel = scope.channel()
        channel.confirm_delivery()
        for sequence in range(50):
            channel.basic_publish("", queue, f"{number}:{sequence}".encode(), PERSISTENT)

    publishers = [threading.Thread(target=publish, args=(number,), daemon=True) for number in range(4)]
    for publisher in publishers:
        publisher.start()
    received = bodies(take(scope.channel(), queue, 200))
    for publisher in publishers:
        publisher.join()
    for number in range(4):
        mine = [body for body in received if body.startswith(f"{number}:".encode())]
        expect(mine, [f"{number}:{sequence}".encode() for sequence in range(50)], f"order of publisher {number}")


run_checks(
    [
        hello_world,
        work_queues,
        publish_subscribe,
        routing,
        topics,
        rpc,
        publisher_confirms,
        connect_properties,
        wrong_password,
        heartbeats,
        mandatory_return,
        confirm_nack,
        prefetch,
        requeue_redelivers,
        dead_letter_rejected,
        delayed_retries,
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
        consumer_cancel_notify,
        properties_round_trip,
        concurrent_connections,
    ],
    Scope,
)
