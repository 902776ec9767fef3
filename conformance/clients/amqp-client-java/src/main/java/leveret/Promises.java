package leveret;

import static leveret.Checks.expect;
import static leveret.Checks.expectThat;
import static leveret.Checks.next;
import static leveret.Checks.waitUntil;
import static leveret.Scope.bytes;
import static leveret.Scope.consume;
import static leveret.Scope.expectClose;
import static leveret.Scope.expectEmpty;
import static leveret.Scope.properties;
import static leveret.Scope.publish;
import static leveret.Scope.take;
import static leveret.Scope.temporaryQueue;
import static leveret.Scope.text;
import static leveret.Scope.texts;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.BasicProperties;
import com.rabbitmq.client.LongString;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.Recoverable;
import com.rabbitmq.client.RecoveryListener;
import com.rabbitmq.client.RpcClient;
import com.rabbitmq.client.RpcClientParams;
import com.rabbitmq.client.RpcServer;
import com.rabbitmq.client.ShutdownSignalException;
import com.rabbitmq.client.impl.LongStringHelper;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.LinkedBlockingQueue;

/** What applications rely on beyond the tutorials: settling, errors and recovery, limits, and messages unchanged. */
final class Promises {
    private Promises() {}

    static void addTo(Checks<Scope> checks) {
        checks.add("connect_properties", Promises::connectProperties);
        checks.add("wrong_password", Promises::wrongPassword);
        checks.add("mandatory_return", Promises::mandatoryReturn);
        checks.add("confirm_nack", Promises::confirmNack);
        checks.add("prefetch", Promises::prefetch);
        checks.add("requeue_redelivers", Promises::requeueRedelivers);
        checks.add("dead_letter_rejected", Promises::deadLetterRejected);
        checks.add("channel_recovery", Promises::channelRecovery);
        checks.add("connection_recovery", Promises::connectionRecovery);
        checks.add("automatic_recovery", Promises::automaticRecovery);
        checks.add("direct_reply_to", Promises::directReplyTo);
        checks.add("large_message", Promises::largeMessage);
        checks.add("transaction", Promises::transaction);
        checks.add("headers_exchange", Promises::headersExchange);
        checks.add("exchange_binding", Promises::exchangeBinding);
        checks.add("alternate_exchange", Promises::alternateExchange);
        checks.add("ttl_dead_letter", Promises::ttlDeadLetter);
        checks.add("priority_queue", Promises::priorityQueue);
        checks.add("exclusive_queue", Promises::exclusiveQueue);
        checks.add("exclusive_consumer", Promises::exclusiveConsumer);
        checks.add("inequivalent_declare", Promises::inequivalentDeclare);
        checks.add("consumer_cancel_notify", Promises::consumerCancelNotify);
        checks.add("basic_recover", Promises::basicRecover);
        checks.add("properties_round_trip", Promises::propertiesRoundTrip);
    }

    private static void connectProperties(Scope scope) throws Exception {
        var factory = scope.factory();
        factory.setRequestedHeartbeat(7);
        factory.setRequestedFrameMax(16384);
        factory.setRequestedChannelMax(20);
        var own = new HashMap<>(factory.getClientProperties());
        own.put("answer", 42);
        factory.setClientProperties(own);
        var connection = scope.connect(factory);
        expect(List.of(connection.getHeartbeat(), connection.getFrameMax(), connection.getChannelMax()),
                List.of(7, 16384, 20), "heartbeat, frame max, channel max");
        var server = connection.getServerProperties();
        expect(server.get("product").toString(), "RabbitMQ", "product");
        var capabilities = (Map<?, ?>) server.get("capabilities");
        for (var name : List.of("publisher_confirms", "exchange_exchange_bindings", "basic.nack",
                "consumer_cancel_notify", "connection.blocked", "consumer_priorities",
                "authentication_failure_close", "per_consumer_qos", "direct_reply_to")) {
            expect(capabilities.get(name), true, name);
        }
    }

    private static void wrongPassword(Scope scope) throws Exception {
        var factory = scope.factory();
        factory.setPassword("wrong");
        try {
            scope.connect(factory);
        } catch (AuthenticationFailureException refused) {
            expectThat(refused.getMessage().contains("ACCESS_REFUSED"), refused.getMessage());
            return;
        }
        throw new AssertionError("a wrong password was accepted");
    }

    private static void mandatoryReturn(Scope scope) throws Exception {
        var channel = scope.confirmChannel();
        var exchange = scope.exchange(channel, "no_bindings", "direct", null);
        var events = new LinkedBlockingQueue<String>();
        channel.addReturnListener(returned -> events.add(String.join(" ", Integer.toString(returned.getReplyCode()),
                returned.getReplyText(), returned.getRoutingKey(), new String(returned.getBody()))));
        channel.addConfirmListener((tag, multiple) -> events.add("ack"), (tag, multiple) -> events.add("nack"));
        channel.basicPublish(exchange, "nowhere", true, null, bytes("lost"));
        expect(next(events, "the return"), "312 NO_ROUTE nowhere lost", "first event");
        expect(next(events, "the confirm"), "ack", "second event");
    }

    private static void confirmNack(Scope scope) throws Exception {
        var channel = scope.confirmChannel();
        var queue = scope.queue(channel, "full", Map.of("x-max-length", 1, "x-overflow", "reject-publish"));
        publish(channel, "", queue, "fits");
        expectThat(channel.waitForConfirms(10_000), "a message that fits was refused");
        publish(channel, "", queue, "too much");
        expectThat(!channel.waitForConfirms(10_000), "a full queue with reject-publish confirmed a message");
        expect(texts(take(channel, queue, 1)), List.of("fits"), "messages");
    }

    private static void prefetch(Scope scope) throws Exception {
        var channel = scope.channel();
        var queue = scope.queue(channel, "prefetch", null);
        for (int number = 0; number < 10; number++) {
            publish(channel, "", queue, "x");
        }
        channel.basicQos(3);
        var deliveries = consume(channel, queue, false, "");
        waitUntil(() -> deliveries.size() >= 3, "three deliveries");
        Thread.sleep(200);
        expect(deliveries.size(), 3, "deliveries before an ack");
        channel.basicAck(2, true);
        waitUntil(() -> deliveries.size() >= 5, "two more deliveries");
        Thread.sleep(200);
        expect(deliveries.size(), 5, "deliveries after two acks");
    }

    private static void requeueRedelivers(Scope scope) throws Exception {
        var channel = scope.channel();
        var queue = scope.queue(channel, "requeue", null);
        publish(channel, "", queue, "first");
        publish(channel, "", queue, "second");
        var message = channel.basicGet(queue, false);
        expect(message.getEnvelope().isRedeliver(), false, "redelivered at first");
        channel.basicNack(message.getEnvelope().getDeliveryTag(), false, true);
        var again = take(channel, queue, 2);
        expect(texts(again), List.of("first", "second"), "order");
        expect(again.stream().map(one -> one.getEnvelope().isRedeliver()).toList(), List.of(true, false), "redelivered");
    }

    /** The only entry of a message's x-death, its strings plain and its time taken out. */
    private static Map<String, Object> onlyDeath(BasicProperties message) {
        var deaths = (List<?>) message.getHeaders().get("x-death");
        expect(deaths.size(), 1, "deaths");
        var death = new HashMap<String, Object>();
        ((Map<?, ?>) deaths.get(0)).forEach((key, value) -> death.put(key.toString(), plain(value)));
        expectThat(death.remove("time") instanceof Date, "x-death has no time");
        return death;
    }

    /** The value with each LongString in it turned into a String. */
    private static Object plain(Object value) {
        if (value instanceof LongString text) {
            return text.toString();
        }
        if (value instanceof List<?> list) {
            return list.stream().map(Promises::plain).collect(ArrayList::new, List::add, List::addAll);
        }
        if (value instanceof Map<?, ?> map) {
            var result = new HashMap<String, Object>();
            map.forEach((key, inner) -> result.put(key.toString(), plain(inner)));
            return result;
        }
        if (value instanceof byte[] raw) {
            return "bytes " + Arrays.toString(raw);
        }
        return value;
    }

    private static void deadLetterRejected(Scope scope) throws Exception {
        var channel = scope.channel();
        var exchange = scope.exchange(channel, "dlx", "fanout", null);
        var dead = scope.queue(channel, "dead", null);
        channel.queueBind(dead, exchange, "");
        var queue = scope.queue(channel, "source", Map.of("x-dead-letter-exchange", exchange));
        channel.basicPublish("", queue, properties().headers(Map.of("kept", "yes")).build(), bytes("bad"));
        var rejected = channel.basicGet(queue, false);
        channel.basicReject(rejected.getEnvelope().getDeliveryTag(), false);
        var died = take(channel, dead, 1).get(0);
        expect(died.getEnvelope().getRoutingKey(), queue, "routing key");
        expect(onlyDeath(died.getProperties()), Map.of("count", 1L, "reason", "rejected", "queue", queue,
                "exchange", "", "routing-keys", List.of(queue)), "x-death");
        var headers = died.getProperties().getHeaders();
        expect(headers.get("x-first-death-queue").toString(), queue, "x-first-death-queue");
        expect(headers.get("x-last-death-reason").toString(), "rejected", "x-last-death-reason");
        expect(headers.get("kept").toString(), "yes", "header of the publisher");
    }

    private static void channelRecovery(Scope scope) throws Exception {
        var connection = scope.connect();
        var broken = connection.createChannel();
        var missing = scope.name("missing");
        expectClose(404, 50, 10, "NOT_FOUND - no queue '" + missing + "' in vhost '/'",
                () -> broken.queueDeclarePassive(missing));
        expectClose(404, 40, 10, "no exchange",
                () -> connection.createChannel().exchangeDeclarePassive(missing));
        expect(List.of(broken.isOpen(), connection.isOpen()), List.of(false, true), "channel and connection open");
        var channel = connection.createChannel();
        var queue = scope.queue(channel, "after", null);
        publish(channel, "", queue, "still here");
        expect(texts(take(channel, queue, 1)), List.of("still here"), "messages");
    }

    private static void connectionRecovery(Scope scope) throws Exception {
        var connection = scope.connect();
        var channel = connection.createChannel();
        channel.confirmSelect();
        var queue = scope.queue(channel, "survivor", null);
        channel.basicPublish("", queue, MessageProperties.MINIMAL_PERSISTENT_BASIC, bytes("kept"));
        channel.waitForConfirmsOrDie(10_000);
        next(consume(channel, queue, false, ""), "the delivery");
        var closed = new LinkedBlockingQueue<ShutdownSignalException>();
        connection.addShutdownListener(closed::add);
        channel.basicPublish("", queue, false, true, null, bytes("immediate"));
        expectClose(540, 60, 40, "NOT_IMPLEMENTED - immediate=true", next(closed, "the connection error"));
        var again = take(scope.channel(), queue, 1).get(0);
        expect(text(again), "kept", "message after the reconnect");
        expect(again.getEnvelope().isRedeliver(), true, "redelivered");
    }

    private static void automaticRecovery(Scope scope) throws Exception {
        var factory = scope.factory();
        factory.setAutomaticRecoveryEnabled(true);
        factory.setTopologyRecoveryEnabled(true);
        factory.setNetworkRecoveryInterval(100);
        // By default the client takes an error of its own making as final.
        factory.setConnectionRecoveryTriggeringCondition(signal -> true);
        var connection = scope.connect(factory);
        var recovered = new LinkedBlockingQueue<Recoverable>();
        ((Recoverable) connection).addRecoveryListener(new RecoveryListener() {
            @Override
            public void handleRecovery(Recoverable recoverable) {
                recovered.add(recoverable);
            }

            @Override
            public void handleRecoveryStarted(Recoverable recoverable) {}
        });
        var channel = connection.createChannel();
        var exchange = scope.exchange(channel, "topology", "direct", null);
        var temporary = temporaryQueue(channel);
        channel.queueBind(temporary, exchange, "key");
        var deliveries = consume(channel, temporary, true, "");
        connection.createChannel().basicPublish("", temporary, false, true, null, bytes("immediate"));
        next(recovered, "the recovery");
        publish(scope.channel(), exchange, "key", "after the recovery");
        expect(text(next(deliveries, "a message to the recovered consumer")), "after the recovery", "message");
    }

    private static void directReplyTo(Scope scope) throws Exception {
        var server = scope.channel();
        var requests = scope.queue(server, "requests", null);
        var answering = new RpcServer(server, requests) {
            @Override
            public byte[] handleCall(byte[] request, AMQP.BasicProperties reply) {
                return bytes(new String(request) + " pong");
            }
        };
        var thread = new Thread(() -> {
            try {
                answering.mainloop();
            } catch (Exception ended) {
                // The check closes the connection under it.
            }
        });
        thread.setDaemon(true);
        thread.start();
        var client = new RpcClient(new RpcClientParams().channel(scope.channel()).exchange("").routingKey(requests)
                .timeout(10_000));
        expect(client.stringCall("ping"), "ping pong", "first answer");
        expect(client.stringCall("again"), "again pong", "second answer");
        client.close();
    }

    private static void largeMessage(Scope scope) throws Exception {
        var channel = scope.confirmChannel();
        var queue = scope.queue(channel, "large", null);
        var body = new byte[1 << 20];
        new Random().nextBytes(body);
        channel.basicPublish("", queue, MessageProperties.MINIMAL_PERSISTENT_BASIC, body);
        channel.basicPublish("", queue, null, new byte[0]);
        channel.waitForConfirmsOrDie(10_000);
        var received = take(channel, queue, 2);
        expectThat(Arrays.equals(received.get(0).getBody(), body), "the body of 1 MiB changed");
        expect(received.get(1).getBody().length, 0, "length of the empty body");
    }

    private static void transaction(Scope scope) throws Exception {
        var channel = scope.channel();
        var other = scope.channel();
        var queue = scope.queue(channel, "tx", null);
        channel.txSelect();
        publish(channel, "", queue, "rolled back");
        channel.txRollback();
        publish(channel, "", queue, "committed");
        expectEmpty(other, queue);
        channel.txCommit();
        var message = channel.basicGet(queue, false);
        expect(new String(message.getBody()), "committed", "message");
        channel.basicAck(message.getEnvelope().getDeliveryTag(), false);
        channel.txRollback();
        channel.basicAck(message.getEnvelope().getDeliveryTag(), false);
        channel.txCommit();
        channel.close();
        expectEmpty(other, queue);
    }

    private static void headersExchange(Scope scope) throws Exception {
        var channel = scope.channel();
        var exchange = scope.exchange(channel, "headers", "headers", null);
        var both = temporaryQueue(channel);
        var either = temporaryQueue(channel);
        channel.queueBind(both, exchange, "", Map.of("x-match", "all", "format", "pdf", "pages", 3));
        channel.queueBind(either, exchange, "", Map.of("x-match", "any", "format", "pdf", "pages", 3));
        Map<String, Map<String, Object>> messages = new LinkedHashMap<>();
        messages.put("both", Map.of("format", "pdf", "pages", 3));
        messages.put("format", Map.of("format", "pdf", "pages", 4));
        messages.put("none", Map.of("format", "zip"));
        for (var message : messages.entrySet()) {
            channel.basicPublish(exchange, "", properties().headers(message.getValue()).build(), bytes(message.getKey()));
        }
        expect(texts(take(channel, both, 1)), List.of("both"), "all");
        expect(texts(take(channel, either, 2)), List.of("both", "format"), "any");
        expectEmpty(channel, both);
    }

    private static void exchangeBinding(Scope scope) throws Exception {
        var channel = scope.channel();
        var source = scope.exchange(channel, "source", "topic", null);
        var destination = scope.exchange(channel, "destination", "fanout", null);
        var queue = temporaryQueue(channel);
        channel.queueBind(queue, destination, "");
        channel.exchangeBind(destination, source, "a.#");
        publish(channel, source, "a.b", "through");
        publish(channel, source, "b.a", "not");
        expect(texts(take(channel, queue, 1)), List.of("through"), "messages");
        channel.exchangeUnbind(destination, source, "a.#");
        publish(channel, source, "a.b", "unbound");
        expectEmpty(channel, queue);
    }

    private static void alternateExchange(Scope scope) throws Exception {
        var channel = scope.channel();
        var spare = scope.exchange(channel, "spare", "fanout", null);
        var exchange = scope.exchange(channel, "main", "direct", Map.of("alternate-exchange", spare));
        var queue = temporaryQueue(channel);
        channel.queueBind(queue, spare, "");
        publish(channel, exchange, "unbound", "caught");
        expect(texts(take(channel, queue, 1)), List.of("caught"), "messages");
    }

    private static void ttlDeadLetter(Scope scope) throws Exception {
        var channel = scope.channel();
        var dead = scope.queue(channel, "dead", null);
        var queue = scope.queue(channel, "ttl", Map.of("x-message-ttl", 100,
                "x-dead-letter-exchange", "", "x-dead-letter-routing-key", dead));
        publish(channel, "", queue, "by queue");
        channel.basicPublish("", queue, properties().expiration("50").build(), bytes("by message"));
        var originals = new HashMap<String, Object>();
        for (var message : take(channel, dead, 2)) {
            var death = onlyDeath(message.getProperties());
            expect(List.of(death.get("reason"), death.get("queue"), death.get("count")),
                    List.of("expired", queue, 1L), "x-death");
            expect(message.getProperties().getExpiration(), null, "expiration after death");
            originals.put(text(message), death.getOrDefault("original-expiration", "none"));
        }
        expect(originals, Map.of("by queue", "none", "by message", "50"), "original-expiration");
    }

    private static void priorityQueue(Scope scope) throws Exception {
        var channel = scope.confirmChannel();
        var queue = scope.queue(channel, "priority", Map.of("x-max-priority", 10));
        for (var priority : Arrays.asList(1, 5, null, 10, 5, 200)) {
            channel.basicPublish("", queue, properties().priority(priority).build(), bytes(String.valueOf(priority)));
        }
        channel.waitForConfirmsOrDie(10_000);
        expect(texts(take(channel, queue, 6)), List.of("10", "200", "5", "5", "1", "null"), "order");
    }

    private static void exclusiveQueue(Scope scope) throws Exception {
        var owner = scope.connect();
        var queue = scope.name("exclusive");
        owner.createChannel().queueDeclare(queue, false, true, false, null);
        var other = scope.connect();
        expectClose(405, 50, 10, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue",
                () -> other.createChannel().queueDeclarePassive(queue));
        owner.close();
        expectClose(404, 50, 10, "no queue", () -> other.createChannel().queueDeclarePassive(queue));
    }

    private static void exclusiveConsumer(Scope scope) throws Exception {
        var channel = scope.channel();
        var queue = scope.queue(channel, "one_consumer", null);
        channel.basicConsume(queue, true, "", false, true, null, (tag, delivery) -> {}, tag -> {});
        expectClose(403, 60, 20, "exclusive use",
                () -> scope.channel().basicConsume(queue, true, (tag, delivery) -> {}, tag -> {}));
    }

    private static void inequivalentDeclare(Scope scope) throws Exception {
        var channel = scope.channel();
        var queue = scope.queue(channel, "declared", Map.of("x-max-length", 5));
        channel.queueDeclare(queue, true, false, false, Map.of("x-max-length", 5L));
        expectClose(406, 50, 10, "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue",
                () -> channel.queueDeclare(queue, true, false, false, Map.of("x-max-length", 6)));
    }

    private static void consumerCancelNotify(Scope scope) throws Exception {
        var channel = scope.channel();
        var queue = scope.queue(channel, "doomed", null);
        var cancelled = new LinkedBlockingQueue<String>();
        channel.basicConsume(queue, true, "watcher", (tag, delivery) -> {}, cancelled::add);
        scope.channel().queueDelete(queue);
        expect(next(cancelled, "the cancellation"), "watcher", "cancelled consumer");
    }

    private static void basicRecover(Scope scope) throws Exception {
        var channel = scope.channel();
        var queue = scope.queue(channel, "recover", null);
        publish(channel, "", queue, "again");
        var deliveries = consume(channel, queue, false, "");
        expect(next(deliveries, "the delivery").getEnvelope().isRedeliver(), false, "redelivered at first");
        channel.basicRecover(true);
        expect(next(deliveries, "the redelivery").getEnvelope().isRedeliver(), true, "redelivered");
    }

    private static void propertiesRoundTrip(Scope scope) throws Exception {
        var channel = scope.channel();
        var queue = scope.queue(channel, "properties", null);
        var when = new Date(1_700_000_000_000L);
        var headers = new HashMap<String, Object>();
        headers.put("text", "grüße");
        headers.put("long text", LongStringHelper.asLongString("x".repeat(1000)));
        headers.put("bytes", new byte[] {0, -1});
        headers.put("true", true);
        headers.put("byte", (byte) -3);
        headers.put("short", (short) -300);
        headers.put("int", -7);
        headers.put("long", 1L << 40);
        headers.put("float", 0.5f);
        headers.put("double", 2.5);
        headers.put("decimal", new BigDecimal("3.14"));
        headers.put("when", when);
        headers.put("nothing", null);
        headers.put("table", Map.of("deep", Map.of("list", Arrays.asList(1, "two", null))));
        headers.put("array", List.of(true, "x", Map.of("y", 1)));
        headers.put("empty", Collections.emptyMap());
        var sent = properties().contentType("application/json").contentEncoding("gzip").headers(headers).deliveryMode(2)
                .priority(9).correlationId("correlation").replyTo("reply").expiration("60000").messageId("id")
                .timestamp(when).type("kind").userId(scope.factory().getUsername()).appId("app").clusterId("cluster")
                .build();
        channel.basicPublish("", queue, sent, bytes("x"));
        var received = take(channel, queue, 1).get(0).getProperties();
        expect(plain(received.getHeaders()), plain(headers), "headers");
        expect(received.builder().headers(null).build(), sent.builder().headers(null).build(), "properties");
    }
}
