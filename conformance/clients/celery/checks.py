"""Celery: workers of its own over the broker, with retries, an ETA, remote control, events, chords, and a worker that is
killed over its task. Results come back by the rpc backend; that cannot do chords, so these run on a second worker that
keeps its results in files."""

import datetime
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import celery
from kombu import Exchange, Queue

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "shared"))
from checks import expect, expect_that, run_checks, token, wait_until  # noqa: E402
from tasks import make_app  # noqa: E402

URI = sys.argv[1]
PATIENCE = 10


class Worker:
    """A Celery worker in a process of its own, and the application as its clients see it."""

    def __init__(self, name, backend):
        self.prefix = f"celery.{name}.{token()}"
        self.app = make_app(URI, backend, self.prefix)
        own = {"CHECK_URI": URI, "CHECK_PREFIX": self.prefix, "CHECK_BACKEND": backend}
        self._environment = {**os.environ, **own}
        self._process = None

    def task(self, name):
        return self.app.tasks[name]

    def start(self):
        command = [sys.executable, "-m", "celery", "--app", "tasks", "--quiet", "worker"]
        options = ["--concurrency", "2", "--loglevel", "WARNING", "--hostname", f"{self.prefix}@check",
                   "--without-gossip", "--without-mingle"]
        self._process = subprocess.Popen([*command, *options], env=self._environment, stdout=sys.stderr)

    def ready(self):
        wait_until(lambda: self.app.control.ping(timeout=0.3), "an answer of the worker", seconds=40)

    def kill(self):
        """Ends the worker and the processes of its pool with SIGKILL, so that it has no say in what becomes of its tasks."""
        (stats,) = self.app.control.inspect(timeout=2).stats().values()
        for pid in [stats["pid"], *stats["pool"]["processes"]]:
            os.kill(pid, signal.SIGKILL)
        expect(self._process.wait(PATIENCE), -signal.SIGKILL, "exit code of the killed worker")

    def stop(self):
        """Asks the worker to end and gives its exit code."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise AssertionError("the worker did not end on SIGTERM") from None

    def remove(self):
        """Deletes what the application declared."""
        with self.app.connection_for_write() as connection:
            channel = connection.channel()
            channel.queue_delete(f"{self.prefix}.tasks")
            for name in ("tasks", "control.pidbox", "reply.control.pidbox", "events"):
                channel.exchange_delete(f"{self.prefix}.{name}")
            channel.exchange_delete(f"reply.{self.prefix}.control.pidbox")


class Scope:
    """Nothing to clean up: the workers outlive the checks, and remove what they declared at the end."""

    def close(self):
        pass


results = tempfile.TemporaryDirectory(prefix="celery-results-")
rpc = Worker("rpc", "rpc://")
files = Worker("files", "file://" + results.name)


def worker_answers(_scope):
    rpc.ready()
    files.ready()
    answers = rpc.app.control.inspect(timeout=2).active_queues()
    ((queue,),) = answers.values()
    expect(queue["name"], f"{rpc.prefix}.tasks")


def results_over_rpc(_scope):
    expect(rpc.task("add").delay(2, 3).get(PATIENCE), 5)
    expect([result.get(PATIENCE) for result in [rpc.task("add").delay(n, n) for n in range(20)]], [2 * n for n in range(20)])


def errors_reach_the_caller(_scope):
    try:
        rpc.task("fail").delay().get(PATIENCE)
    except ValueError as error:
        expect(str(error), "as asked")
    else:
        raise AssertionError("the failure of the task was lost")


def retries(_scope):
    expect(rpc.task("flaky").delay(2).get(PATIENCE), 2, "retries until it passed")


def eta(_scope):
    started = time.monotonic()
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1)
    expect(rpc.task("add").apply_async((1, 1), eta=when).get(PATIENCE), 2)
    expect_that(time.monotonic() - started >= 0.95, "the task ran before its time")


def chain_and_group(_scope):
    expect(celery.chain(rpc.task("add").s(1, 2), rpc.task("add").s(10), rpc.task("add").s(100))().get(PATIENCE), 113)
    expect(celery.group(rpc.task("add").s(n, 1) for n in range(5))().get(PATIENCE), [1, 2, 3, 4, 5])


def chord(_scope):
    answer = celery.chord((files.task("add").s(n, n) for n in range(10)), files.task("total").s())()
    expect(answer.get(PATIENCE), 90)


def large_argument(_scope):
    text = token() * (1024 * 1024 // 8)
    expect_that(rpc.task("echo").delay(text).get(PATIENCE) == text, "1 MiB came back changed")


def task_events(_scope):
    seen = []
    listening, done = threading.Event(), threading.Event()

    def listen():
        handlers = {"task-succeeded": lambda event: seen.append(event["uuid"])}
        with rpc.app.connection_for_read() as template:
            receiver = rpc.app.events.Receiver(template, handlers=handlers)
            with receiver.consumer_context() as (connection, _channel, _consumers):
                listening.set()
                while not done.is_set():
                    try:
                        connection.drain_events(timeout=0.2)
                    except TimeoutError:
                        pass

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    expect_that(listening.wait(PATIENCE), "the event receiver did not start")
    result = rpc.task("add").delay(1, 2)
    expect(result.get(PATIENCE), 3)
    wait_until(lambda: result.id in seen, "the task-succeeded event")
    done.set()
    listener.join(PATIENCE)


def retries_by_the_queue(_scope):
    """A task that fails is rejected (acks_late, no acks_on_failure_or_timeout), and the queue tries it again, then lets it die."""
    name, dead = f"{rpc.prefix}.retrying", f"{rpc.prefix}.dead"
    arguments = {"x-retry-delays": "50ms,100ms", "x-retry-rejected": True}
    arguments.update({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
    queue = Queue(name, Exchange(f"{rpc.prefix}.tasks"), routing_key="retrying", queue_arguments=arguments)
    with tempfile.TemporaryDirectory(prefix="celery-starts-") as folder, rpc.app.connection_for_write() as connection:
        channel = connection.channel()
        channel.queue_declare(dead, durable=True, auto_delete=False)
        queue.bind(channel).declare()
        try:
            rpc.app.control.add_consumer(
                name, exchange=queue.exchange.name, routing_key="retrying", options={"queue_arguments": arguments}, reply=True
            )
            rpc.task("stubborn").apply_async((folder,), queue=queue)
            died = wait_until(lambda: channel.basic_get(dead, no_ack=True), "the dead letter")
            rpc.app.control.cancel_consumer(name, reply=True)
            expect(died.headers["task"], "stubborn")
            expect(died.headers["x-first-death-reason"], "rejected")
            # RabbitMQ keeps the arguments and does not look at them.
            is_leveret = "Leveret" in connection.connection.server_properties["information"]
            expect(len(os.listdir(folder)), 3 if is_leveret else 1, "starts")
        finally:
            for declared in (name, dead):
                channel.queue_delete(declared)


def waits_for_the_next_worker(_scope):
    """What is sent while no worker runs is there for the next one."""
    expect(files.stop(), 0, "exit code of the worker")
    waiting = [files.task("add").delay(n, 0) for n in range(5)]
    files.start()
    expect([result.get(15) for result in waiting], list(range(5)))


def killed_worker(_scope):
    """A task is acknowledged when it is done (task_acks_late), so the one that dies with its worker runs again."""
    with tempfile.TemporaryDirectory(prefix="celery-starts-") as folder:
        result = rpc.task("outlive").delay(folder)
        wait_until(lambda: os.listdir(folder), "the first start of the task")
        rpc.kill()
        expect_that(not result.ready(), "the task had an answer although its worker was killed")
        rpc.start()
        expect(result.get(15), {"starts": 2, "redelivered": True})


for worker in (rpc, files):
    worker.start()
try:
    run_checks(
        [
            worker_answers,
            results_over_rpc,
            errors_reach_the_caller,
            retries,
            eta,
            chain_and_group,
            chord,
            large_argument,
            task_events,
            retries_by_the_queue,
            waits_for_the_next_worker,
            killed_worker,
        ],
        Scope,
    )
finally:
    for worker in (rpc, files):
        worker.stop()
        worker.remove()
    results.cleanup()
