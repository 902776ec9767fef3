package leveret;

import static leveret.Checks.expect;
import static leveret.Checks.expectThat;
import static leveret.Scope.text;

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.ShutdownSignalException;
import java.util.Arrays;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.springframework.amqp.AmqpException;
import org.springframework.amqp.AmqpIOException;
import org.springframework.amqp.core.Binding;
import org.springframework.amqp.core.DirectExchange;
import org.springframework.amqp.core.FanoutExchange;
import org.springframework.amqp.core.HeadersExchange;
import org.springframework.amqp.core.MessageBuilder;
import org.springframework.amqp.core.MessageDeliveryMode;
import org.springframework.amqp.core.Queue;
import org.springframework.amqp.core.QueueBuilder;
import org.springframework.amqp.core.TopicExchange;
import org.springframework.amqp.rabbit.connection.CachingConnectionFactory;
import org.springframework.amqp.rabbit.connection.CachingConnectionFactory.ConfirmType;
import org.springframework.amqp.rabbit.connection.ChannelListener;
import org.springframework.amqp.rabbit.connection.CorrelationData;
import org.springframework.amqp.rabbit.connection.RabbitUtils;
import org.springframework.amqp.rabbit.core.RabbitAdmin;
import org.springframework.amqp.rabbit.core.RabbitTemplate;

/** What publishers and administrators use: RabbitTemplate, RabbitAdmin, and the caching connection under them. */
final class Templates {
    private Templates() {}

    static void addTo(Checks<Scope> checks) {
        checks.add("connect_properties", Templates::connectProperties);
        checks.add("declares_topology", Templates::declaresTopology);
        checks.add("confirms_and_returns", Templates::confirmsAndReturns);
        checks.add("confirm_nack", Templates::confirmNack);
        checks.add("simple_confirms", Templates::simpleConfirms);
        checks.add("missing_exchange", Templates::missingExchange);
        checks.add("mismatched_arguments", Templates::mismatchedArguments);
        checks.add("connection_recovery", Templates::connectionRecovery);
        checks.add("transaction", Templates::transaction);
        checks.add("large_message", Templates::largeMessage);
        checks.add("properties_round_trip", Templates::propertiesRoundTrip);
    }

    private static void connectProperties(Scope scope) throws Exception {
        var factory = scope.connections();
        factory.setConnectionNameStrategy(anyFactory -> scope.name("connection"));
        factory.getRabbitConnectionFactory().getClientProperties().put("answer", "42");
        var connection = factory.createConnection();
        var delegate = connection.getDelegate();
        expect(delegate.getServerProperties().get("product").toString(), "RabbitMQ", "product");
        expect(delegate.getHeartbeat(), 30, "heartbeat");
        expect(delegate.getClientProvidedName(), scope.name("connection"), "connection name");
        expectThat(connection.isOpen(), "the connection should be open");
    }

    private static void declaresTopology(Scope scope) throws Exception {
        var admin = scope.admin();
        expectThat(admin.getQueueInfo(scope.name("missing")) == null, "found a queue that does not exist");
        var topics = scope.exchange(new TopicExchange(scope.name("topics")));
        var headers = scope.exchange(new HeadersExchange(scope.name("headers")));
        var logs = scope.queue("logs");
        var urgent = scope.queue("urgent");
        scope.bind(logs, topics, "log.#");
        admin.declareBinding(new Binding(
                urgent, Binding.DestinationType.QUEUE, headers, "",
                Map.of("x-match", "all", "urgent", true)));
        admin.declareBinding(new Binding(
                headers, Binding.DestinationType.EXCHANGE, topics, "log.error", null));
        var template = scope.template();
        template.convertAndSend(topics, "log.info", "fine");
        template.convertAndSend(topics, "log.error", "burns", message -> {
            message.getMessageProperties().setHeader("urgent", true);
            return message;
        });
        expect(template.receiveAndConvert(logs), "fine", "first log");
        expect(template.receiveAndConvert(logs), "burns", "second log");
        expect(template.receiveAndConvert(urgent), "burns", "urgent log");
        expect(scope.messages(urgent), 0, "messages left");
    }

    private static CorrelationData.Confirm confirm(CorrelationData data) throws Exception {
        return data.getFuture().get(Checks.PATIENCE_SECONDS, TimeUnit.SECONDS);
    }

    private static void confirmsAndReturns(Scope scope) throws Exception {
        var template = scope.confirmedTemplate();
        var exchange = scope.exchange(new DirectExchange(scope.name("direct")));
        var queue = scope.queue("bound");
        scope.bind(queue, exchange, "here");
        var routed = new CorrelationData("routed");
        template.convertAndSend(exchange, "here", "found", routed);
        expectThat(confirm(routed).ack(), "a routed message was not confirmed");
        expectThat(routed.getReturned() == null, "a routed message was returned");
        var lost = new CorrelationData("lost");
        template.convertAndSend(exchange, "nowhere", "lost", lost);
        expectThat(confirm(lost).ack(), "an unroutable message was not confirmed");
        // Spring gives the future its value at the confirm, so the return has to have come before.
        var returned = lost.getReturned();
        expectThat(returned != null, "no return before the confirm");
        expect(returned.getReplyCode(), 312, "reply code");
        expect(returned.getReplyText(), "NO_ROUTE", "reply text");
        expect(text(returned.getMessage()), "lost", "returned body");
    }

    private static void confirmNack(Scope scope) throws Exception {
        var template = scope.confirmedTemplate();
        var queue = scope.queue(QueueBuilder.durable(scope.name("full"))
                .maxLength(1)
                .overflow(QueueBuilder.Overflow.rejectPublish));
        var first = new CorrelationData("first");
        template.convertAndSend(queue, (Object) "fits", first);
        expectThat(confirm(first).ack(), "the first message was refused");
        var second = new CorrelationData("second");
        template.convertAndSend(queue, (Object) "too much", second);
        expectThat(!confirm(second).ack(), "a full queue confirmed a message");
        expect(scope.messages(queue), 1, "messages");
    }

    private static void simpleConfirms(Scope scope) throws Exception {
        var factory = scope.connections();
        factory.setPublisherConfirmType(ConfirmType.SIMPLE);
        var template = new RabbitTemplate(factory);
        var queue = scope.queue("batch");
        var confirmed = template.invoke(operations -> {
            for (int number = 0; number < 100; number++) {
                operations.convertAndSend(queue, "message " + number);
            }
            return operations.waitForConfirms(Checks.PATIENCE_SECONDS * 1000L);
        });
        expect(confirmed, true, "confirmed");
        expect(scope.messages(queue), 100, "messages");
    }

    /** The broker closes the channel for it, and Spring takes another for what follows. */
    private static void missingExchange(Scope scope) throws Exception {
        var template = scope.confirmedTemplate();
        var closes = new LinkedBlockingQueue<ShutdownSignalException>();
        ((CachingConnectionFactory) template.getConnectionFactory()).addChannelListener(new ChannelListener() {
            @Override
            public void onCreate(Channel channel, boolean transactional) {}

            @Override
            public void onShutDown(ShutdownSignalException signal) {
                closes.add(signal);
            }
        });
        var lost = new CorrelationData("lost");
        template.convertAndSend(scope.name("missing"), "key", "lost", lost);
        expectThat(!confirm(lost).ack(), "a publish to a missing exchange was confirmed");
        var reason = Checks.next(closes, "the channel to close").getMessage();
        expectThat(reason.contains("NOT_FOUND - no exchange '" + scope.name("missing")), reason);
        var queue = scope.queue("after");
        var kept = new CorrelationData("kept");
        template.convertAndSend(queue, (Object) "kept", kept);
        expectThat(confirm(kept).ack(), "the next publish was not confirmed");
        expect(template.receiveAndConvert(queue), "kept", "message");
    }

    private static void mismatchedArguments(Scope scope) {
        var queue = scope.queue(QueueBuilder.durable(scope.name("limited")).maxLength(5));
        try {
            scope.admin().declareQueue(new Queue(queue, true, false, false, Map.of("x-max-length", 6)));
        } catch (AmqpIOException refused) {
            Throwable cause = refused;
            while (!(cause instanceof ShutdownSignalException) && cause.getCause() != null) {
                cause = cause.getCause();
            }
            expectThat(
                    cause instanceof ShutdownSignalException signal && RabbitUtils.isMismatchedQueueArgs(signal),
                    "not what Spring knows as mismatched arguments: " + cause);
            return;
        }
        throw new AssertionError("other arguments were accepted");
    }

    private static void connectionRecovery(Scope scope) throws Exception {
        var factory = scope.connections();
        var template = new RabbitTemplate(factory);
        var queue = scope.queue("survivor");
        var temporary = new Queue(scope.name("temporary"), false, true, false);
        // An admin declares again what went with the connection.
        var admin = new RabbitAdmin(factory);
        admin.setRedeclareManualDeclarations(true);
        admin.afterPropertiesSet();
        admin.declareQueue(temporary);
        template.convertAndSend(queue, (Object) "kept");
        Scope.breakConnection(factory);
        template.setReceiveTimeout(Checks.PATIENCE_SECONDS * 1000L);
        expect(template.receiveAndConvert(queue), "kept", "message");
        expectThat(admin.getQueueInfo(temporary.getName()) != null, "the exclusive queue was not declared again");
    }

    private static void transaction(Scope scope) {
        var queue = scope.queue("tx");
        var template = scope.template();
        template.setChannelTransacted(true);
        try {
            template.execute(channel -> {
                channel.basicPublish("", queue, null, "rolled back".getBytes());
                throw new IllegalStateException("as asked");
            });
            throw new AssertionError("the failure was lost");
        } catch (AmqpException | IllegalStateException expected) {
            expect(scope.messages(queue), 0, "messages after the failure");
        }
        template.convertAndSend(queue, (Object) "committed");
        expect(scope.messages(queue), 1, "messages after the commit");
        expect(template.receiveAndConvert(queue), "committed", "message");
    }

    private static void largeMessage(Scope scope) throws Exception {
        var template = scope.confirmedTemplate();
        var queue = scope.queue("large");
        var body = new byte[1 << 20];
        new Random(1).nextBytes(body);
        var sent = new CorrelationData("large");
        template.convertAndSend(queue, (Object) body, sent);
        expectThat(confirm(sent).ack(), "1 MiB was not confirmed");
        template.setReceiveTimeout(Checks.PATIENCE_SECONDS * 1000L);
        expectThat(Arrays.equals((byte[]) template.receiveAndConvert(queue), body), "1 MiB came back changed");
    }

    private static void propertiesRoundTrip(Scope scope) {
        var exchange = scope.exchange(new FanoutExchange(scope.name("fanout")));
        var queue = scope.queue("properties");
        scope.bind(queue, exchange, "");
        var template = scope.template();
        var sent = MessageBuilder.withBody("x".getBytes())
                .setContentType("application/json")
                .setContentEncoding("gzip")
                .setDeliveryMode(MessageDeliveryMode.NON_PERSISTENT)
                .setPriority(7)
                .setCorrelationId("correlation")
                .setReplyTo("reply")
                .setExpiration("60000")
                .setMessageId("id")
                .setTimestamp(new Date(1_700_000_000_000L))
                .setType("kind")
                .setAppId("app")
                .setClusterId("cluster")
                .setHeader("text", "grüße")
                .setHeader("long", 1L << 40)
                .setHeader("int", -7)
                .setHeader("double", 0.25)
                .setHeader("yes", true)
                .setHeader("list", List.of("a", 1))
                .setHeader("table", Map.of("deep", Map.of()))
                .build();
        template.send(exchange, "ignored", sent);
        var received = template.receive(queue);
        expectThat(received != null, "nothing arrived");
        var properties = received.getMessageProperties();
        expect(properties.getHeaders(), sent.getMessageProperties().getHeaders(), "headers");
        expect(properties.getReceivedDeliveryMode(), MessageDeliveryMode.NON_PERSISTENT, "delivery mode");
        expect(properties.getPriority(), 7, "priority");
        expect(properties.getContentType(), "application/json", "content type");
        expect(properties.getContentEncoding(), "gzip", "content encoding");
        expect(properties.getCorrelationId(), "correlation", "correlation id");
        expect(properties.getReplyTo(), "reply", "reply to");
        expect(properties.getExpiration(), "60000", "expiration");
        expect(properties.getMessageId(), "id", "message id");
        expect(properties.getTimestamp(), new Date(1_700_000_000_000L), "timestamp");
        expect(properties.getType(), "kind", "type");
        expect(properties.getAppId(), "app", "app id");
        expect(properties.getClusterId(), "cluster", "cluster id");
        expect(properties.getReceivedExchange(), exchange, "exchange");
        expect(properties.getReceivedRoutingKey(), "ignored", "routing key");
    }
}
