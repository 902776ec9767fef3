"""The management client of NServiceBus' transport for RabbitMQ: its requests, read into fields with the names and types of
its records. It refuses to start where the broker's version, a feature flag or a queue's delivery limit is not as it must be."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "shared"))
from checks import expect, expect_that, run_checks, token, wait_until  # noqa: E402
from management import Addresses, QueueWithMessages, Scope, typed  # noqa: E402

ADDRESSES = Addresses(sys.argv)
QUEUE = {
    "name": str,
    "type": str,
    "durable": bool,
    "exclusive": bool,
    "arguments": dict,
    "messages": int,
    "policy?": str,
    "effective_policy_definition": dict,
}


def version_and_feature_flags(_scope):
    overview = ADDRESSES.get("overview")
    typed(overview, {"product_name": str, "management_version": str, "product_version": str, "rabbitmq_version": str,
                     "cluster_name": str, "node": str, "disable_stats": bool})
    version = tuple(int(part) for part in overview["rabbitmq_version"].split("."))
    expect_that(version >= (3, 10, 0), f"{version} is too old for the transport")
    flags = ADDRESSES.get("feature-flags")
    typed(flags, [{"name": str, "state": str, "stability": str}])
    states = {flag["name"]: flag["state"] for flag in flags}
    expect(states.get("stream_queue"), "enabled")


def a_queue_and_its_delivery_limit(scope):
    queue = scope.add(QueueWithMessages(ADDRESSES, f"nservicebus.{token()}", 1, "quorum"))
    typed(queue.described(), QUEUE)
    path = f"policies/%2F/nsb.{queue.name}.delivery-limit"
    policy = {"apply-to": "quorum_queues", "definition": {"delivery-limit": -1}, "pattern": f"^{queue.name}$", "priority": 0}
    expect(ADDRESSES.request("PUT", path, policy)[0], 201)
    try:
        limit = lambda: queue.described().get("effective_policy_definition", {}).get("delivery-limit") == -1
        wait_until(limit, "the policy's delivery limit", 10, 0.1)
        expect(queue.described()["policy"], f"nsb.{queue.name}.delivery-limit")
    finally:
        ADDRESSES.request("DELETE", path)


def queues_by_page(scope):
    prefix = f"nservicebus.{token()}"
    for number in range(3):
        scope.add(QueueWithMessages(ADDRESSES, f"{prefix}.{number}", 0))
    found = ADDRESSES.get(f"queues/%2F?page=2&page_size=2&name={prefix}")
    typed(found, {"items": [QUEUE], "filtered_count": int, "item_count": int, "page": int, "page_count": int,
                  "page_size": int, "total_count": int})
    expect([one["name"] for one in found["items"]], [f"{prefix}.2"])


def bindings_of_the_topology(scope):
    queue = scope.add(QueueWithMessages(ADDRESSES, f"nservicebus.{token()}", 0))
    exchange = f"exchanges/%2F/{queue.name}"
    expect(ADDRESSES.request("PUT", exchange, {"type": "fanout", "durable": True})[0], 201)
    try:
        status, _ = ADDRESSES.request("POST", f"bindings/%2F/e/{queue.name}/q/{queue.name}", {"routing_key": ""})
        expect(status, 201)
        found = ADDRESSES.get(f"queues/%2F/{queue.name}/bindings")
        typed(found, [{"source": str, "vhost": str, "destination": str, "destination_type": str, "routing_key": str,
                       "arguments": dict, "properties_key": str}])
        expect({one["source"] for one in found}, {"", queue.name})
    finally:
        ADDRESSES.request("DELETE", exchange)


run_checks([version_and_feature_flags, a_queue_and_its_delivery_limit, queues_by_page, bindings_of_the_topology], Scope)
