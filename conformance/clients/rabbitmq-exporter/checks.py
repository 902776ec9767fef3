"""The Prometheus exporter by kbudde, beside the broker: it asks the management API at each scrape, and says of itself whether
that went well."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "shared"))
from checks import expect, expect_that, run_checks, token, wait_until  # noqa: E402
from management import Addresses, Process, QueueWithMessages, Scope, fetch, free_port  # noqa: E402

ADDRESSES = Addresses(sys.argv)
EXPORTER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "target", "exporter")


def scraper(scope):
    """A function that gives what the exporter says."""
    port = free_port()
    settings = {
        "RABBIT_URL": ADDRESSES.api,
        "RABBIT_USER": ADDRESSES.user,
        "RABBIT_PASSWORD": ADDRESSES.password,
        "RABBIT_CAPABILITIES": "no_sort",
        "RABBIT_EXPORTERS": "exchange,node,queue,connections,overview,aliveness",
        "PUBLISH_ADDR": "127.0.0.1",
        "PUBLISH_PORT": str(port),
        "LOG_LEVEL": "warn",
    }
    exporter = scope.add(Process([EXPORTER], env={**os.environ, **settings}))

    def scrape():
        expect_that(exporter.is_running(), "the exporter has ended")
        return fetch(f"http://127.0.0.1:{port}/metrics")

    return scrape


def value(text, name, **labels):
    """Of the metric of this name whose labels include these; None where there is none."""
    for found, number in re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE):
        if all(f'{label}="{wanted}"' in found for label, wanted in labels.items()):
            return float(number)
    return None


def it_says_that_the_broker_is_up(scope):
    scrape = scraper(scope)
    expect(value(scrape(), "rabbitmq_up"), 1.0, "rabbitmq_up")
    text = scrape()
    for module in ("exchange", "node", "queue", "connections", "overview", "aliveness"):
        expect(value(text, "rabbitmq_module_up", module=module), 1.0, f"module {module}")


def it_counts_messages(scope):
    queue = scope.add(QueueWithMessages(ADDRESSES, f"exporter.{token()}", 3))
    scrape = scraper(scope)
    expect(value(scrape(), "rabbitmq_queue_messages_ready", queue=queue.name), 3.0)
    published = lambda: value(scrape(), "rabbitmq_queue_messages_published_total", queue=queue.name) == 3.0
    wait_until(published, "three publishes", 10, 0.3)
    text = scrape()
    for name in ("queue_messages", "queue_consumers", "queue_memory"):
        expect_that(value(text, f"rabbitmq_{name}", queue=queue.name) is not None, f"{name} is missing")


def it_knows_the_node(scope):
    text = scraper(scope)()
    for name in ("node_mem_used", "node_mem_limit", "fd_used", "fd_available", "node_disk_free", "uptime", "queues", "connections"):
        expect_that(value(text, f"rabbitmq_{name}") is not None, f"{name} is missing")
    expect(value(text, "rabbitmq_running"), 1.0)
    expect(value(text, "rabbitmq_node_mem_alarm"), 0.0)


run_checks([it_says_that_the_broker_is_up, it_counts_messages, it_knows_the_node], Scope)
