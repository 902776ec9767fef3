package leveret;

import static leveret.Checks.expect;
import static leveret.Checks.expectThat;
import static leveret.Checks.waitUntil;
import static leveret.Scope.text;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.aopalliance.aop.Advice;
import org.springframework.amqp.AmqpRejectAndDontRequeueException;
import org.springframework.amqp.core.FanoutExchange;
import org.springframework.amqp.core.Message;
import org.springframework.amqp.core.QueueBuilder;
import org.springframework.amqp.core.TopicExchange;
import org.springframework.amqp.rabbit.annotation.Argument;
import org.springframework.amqp.rabbit.annotation.EnableRabbit;
import org.springframework.amqp.rabbit.annotation.Exchange;
import org.springframework.amqp.rabbit.annotation.Queue;
import org.springframework.amqp.rabbit.annotation.QueueBinding;
import org.springframework.amqp.rabbit.annotation.RabbitListener;
import org.springframework.amqp.rabbit.config.RetryInterceptorBuilder;
import org.springframework.amqp.rabbit.config.SimpleRabbitListenerContainerFactory;
import org.springframework.amqp.rabbit.connection.CachingConnectionFactory;
import org.springframework.amqp.rabbit.core.RabbitAdmin;
import org.springframework.amqp.rabbit.listener.DirectMessageListenerContainer;
import org.springframework.amqp.rabbit.listener.adapter.MessageListenerAdapter;
import org.springframework.amqp.rabbit.retry.MessageRecoverer;
import org.springframework.amqp.rabbit.retry.RejectAndDontRequeueRecoverer;
import org.springframework.amqp.rabbit.retry.RepublishMessageRecoverer;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.env.MapPropertySource;

/** What applications listen with: containers, their retries and dead letters, and how they come back. */
final class Listeners {
    private Listeners() {}

    static void addTo(Checks<Scope> checks) {
        checks.add("retries_then_dead_letters", Listeners::retriesThenDeadLetters);
        checks.add("republish_recoverer", Listeners::republishRecoverer);
        checks.add("delayed_retry_counts_deaths", Listeners::delayedRetryCountsDeaths);
        checks.add("delayed_retries", Listeners::delayedRetries);
        checks.add("retries_of_rejected", Listeners::retriesOfRejected);
        checks.add("annotated_listener", Listeners::annotatedListener);
        checks.add("prefetch", Listeners::prefetch);
        checks.add("direct_reply_to", Listeners::directReplyTo);
        checks.add("temporary_reply_queue", Listeners::temporaryReplyQueue);
        checks.add("container_recovers", Listeners::containerRecovers);
        checks.add("direct_container_recovers", Listeners::directContainerRecovers);
        checks.add("exclusive_consumer_waits_its_turn", Listeners::exclusiveConsumerWaitsItsTurn);
        checks.add("consumer_priority", Listeners::consumerPriority);
        checks.add("queue_deleted_and_back", Listeners::queueDeletedAndBack);
    }

    /** A dead-letter exchange with its queue, and a work queue that uses it: work, dead. */
    private static List<String> workAndDead(Scope scope) {
        var exchange = scope.exchange(new FanoutExchange(scope.name("dlx")));
        var dead = scope.queue("dead");
        scope.bind(dead, exchange, "");
        var work = scope.queue(QueueBuilder.durable(scope.name("work")).deadLetterExchange(exchange));
        return List.of(work, dead);
    }

    private static Advice threeAttempts(MessageRecoverer recoverer) {
        return RetryInterceptorBuilder.stateless()
                .configureRetryPolicy(policy -> policy.maxRetries(2).delay(Duration.ofMillis(10)))
                .recoverer(recoverer)
                .build();
    }

    private static void retriesThenDeadLetters(Scope scope) throws Exception {
        var queues = workAndDead(scope);
        var attempts = new AtomicInteger();
        var container = scope.container(queues.get(0), message -> {
            if (text(message).equals("bad")) {
                attempts.incrementAndGet();
                throw new IllegalStateException("as asked");
            }
        });
        container.setAdviceChain(threeAttempts(new RejectAndDontRequeueRecoverer()));
        scope.start(container);
        var template = scope.template();
        template.convertAndSend(queues.get(0), (Object) "good");
        template.convertAndSend(queues.get(0), (Object) "bad");
        var died = template.receive(queues.get(1));
        expectThat(died != null, "no dead letter");
        expect(text(died), "bad", "dead letter");
        expect(attempts.get(), 3, "attempts");
        var deaths = died.getMessageProperties().getXDeathHeader();
        expect(deaths.size(), 1, "deaths");
        expect(deaths.get(0).get("count"), 1L, "count");
        expect(deaths.get(0).get("reason"), "rejected", "reason");
        expect(deaths.get(0).get("queue"), queues.get(0), "queue");
        container.stop();
        expect(scope.messages(queues.get(0)), 0, "messages left");
    }

    private static void republishRecoverer(Scope scope) throws Exception {
        var work = scope.queue("work");
        var error = scope.queue("error");
        var container = scope.container(work, message -> {
            throw new IllegalStateException("as asked");
        });
        var recoverer = new RepublishMessageRecoverer(scope.template(), "", error).includeStackTrace(true);
        container.setAdviceChain(threeAttempts(recoverer));
        scope.start(container);
        var template = scope.template();
        template.convertAndSend(work, (Object) "bad");
        var parked = template.receive(error);
        expectThat(parked != null, "nothing was republished");
        Map<String, Object> headers = parked.getMessageProperties().getHeaders();
        var trace = String.valueOf(headers.get("x-exception-stacktrace"));
        expectThat(trace.contains("as asked"), "no stack trace in " + headers);
        expect(headers.get("x-original-routingKey"), work, "original routing key");
        expect(headers.get("x-original-exchange"), "", "original exchange");
    }

    /** The retry topology with a waiting queue: work, wait for its TTL, and work again until the count says enough. */
    private static void delayedRetryCountsDeaths(Scope scope) throws Exception {
        var work = scope.name("work");
        var wait = scope.queue(QueueBuilder.durable(scope.name("wait"))
                .ttl(50)
                .deadLetterExchange("")
                .deadLetterRoutingKey(work));
        scope.queue(QueueBuilder.durable(work).deadLetterExchange("").deadLetterRoutingKey(wait));
        var parked = scope.queue("parked");
        var template = scope.template();
        var counts = new LinkedBlockingQueue<Long>();
        var container = scope.container(work, message -> {
            var deaths = message.getMessageProperties().getXDeathHeader();
            var count = deaths == null
                    ? 0L
                    : deaths.stream()
                            .filter(death -> work.equals(death.get("queue")))
                            .mapToLong(death -> (Long) death.get("count"))
                            .sum();
            counts.add(count);
            if (count < 3) {
                throw new AmqpRejectAndDontRequeueException("again");
            }
            template.send(parked, message);
        });
        scope.start(container);
        template.convertAndSend(work, (Object) "stubborn");
        var last = template.receive(parked);
        expectThat(last != null, "the message was not parked");
        expect(List.copyOf(counts), List.of(0L, 1L, 2L, 3L), "deaths at each attempt");
        var deaths = last.getMessageProperties().getXDeathHeader();
        expect(deaths.stream().map(death -> death.get("reason")).sorted().toList(), List.of("expired", "rejected"),
                "reasons");
        expectThat(deaths.stream().allMatch(death -> death.get("count").equals(3L)), "counts in " + deaths);
    }

    /** What the container gives back waits in its queue, and others are there meanwhile. */
    private static void delayedRetries(Scope scope) throws Exception {
        var work = scope.queue(QueueBuilder.durable(scope.name("work"))
                .quorum()
                .withArgument("x-delayed-retry-type", "all")
                .withArgument("x-delayed-retry-min", 200)
                .withArgument("x-delayed-retry-max", 60_000));
        var seen = new LinkedBlockingQueue<String>();
        var times = new LinkedBlockingQueue<Long>();
        var container = scope.container(work, message -> {
            seen.add(text(message));
            if (text(message).equals("bad")) {
                times.add(System.nanoTime());
                if (times.size() < 3) {
                    throw new IllegalStateException("as asked");
                }
            }
        });
        container.setPrefetchCount(1);
        scope.start(container);
        var template = scope.template();
        template.convertAndSend(work, (Object) "bad");
        template.convertAndSend(work, (Object) "good");
        waitUntil(() -> seen.size() == 4, "three attempts and another message");
        expect(List.copyOf(seen), List.of("bad", "good", "bad", "bad"), "what the listener saw");
        var attempts = List.copyOf(times);
        for (int number = 1; number < attempts.size(); number++) {
            var waited = (attempts.get(number) - attempts.get(number - 1)) / 1_000_000;
            expectThat(waited >= 190, "attempt " + number + " came after " + waited + " ms");
        }
        container.stop();
        expect(scope.messages(work), 0, "messages left");
    }

    /** The container rejects what failed; the queue tries it again, without a topology, and lets it die then. */
    private static void retriesOfRejected(Scope scope) throws Exception {
        var dead = scope.queue("dead");
        var work = scope.queue(QueueBuilder.durable(scope.name("work"))
                .quorum()
                .withArgument("x-retry-delays", "50ms,100ms")
                .withArgument("x-retry-rejected", true)
                .deadLetterExchange("")
                .deadLetterRoutingKey(dead));
        var attempts = new AtomicInteger();
        var container = scope.container(work, message -> {
            attempts.incrementAndGet();
            throw new IllegalStateException("as asked");
        });
        container.setDefaultRequeueRejected(false);
        scope.start(container);
        var template = scope.template();
        template.convertAndSend(work, (Object) "bad");
        var died = template.receive(dead);
        expectThat(died != null, "no dead letter");
        expect(text(died), "bad", "dead letter");
        expect(died.getMessageProperties().getXDeathHeader().get(0).get("reason"), "rejected", "reason");
        // RabbitMQ keeps the arguments and does not look at them.
        expect(attempts.get(), scope.isLeveret() ? 3 : 1, "attempts");
    }

    /** The listener that most applications write: declared, bound and started by its annotation. */
    @Configuration
    @EnableRabbit
    static class Annotated {
        final Scope.Received received = new Scope.Received();

        @RabbitListener(
                bindings = @QueueBinding(
                        value = @Queue(
                                name = "${check.name}.orders",
                                durable = "true",
                                arguments = @Argument(
                                        name = "x-message-ttl", value = "60000", type = "java.lang.Integer")),
                        exchange = @Exchange(name = "${check.name}.events", type = "topic"),
                        key = "order.*"))
        String onOrder(Message message) {
            received.onMessage(message);
            return "seen " + text(message);
        }
    }

    private static void annotatedListener(Scope scope) throws Exception {
        var name = scope.name("annotated");
        var connections = scope.connections();
        scope.removeQueue(name + ".orders");
        var exchange = scope.exchange(new TopicExchange(name + ".events"));
        try (var context = new AnnotationConfigApplicationContext()) {
            context.getEnvironment().getPropertySources()
                    .addFirst(new MapPropertySource("check", Map.of("check.name", name)));
            context.registerBean("connections", CachingConnectionFactory.class, () -> connections);
            context.registerBean(RabbitAdmin.class, () -> new RabbitAdmin(connections));
            context.registerBean("rabbitListenerContainerFactory", SimpleRabbitListenerContainerFactory.class, () -> {
                var factory = new SimpleRabbitListenerContainerFactory();
                factory.setConnectionFactory(connections);
                factory.setReceiveTimeout(100L);
                return factory;
            });
            context.register(Annotated.class);
            context.refresh();
            waitUntil(() -> scope.consumers(name + ".orders") > 0, "the consumer of the annotated listener");
            var template = scope.template();
            template.setReplyTimeout(Checks.PATIENCE_SECONDS * 1000L);
            expect(template.convertSendAndReceive(exchange, "order.new", "one"), "seen one", "answer");
            expect(text(context.getBean(Annotated.class).received.next()), "one", "order");
        }
    }

    private static void prefetch(Scope scope) throws Exception {
        var work = scope.queue("work");
        var template = scope.template();
        for (int number = 0; number < 10; number++) {
            template.convertAndSend(work, (Object) ("message " + number));
        }
        var go = new CountDownLatch(1);
        var seen = new AtomicInteger();
        var container = scope.container(work, message -> {
            seen.incrementAndGet();
            try {
                go.await();
            } catch (InterruptedException interrupted) {
                throw new IllegalStateException(interrupted);
            }
        });
        container.setPrefetchCount(3);
        scope.start(container);
        waitUntil(() -> seen.get() == 1 && scope.messages(work) == 7, "three of ten to be with the listener");
        Thread.sleep(200);
        expect(scope.messages(work), 7, "messages ready while the listener is busy");
        go.countDown();
        waitUntil(() -> seen.get() == 10, "all ten");
    }

    private static final class Doubler {
        @SuppressWarnings("unused") // the adapter calls it by this name
        public String handleMessage(String text) {
            return text + text;
        }
    }

    private static void answers(Scope scope, boolean container) throws Exception {
        var requests = scope.queue("requests");
        scope.start(scope.container(requests, new MessageListenerAdapter(new Doubler())));
        var template = scope.template();
        template.setReplyTimeout(Checks.PATIENCE_SECONDS * 1000L);
        template.setUseDirectReplyToContainer(container);
        try {
            for (var question : List.of("a", "bc", "def")) {
                expect(template.convertSendAndReceive(requests, (Object) question), question + question, "answer");
            }
        } finally {
            template.stop();
        }
    }

    /** By the template's container, and by a consumer for each call. */
    private static void directReplyTo(Scope scope) throws Exception {
        answers(scope, true);
        answers(scope, false);
    }

    private static void temporaryReplyQueue(Scope scope) throws Exception {
        var requests = scope.queue("requests");
        scope.start(scope.container(requests, new MessageListenerAdapter(new Doubler())));
        var template = scope.template();
        template.setReplyTimeout(Checks.PATIENCE_SECONDS * 1000L);
        template.setUseTemporaryReplyQueues(true);
        expect(template.convertSendAndReceive(requests, (Object) "x"), "xx", "answer");
    }

    /** The broker closes the connection while a delivery is unacknowledged: it comes again, to the same container. */
    private static void containerRecovers(Scope scope) throws Exception {
        var work = scope.queue("work");
        var received = new Scope.Received();
        var go = new CountDownLatch(1);
        var container = scope.container(work, message -> {
            received.onMessage(message);
            try {
                go.await();
            } catch (InterruptedException interrupted) {
                throw new IllegalStateException(interrupted);
            }
        });
        scope.start(container);
        scope.template().convertAndSend(work, (Object) "kept");
        expect(received.next().getMessageProperties().isRedelivered(), false, "redelivered");
        Scope.breakConnection((CachingConnectionFactory) container.getConnectionFactory());
        go.countDown();
        var again = received.next();
        expect(text(again), "kept", "message");
        expect(again.getMessageProperties().isRedelivered(), true, "redelivered");
        waitUntil(() -> scope.messages(work) == 0 && scope.consumers(work) == 1, "the container to be back");
    }

    private static void directContainerRecovers(Scope scope) throws Exception {
        var work = scope.queue("work");
        var received = new Scope.Received();
        var factory = scope.connections();
        var container = scope.keep(new DirectMessageListenerContainer(factory));
        container.setQueueNames(work);
        container.setMessageListener(received);
        container.setRecoveryInterval(100);
        container.setMonitorInterval(100);
        container.setFailedDeclarationRetryInterval(100);
        scope.start(container);
        var template = scope.template();
        template.convertAndSend(work, (Object) "before");
        expect(text(received.next()), "before", "message");
        Scope.breakConnection(factory);
        template.convertAndSend(work, (Object) "after");
        var next = received.next();
        // The container acknowledges after the listener returned: the connection may have closed in between.
        if (next.getMessageProperties().isRedelivered()) {
            expect(text(next), "before", "redelivered message");
            next = received.next();
        }
        expect(text(next), "after", "message");
    }

    /** A second exclusive consumer is refused (403, which the container knows by its text), and tries until it is free. */
    private static void exclusiveConsumerWaitsItsTurn(Scope scope) throws Exception {
        var work = scope.queue("work");
        var first = new Scope.Received();
        var second = new Scope.Received();
        var holder = scope.container(work, first);
        holder.setExclusive(true);
        scope.start(holder);
        var waiting = scope.container(work, second);
        waiting.setExclusive(true);
        var refusals = new LinkedBlockingQueue<String>();
        waiting.setExclusiveConsumerExceptionLogger(
                (logger, message, cause) -> refusals.add(message + " " + cause));
        scope.start(waiting);
        var refusal = Checks.next(refusals, "the refusal");
        expectThat(refusal.contains("ACCESS_REFUSED") && refusal.contains("exclusive"), refusal);
        var template = scope.template();
        template.convertAndSend(work, (Object) "one");
        expect(text(first.next()), "one", "message of the first");
        holder.stop();
        template.convertAndSend(work, (Object) "two");
        expect(text(second.next()), "two", "message of the second");
    }

    private static void consumerPriority(Scope scope) throws Exception {
        var work = scope.queue("work");
        var preferred = new Scope.Received();
        var spare = new Scope.Received();
        scope.start(scope.container(work, spare));
        var container = scope.container(work, preferred);
        container.setConsumerArguments(Map.of("x-priority", 10));
        scope.start(container);
        waitUntil(() -> scope.consumers(work) == 2, "both consumers");
        var template = scope.template();
        for (int number = 0; number < 5; number++) {
            template.convertAndSend(work, (Object) ("message " + number));
            expect(text(preferred.next()), "message " + number, "message of the preferred consumer");
        }
    }

    private static void queueDeletedAndBack(Scope scope) throws Exception {
        var work = scope.queue("work");
        var received = new Scope.Received();
        var container = scope.container(work, received);
        container.setMissingQueuesFatal(false);
        container.setDeclarationRetries(1);
        container.setRetryDeclarationInterval(100);
        container.setFailedDeclarationRetryInterval(100);
        scope.start(container);
        scope.admin().deleteQueue(work);
        scope.queue("work");
        waitUntil(() -> scope.consumers(work) == 1, "the container to consume again");
        scope.template().convertAndSend(work, (Object) "back");
        expect(text(received.next()), "back", "message");
    }
}
