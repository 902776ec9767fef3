"""Flower: what its page of the broker says of the queues of a Celery worker, and its class for RabbitMQ."""

import asyncio
import os
import re
import sys

from flower.utils.broker import RabbitMQ, validate_broker_api

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "shared"))
from checks import expect, expect_that, run_checks, token, wait_until  # noqa: E402
from management import Addresses, Process, QueueWithMessages, Scope, fetch, free_port  # noqa: E402

ADDRESSES = Addresses(sys.argv)


def broker_api():
    return f"{ADDRESSES.api.replace('://', f'://{ADDRESSES.user}:{ADDRESSES.password}@')}/api/"


def its_class_counts_a_queue(scope):
    queue = scope.add(QueueWithMessages(ADDRESSES, f"flower.{token()}", 3))
    validate_broker_api(broker_api())
    broker = RabbitMQ(ADDRESSES.amqp + "//", broker_api())
    (found,) = asyncio.run(broker.queues([queue.name]))
    expect({name: found[name] for name in ("messages", "messages_ready", "messages_unacknowledged", "consumers")},
           {"messages": 3, "messages_ready": 3, "messages_unacknowledged": 0, "consumers": 0})


def its_page_has_numbers(scope):
    queue = scope.add(QueueWithMessages(ADDRESSES, f"flower.{token()}", 3))
    port = free_port()
    settings = {**os.environ, "CHECK_URI": ADDRESSES.amqp + "//", "CHECK_QUEUE": queue.name}
    options = [f"--port={port}", "--address=127.0.0.1", f"--broker_api={broker_api()}", "--logging=error"]
    celery = [sys.executable, "-m", "celery", "--app", "checks_app", "flower", *options]
    scope.add(Process(celery, env=settings, cwd=os.path.dirname(os.path.abspath(__file__))))

    def row():
        page = fetch(f"http://127.0.0.1:{port}/broker", 15)
        cells = re.search(rf"<td>\s*{re.escape(queue.name)}\s*</td>(.*?)</tr>", page, re.DOTALL)
        return cells and [cell.strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", cells[1], re.DOTALL)]

    cells = wait_until(row, "a row for the queue", 15, 0.2)
    expect(cells[0], "3", "messages on the page")
    expect_that(all(cell.isdigit() for cell in cells[:4]), f"all of {cells} are numbers")


run_checks([its_class_counts_a_queue, its_page_has_numbers], Scope)
