"""aio-pika: the tutorials' flows, the broker's promises, and the robust connection that puts everything back."""

import asyncio
import datetime
import decimal
import os
import sys

import aio_pika
import aiormq
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed, DeliveryError, PublishError
from aio_pika.patterns import RPC, Master

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "shared"))
from checks import expect, expect_that, run_checks, token  # noqa: E402

URI = sys.argv[1]
DIRECT_REPLY_TO = "amq.rabbitmq.reply-to"
PATIENCE = 10


class Scope:
    """The connections of one check, and the names it declared."""

    def __init__(self):
        self._run = token()
        self._connections = []
        self._queues = []
        self._exchanges = []

    async def connect(self, robust=False, **settings):
        connect = aio_pika.connect_robust if robust else aio_pika.connect
        connection = await connect(f"{URI}?heartbeat=30", **settings)
        self._connections.append(connection)
        return connection

    async def channel(self, **settings):
        return await (await self.connect()).channel(**settings)

    def name(self, suffix):
        return f"aio-pika.{self._run}.{suffix}"

    async def queue(self, channel, suffix, **settings):
        name = self.name(suffix)
        self._queues.append(name)
        return await channel.declare_queue(name, durable=True, **settings)

    async def exchange(self, channel, suffix, kind, **settings):
        name = self.name(suffix)
        self._exchanges.append(name)
        return await channel.declare_exchange(name, kind, durable=True, **settings)

    def remove_later(self, queue):
        self._queues.append(queue)

    async def close(self):
        for connection in self._connections:
            await connection.close()
        async with await aio_pika.connect(URI) as connection:
            channel = await connection.channel()
            for name in self._queues:
                await channel.queue_delete(name)
            for name in self._exchanges:
                await channel.exchange_delete(name)


async def take(queue, count, seconds=PATIENCE):
    """The next `count` messages, acknowledged."""
    messages = []
    async with queue.iterator(timeout=seconds) as deliveries:
        async for message in deliveries:
            await message.ack()
            messages.append(message)
            if len(messages) == count:
                break
    return messages


def bodies(messages):
    return [message.body for message in messages]


async def expect_empty(queue):
    message = await queue.get(no_ack=True, fail=False)
    expect_that(message is None, f"{queue.name} should be empty")


async def hello_world(scope):
    channel = await scope.channel()
    queue = await scope.queue(channel, "hello", arguments={"x-queue-type": "quorum"})
    await channel.default_exchange.publish(Message(b"Hello World!"), queue.name)
    other = await (await scope.channel()).get_queue(queue.name)
    expect(bodies(await take(other, 1)), [b"Hello World!"])


async def work_queues(scope):
    channel = await scope.channel()
    name = (await scope.queue(channel, "task_queue")).name
    tasks = [f"task {number}".encode() for number in range(20)]
    done = {1: [], 2: []}
    finished = asyncio.Event()

    async def work(message, worker):
        async with message.process():
            await asyncio.sleep(0.005)
            done[worker].append(message.body)
            if sum(map(len, done.values())) == len(tasks):
                finished.set()

    for worker in done:
        own = await scope.channel()
        await own.set_qos(prefetch_count=1)
        await (await own.get_queue(name)).consume(lambda message, worker=worker: work(message, worker))
    for task in tasks:
        await channel.default_exchange.publish(Message(task, delivery_mode=DeliveryMode.PERSISTENT), name)
    await asyncio.wait_for(finished.wait(), PATIENCE)
    expect(sorted(done[1] + done[2]), sorted(tasks))
    expect_that(done[1] and done[2], "one worker got every task")


async def publish_subscribe(scope):
    channel = await scope.channel()
    exchange = await scope.exchange(channel, "logs", ExchangeType.FANOUT)
    queues = [await channel.declare_queue(exclusive=True) for _ in range(2)]
    for queue in queues:
        await queue.bind(exchange)
    await exchange.publish(Message(b"info"), "")
    for queue in queues:
        expect(bodies(await take(queue, 1)), [b"info"])


async def routing(scope):
    channel = await scope.channel()
    exchange = await scope.exchange(channel, "direct_logs", ExchangeType.DIRECT)
    errors = await channel.declare_queue(exclusive=True)
    await errors.bind(exchange, "error")
    for severity in ("info", "error"):
        await exchange.publish(Message(severity.encode()), severity, mandatory=False)
    expect(bodies(await take(errors, 1)), [b"error"])


async def topics(scope):
    channel = await scope.channel()
    exchange = await scope.exchange(channel, "topic_logs", ExchangeType.TOPIC)
    queues = {}
    for pattern in ("#", "kern.*", "*.critical"):
        queues[pattern] = await channel.declare_queue(exclusive=True)
        await queues[pattern].bind(exchange, pattern)
    for key in ("kern.critical", "auth.critical", "kern.info.disk"):
        await exchange.publish(Message(key.encode()), key)
    expect(bodies(await take(queues["#"], 3)), [b"kern.critical", b"auth.critical", b"kern.info.disk"])
    expect(bodies(await take(queues["kern.*"], 1)), [b"kern.critical"])
    expect(bodies(await take(queues["*.critical"], 2)), [b"kern.critical", b"auth.critical"])
    for queue in queues.values():
        await expect_empty(queue)


async def rpc_pattern(scope):
    channel = await scope.channel()
    rpc = await RPC.create(channel)
    method = scope.name("multiply")

    async def multiply(*, x, y):
        return x * y

    async def divide(*, x, y):
        return x / y

    await rpc.register(method, multiply, auto_delete=True)
    await rpc.register(method + ".divide", divide, auto_delete=True)
    expect(await rpc.call(method, kwargs={"x": 6, "y": 7}), 42)
    try:
        await rpc.call(method + ".divide", kwargs={"x": 1, "y": 0})
    except ZeroDivisionError:
        pass
    else:
        raise AssertionError("the caller did not see the callee's error")
    # An answer that never comes: the request expires and comes back as a dead letter of the headers exchange.
    await rpc.unregister(multiply)
    await rpc.unregister(divide)
    silent = await channel.declare_queue(method, auto_delete=True, exclusive=True, arguments={"x-dead-letter-exchange": RPC.DLX_NAME})
    try:
        await rpc.call(silent.name, kwargs={}, expiration=0.1)
    except asyncio.TimeoutError:
        pass
    else:
        raise AssertionError("a call without an answer did not time out")
    await rpc.close()


async def master_pattern(scope):
    channel = await scope.channel()
    master = Master(channel)
    results = asyncio.Queue()

    async def work(*, task_id):
        results.put_nowait(task_id)

    name = scope.name("worker")
    scope.remove_later(name)
    worker = await master.create_worker(name, work, durable=True)
    for task_id in range(10):
        await master.create_task(name, {"task_id": task_id})
    expect([await asyncio.wait_for(results.get(), PATIENCE) for _ in range(10)], list(range(10)))
    await worker.close()


async def connect_properties(scope):
    connection = await scope.connect(client_properties={"connection_name": scope.name("connection"), "answer": 42})
    transport = connection.transport.connection
    server = transport.server_properties
    expect(server["product"], "RabbitMQ", "product")
    for capability in ("publisher_confirms", "basic.nack", "consumer_cancel_notify", "direct_reply_to"):
        expect(server["capabilities"].get(capability), True, capability)
    expect(transport.connection_tune.heartbeat, 30, "heartbeat")


async def mandatory_return(scope):
    channel = await scope.channel(publisher_confirms=True, on_return_raises=True)
    exchange = await scope.exchange(channel, "no_bindings", ExchangeType.DIRECT)
    try:
        await exchange.publish(Message(b"lost", message_id="m"), "nowhere", mandatory=True)
    except PublishError as error:
        expect((error.message.delivery.reply_code, error.message.delivery.reply_text), (312, "NO_ROUTE"))
        expect(error.message.body, b"lost")
    else:
        raise AssertionError("an unroutable mandatory message was not returned")


async def confirm_nack(scope):
    channel = await scope.channel()
    queue = await scope.queue(channel, "full", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    await channel.default_exchange.publish(Message(b"fits"), queue.name)
    try:
        await channel.default_exchange.publish(Message(b"too much"), queue.name)
    except DeliveryError:
        pass
    else:
        raise AssertionError("a full queue with reject-publish confirmed a message")
    expect(bodies(await take(queue, 1)), [b"fits"])


async def prefetch(scope):
    channel = await scope.channel()
    await channel.set_qos(prefetch_count=3)
    queue = await scope.queue(channel, "prefetch")
    for number in range(10):
        await channel.default_exchange.publish(Message(str(number).encode()), queue.name)
    received = asyncio.Queue()
    await queue.consume(received.put)
    messages = [await asyncio.wait_for(received.get(), PATIENCE) for _ in range(3)]
    await asyncio.sleep(0.2)
    expect(received.qsize(), 0, "deliveries beyond the prefetch")
    await messages[1].ack(multiple=True)
    tags = [(await asyncio.wait_for(received.get(), PATIENCE)).delivery_tag for _ in range(2)]
    await asyncio.sleep(0.2)
    expect((tags, received.qsize()), ([4, 5], 0), "deliveries after two acks")


async def dead_letter_rejected(scope):
    channel = await scope.channel()
    exchange = await scope.exchange(channel, "dlx", ExchangeType.FANOUT)
    dead = await scope.queue(channel, "dead")
    await dead.bind(exchange)
    queue = await scope.queue(channel, "source", arguments={"x-dead-letter-exchange": exchange.name})
    await channel.default_exchange.publish(Message(b"bad"), queue.name)
    await (await queue.get()).reject(requeue=False)
    (message,) = await take(dead, 1)
    (death,) = message.headers["x-death"]
    expect((death["count"], death["reason"], death["queue"], death["exchange"], death["routing-keys"]),
           (1, "rejected", queue.name, "", [queue.name]), "x-death")
    expect(message.headers["x-first-death-queue"], queue.name)


async def channel_recovery(scope):
    connection = await scope.connect(robust=True)
    channel = await connection.channel()
    queue = await scope.queue(channel, "after")
    other = await connection.channel()
    try:
        await other.declare_queue(scope.name("missing"), passive=True)
    except ChannelNotFoundEntity as error:
        expect_that(f"NOT_FOUND - no queue '{scope.name('missing')}' in vhost '/'" in str(error), str(error))
    else:
        raise AssertionError("a passive declare found a queue that does not exist")
    await channel.default_exchange.publish(Message(b"still here"), queue.name)
    expect(bodies(await take(queue, 1)), [b"still here"])


async def robust_connection(scope):
    connection = await scope.connect(robust=True, reconnect_interval=0.1)
    back = asyncio.Event()
    connection.reconnect_callbacks.add(lambda *_: back.set())
    channel = await connection.channel()
    exchange = await scope.exchange(channel, "topology", ExchangeType.DIRECT)
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(exchange, "key")
    received = asyncio.Queue()
    await queue.consume(received.put)
    durable = await scope.queue(channel, "survivor")
    await channel.default_exchange.publish(Message(b"kept", delivery_mode=DeliveryMode.PERSISTENT), durable.name)
    # Through the channel below the robust one, which would else remember the setting and ask for it again.
    underlay = await (await connection.channel()).get_underlay_channel()
    try:
        await underlay.basic_qos(prefetch_size=1)
    except aiormq.exceptions.AMQPError as error:
        expect_that("NOT_IMPLEMENTED" in repr(error), f"closed with {error!r}")
    else:
        raise AssertionError("prefetch_size was accepted")
    await asyncio.wait_for(back.wait(), PATIENCE)
    sender = await scope.channel()
    for _ in range(100):
        try:
            await (await sender.get_exchange(exchange.name)).publish(Message(b"again"), "key", mandatory=True)
            break
        except PublishError:
            await asyncio.sleep(0.05)
    message = await asyncio.wait_for(received.get(), PATIENCE)
    expect(message.body, b"again", "message to the restored consumer")
    expect(bodies(await take(await sender.get_queue(durable.name), 1)), [b"kept"])


async def direct_reply_to(scope):
    server, client = await scope.channel(), await scope.channel()
    requests = await scope.queue(server, "requests")
    pseudo = await client.get_queue(DIRECT_REPLY_TO, ensure=False)
    answers = asyncio.Queue()
    await pseudo.consume(answers.put, no_ack=True)
    await client.default_exchange.publish(Message(b"ping", reply_to=DIRECT_REPLY_TO, correlation_id="c-1"), requests.name)
    (request,) = await take(requests, 1)
    await server.default_exchange.publish(Message(b"pong", correlation_id=request.correlation_id), request.reply_to)
    answer = await asyncio.wait_for(answers.get(), PATIENCE)
    expect((answer.body, answer.correlation_id), (b"pong", "c-1"))


async def large_message(scope):
    channel = await scope.channel()
    queue = await scope.queue(channel, "large")
    body = os.urandom(1024 * 1024)
    await channel.default_exchange.publish(Message(body, delivery_mode=DeliveryMode.PERSISTENT), queue.name)
    await channel.default_exchange.publish(Message(b""), queue.name)
    large, empty = await take(queue, 2)
    expect_that(large.body == body, "the body of 1 MiB changed")
    expect(empty.body, b"")


async def transaction(scope):
    channel = await scope.channel(publisher_confirms=False)
    other = await scope.channel()
    queue = await scope.queue(channel, "tx")
    seen = await other.get_queue(queue.name)
    transaction = channel.transaction()
    await transaction.select()
    await channel.default_exchange.publish(Message(b"rolled back"), queue.name)
    await transaction.rollback()
    await channel.default_exchange.publish(Message(b"committed"), queue.name)
    await expect_empty(seen)
    await transaction.commit()
    expect((await seen.get(no_ack=True)).body, b"committed")
    await expect_empty(seen)


async def headers_exchange(scope):
    channel = await scope.channel()
    exchange = await scope.exchange(channel, "headers", ExchangeType.HEADERS)
    both = await channel.declare_queue(exclusive=True)
    await both.bind(exchange, arguments={"x-match": "all", "format": "pdf", "pages": 3})
    for headers, body in (({"format": "pdf", "pages": 4}, b"one"), ({"format": "pdf", "pages": 3}, b"both")):
        await exchange.publish(Message(body, headers=headers), "", mandatory=False)
    expect(bodies(await take(both, 1)), [b"both"])


async def exchange_binding(scope):
    channel = await scope.channel()
    source = await scope.exchange(channel, "source", ExchangeType.TOPIC)
    destination = await scope.exchange(channel, "destination", ExchangeType.FANOUT)
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(destination)
    await destination.bind(source, "a.#")
    await source.publish(Message(b"through"), "a.b")
    await destination.unbind(source, "a.#")
    await source.publish(Message(b"unbound"), "a.b", mandatory=False)
    expect(bodies(await take(queue, 1)), [b"through"])
    await expect_empty(queue)


async def ttl_dead_letter(scope):
    channel = await scope.channel()
    dead = await scope.queue(channel, "dead")
    queue = await scope.queue(
        channel, "ttl", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead.name}
    )
    await channel.default_exchange.publish(Message(b"late", expiration=0.05), queue.name)
    (message,) = await take(dead, 1)
    (death,) = message.headers["x-death"]
    expect((death["reason"], death["original-expiration"]), ("expired", "50"))


async def priority_queue(scope):
    channel = await scope.channel()
    queue = await scope.queue(channel, "priority", arguments={"x-max-priority": 10})
    for priority in (1, 5, 0, 10, 5, 200):
        await channel.default_exchange.publish(Message(str(priority).encode(), priority=priority), queue.name)
    expect(bodies(await take(queue, 6)), [b"10", b"200", b"5", b"5", b"1", b"0"])


async def exclusive_queue(scope):
    queue = await (await scope.channel()).declare_queue(scope.name("exclusive"), exclusive=True)
    try:
        await (await scope.channel()).declare_queue(queue.name, passive=True)
    except aiormq.exceptions.ChannelLockedResource as error:
        expect_that("RESOURCE_LOCKED" in str(error), str(error))
    else:
        raise AssertionError("another connection could see an exclusive queue")


async def inequivalent_declare(scope):
    channel = await scope.channel()
    await scope.queue(channel, "declared", arguments={"x-max-length": 5})
    try:
        await scope.queue(channel, "declared", arguments={"x-max-length": 6})
    except ChannelPreconditionFailed as error:
        expect_that("inequivalent arg 'x-max-length'" in str(error), str(error))
    else:
        raise AssertionError("a declaration with other arguments was accepted")


async def properties_round_trip(scope):
    channel = await scope.channel()
    queue = await scope.queue(channel, "properties")
    when = datetime.datetime(2024, 2, 29, 12, 0, tzinfo=datetime.timezone.utc)
    sent = Message(
        b"x",
        headers={
            "text": "grüße",
            "true": True,
            "int": -7,
            "long": 2**40,
            "decimal": decimal.Decimal("3.14"),
            "when": when,
            "nothing": None,
            "table": {"deep": {"list": [1, "two", None]}},
        },
        content_type="application/json",
        content_encoding="gzip",
        delivery_mode=DeliveryMode.PERSISTENT,
        priority=9,
        correlation_id="correlation",
        reply_to="reply",
        expiration=60,
        message_id="id",
        timestamp=when,
        type="kind",
        app_id="app",
    )
    await channel.default_exchange.publish(sent, queue.name)
    (received,) = await take(queue, 1)
    for name in ("headers", "content_type", "content_encoding", "delivery_mode", "priority", "correlation_id", "reply_to",
                 "expiration", "message_id", "timestamp", "type", "app_id"):
        expect(getattr(received, name), getattr(sent, name), name)


run_checks(
    [
        hello_world,
        work_queues,
        publish_subscribe,
        routing,
        topics,
        rpc_pattern,
        master_pattern,
        connect_properties,
        mandatory_return,
        confirm_nack,
        prefetch,
        dead_letter_rejected,
        channel_recovery,
        robust_connection,
        direct_reply_to,
        large_message,
        transaction,
        headers_exchange,
        exchange_binding,
        ttl_dead_letter,
        priority_queue,
        exclusive_queue,
        inequivalent_declare,
        properties_round_trip,
    ],
    Scope,
)
