package leveret;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.LinkedBlockingQueue;

/** The connections of one check, the names it declared, and how it sends and takes messages. */
final class Scope implements AutoCloseable {
    private final String uri;
    private final String run = Checks.token();
    private final List<Connection> connections = new ArrayList<>();
    private final List<String> queues = new ArrayList<>();
    private final List<String> exchanges = new ArrayList<>();

    Scope(String uri) {
        this.uri = uri;
    }

    /** A factory for this broker, without automatic recovery. */
    ConnectionFactory factory() throws Exception {
        var factory = new ConnectionFactory();
        factory.setUri(uri);
        factory.setAutomaticRecoveryEnabled(false);
        factory.setRequestedHeartbeat(30);
        return factory;
    }

    Connection connect() throws Exception {
        return connect(factory());
    }

    Connection connect(ConnectionFactory factory) throws Exception {
        var connection = factory.newConnection();
        connections.add(connection);
        return connection;
    }

    Channel channel() throws Exception {
        return connect().createChannel();
    }

    Channel confirmChannel() throws Exception {
        var channel = channel();
        channel.confirmSelect();
        return channel;
    }

    String name(String suffix) {
        return "amqp-client-java." + run + "." + suffix;
    }

    String queue(Channel channel, String suffix, Map<String, Object> arguments) throws Exception {
        var name = name(suffix);
        queues.add(name);
        channel.queueDeclare(name, true, false, false, arguments);
        return name;
    }

    String exchange(Channel channel, String suffix, String type, Map<String, Object> arguments) throws Exception {
        var name = name(suffix);
        exchanges.add(name);
        channel.exchangeDeclare(name, type, true, false, arguments);
        return name;
    }

    @Override
    public void close() throws Exception {
        for (var connection : connections) {
            if (connection.isOpen()) {
                connection.close();
            }
        }
        try (var connection = factory().newConnection(); var channel = connection.createChannel()) {
            for (var name : queues) {
                channel.queueDelete(name);
            }
            for (var name : exchanges) {
                channel.exchangeDelete(name);
            }
        }
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(Delivery delivery) {
        return new String(delivery.getBody(), StandardCharsets.UTF_8);
    }

    static void publish(Channel channel, String exchange, String key, String body) throws Exception {
        channel.basicPublish(exchange, key, null, bytes(body));
    }

    static AMQP.BasicProperties.Builder properties() {
        return new AMQP.BasicProperties.Builder();
    }

    /** A queue named by the server, gone with its connection (but not, as the client's own default, with its consumer). */
    static String temporaryQueue(Channel channel) throws Exception {
        return channel.queueDeclare("", false, true, false, null).getQueue();
    }

    /** Starts a consumer; what it receives comes out of the returned queue. */
    static BlockingQueue<Delivery> consume(Channel channel, String queue, boolean autoAck, String tag)
            throws Exception {
        var deliveries = new LinkedBlockingQueue<Delivery>();
        channel.basicConsume(queue, autoAck, tag, (consumer, delivery) -> deliveries.add(delivery), consumer -> {});
        return deliveries;
    }

    /** The next messages of the queue, acknowledged. */
    static List<Delivery> take(Channel channel, String queue, int count) throws Exception {
        var tag = "take-" + Checks.token();
        var deliveries = consume(channel, queue, false, tag);
        var messages = new ArrayList<Delivery>();
        while (messages.size() < count) {
            messages.add(Checks.next(deliveries, "message " + (messages.size() + 1) + " from " + queue));
        }
        channel.basicCancel(tag);
        messages.addAll(deliveries);
        for (var message : messages) {
            channel.basicAck(message.getEnvelope().getDeliveryTag(), false);
        }
        Checks.expect(messages.size(), count, "messages from " + queue);
        return messages;
    }

    static List<String> texts(List<Delivery> messages) {
        return messages.stream().map(Scope::text).toList();
    }

    static void expectEmpty(Channel channel, String queue) throws Exception {
        var message = channel.basicGet(queue, true);
        Checks.expectThat(message == null, queue + " should be empty");
    }

    /** Runs what the broker must refuse by closing the channel, and checks the close: code, class, method, text. */
    static void expectClose(int code, int classId, int methodId, String text, Callable<?> refused) throws Exception {
        ShutdownSignalException signal;
        try {
            refused.call();
            throw new AssertionError("was accepted, wanted " + code);
        } catch (IOException error) {
            if (!(error.getCause() instanceof ShutdownSignalException cause)) {
                throw error;
            }
            signal = cause;
        }
        expectClose(code, classId, methodId, text, signal);
    }

    static void expectClose(int code, int classId, int methodId, String text, ShutdownSignalException signal) {
        List<Integer> found;
        String foundText;
        if (signal.getReason() instanceof AMQP.Channel.Close close) {
            found = List.of(close.getReplyCode(), close.getClassId(), close.getMethodId());
            foundText = close.getReplyText();
        } else if (signal.getReason() instanceof AMQP.Connection.Close close) {
            found = List.of(close.getReplyCode(), close.getClassId(), close.getMethodId());
            foundText = close.getReplyText();
        } else {
            throw new AssertionError("closed without a reason: " + signal);
        }
        Checks.expect(found, List.of(code, classId, methodId), "code, class and method (" + foundText + ")");
        Checks.expectThat(foundText.contains(text), "reply text " + foundText + " lacks " + text);
    }
}
