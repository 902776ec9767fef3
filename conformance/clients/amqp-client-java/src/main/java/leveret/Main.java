package leveret;

/** RabbitMQ's Java client: the tutorials' flows and the broker's promises. */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) {
        var checks = new Checks<Scope>();
        Tutorials.addTo(checks);
        Promises.addTo(checks);
        checks.run(() -> new Scope(arguments[0]));
    }
}
