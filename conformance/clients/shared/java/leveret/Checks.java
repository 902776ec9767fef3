package leveret;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/**
 * The runner that the Java clients share: it runs checks one after the other, prints a line for each, and bounds its
 * time. What a check does, and what its scope S is, lives in the client's own folder.
 */
final class Checks<S extends AutoCloseable> {
    static final int CHECK_SECONDS = 20;
    static final int PATIENCE_SECONDS = 10;

    interface Check<S> {
        void run(S scope) throws Exception;
    }

    private final Map<String, Check<S>> checks = new LinkedHashMap<>();

    void add(String name, Check<S> check) {
        checks.put(name, check);
    }

    /** Each check gets a scope of its own, whose close ends its connections and deletes what it declared. */
    void run(Supplier<S> openScope) {
        var executor = Executors.newCachedThreadPool(work -> {
            var thread = new Thread(work);
            thread.setDaemon(true);
            return thread;
        });
        checks.forEach((name, check) -> {
            var outcome = executor.submit(() -> {
                try (var scope = openScope.get()) {
                    check.run(scope);
                }
                return null;
            });
            try {
                outcome.get(CHECK_SECONDS, TimeUnit.SECONDS);
                System.out.println("ok " + name);
            } catch (TimeoutException late) {
                System.out.println("FAIL " + name + ": not done within " + CHECK_SECONDS + " s");
            } catch (ExecutionException failure) {
                failure.getCause().printStackTrace();
                System.out.println("FAIL " + name + ": " + oneLine(failure.getCause()));
            } catch (InterruptedException interrupted) {
                throw new IllegalStateException(interrupted);
            }
        });
        System.out.println("end");
        System.exit(0);
    }

    private static String oneLine(Throwable failure) {
        // What the broker said is the cause of the client's IOException.
        var cause = failure.getCause() == null ? "" : " caused by " + failure.getCause();
        var text = (failure + cause).replaceAll("\\s+", " ");
        return text.substring(0, Math.min(text.length(), 400));
    }

    static String token() {
        return UUID.randomUUID().toString().substring(0, 8);
    }

    static void expect(Object found, Object wanted, String what) {
        if (!Objects.equals(found, wanted)) {
            throw new AssertionError(what + ": got " + found + ", wanted " + wanted);
        }
    }

    static void expectThat(boolean truth, String what) {
        if (!truth) {
            throw new AssertionError(what);
        }
    }

    /** What the queue yields within the patience of a check. */
    static <T> T next(BlockingQueue<T> from, String what) throws InterruptedException {
        T value = from.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
        expectThat(value != null, "waited " + PATIENCE_SECONDS + " s for " + what);
        return value;
    }

    static void waitUntil(BooleanSupplier ready, String what) throws InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
        while (!ready.getAsBoolean()) {
            expectThat(System.nanoTime() < deadline, "waited " + PATIENCE_SECONDS + " s for " + what);
            Thread.sleep(5);
        }
    }
}
