"""The Celery application under check, for its worker and for those who call it."""

import os
import tempfile
import time

from celery import Celery


def make_app(broker, backend, prefix):
    """An application whose queues and exchanges all start with `prefix`."""
    app = Celery(prefix, broker=broker, backend=backend)
    app.conf.update(
        task_default_queue=f"{prefix}.tasks",
        task_default_exchange=f"{prefix}.tasks",
        task_default_routing_key="tasks",
        control_exchange=f"{prefix}.control",
        event_exchange=f"{prefix}.events",
        event_queue_prefix=f"{prefix}.events",
        worker_send_task_events=True,
        worker_prefetch_multiplier=1,
        task_acks_late=True,
        result_expires=60,
        result_chord_retry_interval=0.1,
        broker_transport_options={"confirm_publish": True},
    )

    @app.task(name="add", shared=False)
    def add(x, y):
        return x + y

    @app.task(name="total", shared=False)
    def total(numbers):
        return sum(numbers)

    @app.task(name="flaky", shared=False, bind=True, max_retries=3)
    def flaky(self, failures):
        if self.request.retries < failures:
            raise self.retry(countdown=0.05)
        return self.request.retries

    @app.task(name="fail", shared=False)
    def fail():
        raise ValueError("as asked")

    @app.task(name="outlive", shared=False, bind=True)
    def outlive(self, folder):
        """Notes each start as a file in `folder`. The first run goes on for longer than any check waits."""
        open(os.path.join(folder, str(os.getpid())), "x").close()
        starts = len(os.listdir(folder))
        if starts == 1:
            time.sleep(60)
        return {"starts": starts, "redelivered": self.request.delivery_info["redelivered"]}

    @app.task(name="stubborn", shared=False, ignore_result=True, acks_on_failure_or_timeout=False)
    def stubborn(folder):
        """Notes each start as a file in `folder`, and fails; so the worker rejects its message."""
        tempfile.mkstemp(dir=folder)
        raise ValueError("as asked")

    @app.task(name="echo", shared=False)
    def echo(value):
        return value

    return app


if "CHECK_PREFIX" in os.environ:
    app = make_app(os.environ["CHECK_URI"], os.environ["CHECK_BACKEND"], os.environ["CHECK_PREFIX"])
