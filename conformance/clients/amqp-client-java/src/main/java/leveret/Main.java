package leveret;

/** RabbitMQ's Java client: the tutorials' flows and the broker's promises. */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) {
        var checks = new Checks();
        Tutorials.addTo(checks);
        Promises.addTo(checks);
        checks.run(arguments[0]);
    }
}
