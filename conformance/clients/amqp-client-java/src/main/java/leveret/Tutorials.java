package leveret;

import static leveret.Checks.expect;
import static leveret.Checks.expectThat;
import static leveret.Checks.next;
import static leveret.Scope.bytes;
import static leveret.Scope.consume;
import static leveret.Scope.expectEmpty;
import static leveret.Scope.publish;
import static leveret.Scope.take;
import static leveret.Scope.temporaryQueue;
import static leveret.Scope.text;
import static leveret.Scope.texts;

import com.rabbitmq.client.MessageProperties;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.stream.IntStream;

/** The flows of the RabbitMQ tutorials. */
final class Tutorials {
    private Tutorials() {}

    static void addTo(Checks<Scope> checks) {
        checks.add("hello_world", Tutorials::helloWorld);
        checks.add("work_queues", Tutorials::workQueues);
        checks.add("publish_subscribe", Tutorials::publishSubscribe);
        checks.add("routing", Tutorials::routing);
        checks.add("topics", Tutorials::topics);
        checks.add("rpc", Tutorials::rpc);
        checks.add("publisher_confirms", Tutorials::publisherConfirms);
    }

    private static void helloWorld(Scope scope) throws Exception {
        var channel = scope.channel();
        var queue = scope.queue(channel, "hello", Map.of("x-queue-type", "quorum"));
        publish(channel, "", queue, "Hello World!");
        expect(texts(take(scope.channel(), queue, 1)), List.of("Hello World!"), "message");
    }

    private static void workQueues(Scope scope) throws Exception {
        var sender = scope.channel();
        var queue = scope.queue(sender, "task_queue", null);
        var tasks = IntStream.range(0, 20).mapToObj(number -> "task " + number).sorted().toList();
        record Finished(int worker, String task) {}
        var done = new LinkedBlockingQueue<Finished>();
        for (int worker = 0; worker < 2; worker++) {
            var channel = scope.channel();
            int self = worker;
            channel.basicQos(1);
            channel.basicConsume(queue, false, (tag, delivery) -> {
                done.add(new Finished(self, text(delivery)));
                channel.basicAck(delivery.getEnvelope().getDeliveryTag(), false);
            }, tag -> {});
        }
        for (var task : tasks) {
            sender.basicPublish("", queue, MessageProperties.PERSISTENT_TEXT_PLAIN, bytes(task));
        }
        var finished = new ArrayList<Finished>();
        while (finished.size() < tasks.size()) {
            finished.add(next(done, "a finished task"));
        }
        expect(finished.stream().map(Finished::task).sorted().toList(), tasks, "finished tasks");
        expect(finished.stream().map(Finished::worker).distinct().count(), 2L, "workers that got tasks");
    }

    private static void publishSubscribe(Scope scope) throws Exception {
        var channel = scope.channel();
        var exchange = scope.exchange(channel, "logs", "fanout", null);
        var queues = List.of(temporaryQueue(channel), temporaryQueue(channel));
        for (var queue : queues) {
            channel.queueBind(queue, exchange, "");
        }
        publish(channel, exchange, "", "info: Hello World!");
        for (var queue : queues) {
            expect(texts(take(channel, queue, 1)), List.of("info: Hello World!"), "message");
        }
    }

    private static void routing(Scope scope) throws Exception {
        var channel = scope.channel();
        var exchange = scope.exchange(channel, "direct_logs", "direct", null);
        var errors = temporaryQueue(channel);
        var everything = temporaryQueue(channel);
        channel.queueBind(errors, exchange, "error");
        for (var severity : List.of("info", "warning", "error")) {
            channel.queueBind(everything, exchange, severity);
        }
        for (var severity : List.of("info", "warning", "error", "debug")) {
            publish(channel, exchange, severity, severity);
        }
        expect(texts(take(channel, errors, 1)), List.of("error"), "errors");
        expect(texts(take(channel, everything, 3)), List.of("info", "warning", "error"), "everything");
    }

    private static void topics(Scope scope) throws Exception {
        var channel = scope.channel();
        var exchange = scope.exchange(channel, "topic_logs", "topic", null);
        var patterns = Map.of(
                "#", List.of("kern.critical", "kern.info.disk", "auth.critical"),
                "kern.*", List.of("kern.critical"),
                "kern.#", List.of("kern.critical", "kern.info.disk"),
                "*.critical", List.of("kern.critical", "auth.critical"));
        var queues = new HashMap<String, String>();
        for (var pattern : patterns.keySet()) {
            var queue = temporaryQueue(channel);
            channel.queueBind(queue, exchange, pattern);
            queues.put(pattern, queue);
        }
        for (var key : patterns.get("#")) {
            publish(channel, exchange, key, key);
        }
        for (var pattern : patterns.entrySet()) {
            var queue = queues.get(pattern.getKey());
            expect(texts(take(channel, queue, pattern.getValue().size())), pattern.getValue(), pattern.getKey());
            expectEmpty(channel, queue);
        }
    }

    private static int fibonacci(int number) {
        return number < 2 ? number : fibonacci(number - 1) + fibonacci(number - 2);
    }

    private static void rpc(Scope scope) throws Exception {
        var server = scope.channel();
        var client = scope.channel();
        var requests = scope.queue(server, "rpc_queue", null);
        server.basicQos(1);
        server.basicConsume(requests, false, (tag, call) -> {
            var reply = Scope.properties().correlationId(call.getProperties().getCorrelationId()).build();
            var answer = Integer.toString(fibonacci(Integer.parseInt(text(call))));
            server.basicPublish("", call.getProperties().getReplyTo(), reply, bytes(answer));
            server.basicAck(call.getEnvelope().getDeliveryTag(), false);
        }, tag -> {});
        var replies = temporaryQueue(client);
        var answers = consume(client, replies, true, "");
        for (var number : List.of("10", "15")) {
            var call = Scope.properties().replyTo(replies).correlationId("call-" + number).build();
            client.basicPublish("", requests, call, bytes(number));
        }
        var found = new TreeMap<String, String>();
        for (int answer = 0; answer < 2; answer++) {
            var delivery = next(answers, "an answer");
            found.put(delivery.getProperties().getCorrelationId(), text(delivery));
        }
        expect(found, Map.of("call-10", "55", "call-15", "610"), "answers");
    }

    private static void publisherConfirms(Scope scope) throws Exception {
        var channel = scope.confirmChannel();
        var queue = scope.queue(channel, "confirmed", null);
        var wanted = IntStream.range(0, 500).mapToObj(Integer::toString).toList();
        for (var body : wanted) {
            channel.basicPublish("", queue, MessageProperties.MINIMAL_PERSISTENT_BASIC, bytes(body));
        }
        expectThat(channel.waitForConfirms(Checks.PATIENCE_SECONDS * 1000L), "a message was not confirmed");
        expect(channel.messageCount(queue), 500L, "messages after the confirms");
        expect(texts(take(channel, queue, 500)), wanted, "messages in order");
    }
}
