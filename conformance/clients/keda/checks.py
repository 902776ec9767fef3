"""KEDA's scaler for RabbitMQ: its requests over HTTP, read into fields with the names and types of its structures. A field
that is missing reads as zero there, and scales consumers to none."""

import os
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "shared"))
from checks import expect, expect_that, run_checks, token, wait_until  # noqa: E402
from management import Addresses, QueueWithMessages, Scope, typed  # noqa: E402

ADDRESSES = Addresses(sys.argv)
QUEUE = {
    "name": str,
    "messages": int,
    "messages_unacknowledged": int,
    "messages_ready": int,
    "message_stats?": {"publish_details?": {"rate": float}},
}


def length_of_a_queue(scope):
    queue = scope.add(QueueWithMessages(ADDRESSES, f"keda.{token()}", 5))
    found = ADDRESSES.get(f"queues/%2F/{queue.name}")
    typed(found, QUEUE)
    expect((found["messages"], found["messages_unacknowledged"]), (5, 0))


def lengths_by_expression(scope):
    prefix = f"keda.{token()}"
    for number in range(3):
        scope.add(QueueWithMessages(ADDRESSES, f"{prefix}.{number}", number + 1))
    expression = urllib.parse.quote(f"^{prefix}.*", safe="")
    found = ADDRESSES.get(f"queues/%2F?page=1&use_regex=true&pagination=false&name={expression}&page_size=2")
    typed(found, {"items": [QUEUE], "page_count": int})
    expect(([one["messages"] for one in found["items"]], found["page_count"]), ([1, 2], 2))


def rate_of_publishing(scope):
    queue = scope.add(QueueWithMessages(ADDRESSES, f"keda.{token()}", 1))

    def rate():
        queue.publish("more")
        found = queue.described()
        typed(found, QUEUE)
        return found.get("message_stats", {}).get("publish_details", {}).get("rate", 0)

    expect_that(wait_until(rate, "a rate", 18, 0.5) > 0, "a rate")


def a_missing_queue_is_an_error(_scope):
    expect(ADDRESSES.request("GET", f"queues/%2F/{token()}")[0], 404)


run_checks([length_of_a_queue, lengths_by_expression, rate_of_publishing, a_missing_queue_is_an_error], Scope)
