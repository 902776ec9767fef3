package leveret;

/** Spring AMQP, without a web server: its template and admin, and its listener containers. */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) {
        var checks = new Checks<Scope>();
        Templates.addTo(checks);
        Listeners.addTo(checks);
        checks.run(() -> new Scope(arguments[0]));
    }
}
