package leveret;

import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.springframework.amqp.core.Binding;
import org.springframework.amqp.core.Exchange;
import org.springframework.amqp.core.Message;
import org.springframework.amqp.core.MessageListener;
import org.springframework.amqp.core.Queue;
import org.springframework.amqp.core.QueueBuilder;
import org.springframework.amqp.rabbit.connection.CachingConnectionFactory;
import org.springframework.amqp.rabbit.connection.CachingConnectionFactory.ConfirmType;
import org.springframework.amqp.rabbit.connection.Connection;
import org.springframework.amqp.rabbit.connection.ConnectionListener;
import org.springframework.amqp.rabbit.core.RabbitAdmin;
import org.springframework.amqp.rabbit.core.RabbitTemplate;
import org.springframework.amqp.rabbit.listener.AbstractMessageListenerContainer;
import org.springframework.amqp.rabbit.listener.SimpleMessageListenerContainer;

/** The connection factories and containers of one check, and the names it declared. */
final class Scope implements AutoCloseable {
    private final String uri;
    private final String run = Checks.token();
    private final List<CachingConnectionFactory> factories = new ArrayList<>();
    private final List<AbstractMessageListenerContainer> containers = new ArrayList<>();
    private final List<String> queues = new ArrayList<>();
    private final List<String> exchanges = new ArrayList<>();
    private final RabbitAdmin admin;

    Scope(String uri) {
        this.uri = uri;
        this.admin = new RabbitAdmin(connections());
    }

    CachingConnectionFactory connections() {
        var factory = new CachingConnectionFactory();
        factory.setUri(uri);
        factory.setRequestedHeartBeat(30);
        factories.add(factory);
        return factory;
    }

    /** A template that learns of each message whether the broker took it, and gets back what reached no queue. */
    RabbitTemplate confirmedTemplate() {
        var factory = connections();
        factory.setPublisherConfirmType(ConfirmType.CORRELATED);
        factory.setPublisherReturns(true);
        var template = new RabbitTemplate(factory);
        template.setMandatory(true);
        return template;
    }

    RabbitTemplate template() {
        var template = new RabbitTemplate(connections());
        template.setReceiveTimeout(Checks.PATIENCE_SECONDS * 1000L);
        return template;
    }

    RabbitAdmin admin() {
        return admin;
    }

    String name(String suffix) {
        return "spring-amqp." + run + "." + suffix;
    }

    /** Declares a queue whose builder was given a name of this scope. */
    String queue(QueueBuilder builder) {
        return queue(builder.build());
    }

    String queue(String suffix) {
        return queue(QueueBuilder.durable(name(suffix)));
    }

    private String queue(Queue queue) {
        removeQueue(queue.getName());
        admin.declareQueue(queue);
        return queue.getName();
    }

    String exchange(Exchange exchange) {
        exchanges.add(exchange.getName());
        admin.declareExchange(exchange);
        return exchange.getName();
    }

    void bind(String queue, String exchange, String key) {
        admin.declareBinding(new Binding(queue, Binding.DestinationType.QUEUE, exchange, key, null));
    }

    /** Remembers a queue that somebody else declares. */
    void removeQueue(String name) {
        queues.add(name);
    }

    /** A container that is not started yet. */
    SimpleMessageListenerContainer container(String queue, MessageListener listener) {
        var container = new SimpleMessageListenerContainer(connections());
        container.setQueueNames(queue);
        container.setMessageListener(listener);
        container.setReceiveTimeout(100);
        container.setRecoveryInterval(100);
        return keep(container);
    }

    <T extends AbstractMessageListenerContainer> T keep(T container) {
        containers.add(container);
        return container;
    }

    /** Starts a container, and waits until the broker knows of its consumer. */
    void start(AbstractMessageListenerContainer container) throws InterruptedException {
        container.afterPropertiesSet();
        container.start();
        for (var queue : container.getQueueNames()) {
            Checks.waitUntil(() -> consumers(queue) > 0, "the consumer on " + queue);
        }
    }

    int consumers(String queue) {
        var queueInformation = admin.getQueueInfo(queue);
        return queueInformation == null ? -1 : queueInformation.getConsumerCount();
    }

    /** Whether this broker has what Leveret alone has; it says who it is in one of its properties. */
    boolean isLeveret() {
        try (var connection = connections().createConnection()) {
            var properties = connection.getDelegate().getServerProperties();
            return String.valueOf(properties.get("information")).contains("Leveret");
        }
    }

    int messages(String queue) {
        return (int) admin.getQueueInfo(queue).getMessageCount();
    }

    /** What a listener received, in order. */
    static final class Received implements MessageListener {
        private final BlockingQueue<Message> messages = new LinkedBlockingQueue<>();

        @Override
        public void onMessage(Message message) {
            messages.add(message);
        }

        Message next() throws InterruptedException {
            return Checks.next(messages, "a delivery to the listener");
        }
    }

    static String text(Message message) {
        return new String(message.getBody(), StandardCharsets.UTF_8);
    }

    /** Makes the broker close the connection that this factory shares, and waits until the factory knows. */
    static void breakConnection(CachingConnectionFactory factory) throws Exception {
        var closed = new LinkedBlockingQueue<String>();
        factory.addConnectionListener(new ConnectionListener() {
            @Override
            public void onCreate(Connection connection) {}

            @Override
            public void onShutDown(ShutdownSignalException signal) {
                closed.add(signal.getMessage());
            }
        });
        try {
            factory.createConnection().createChannel(false).basicQos(1, 0, false);
            throw new AssertionError("prefetch_size was accepted");
        } catch (IOException refused) {
            var reason = Checks.next(closed, "the connection to close");
            Checks.expectThat(reason.contains("reply-code=540"), reason);
        }
    }

    @Override
    public void close() {
        containers.forEach(AbstractMessageListenerContainer::destroy);
        queues.forEach(admin::deleteQueue);
        exchanges.forEach(admin::deleteExchange);
        factories.forEach(CachingConnectionFactory::destroy);
    }
}
