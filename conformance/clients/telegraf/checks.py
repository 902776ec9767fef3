"""Telegraf's input plugin for RabbitMQ: its requests, read into fields with the names and types of its structures."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "shared"))
from checks import expect, run_checks, token, wait_until  # noqa: E402
from management import Addresses, QueueWithMessages, Scope, typed  # noqa: E402

ADDRESSES = Addresses(sys.argv)
RATE = {"rate": float}
STATS = {
    "ack?": int,
    "ack_details?": RATE,
    "deliver?": int,
    "deliver_details?": RATE,
    "deliver_get?": int,
    "deliver_get_details?": RATE,
    "publish": int,
    "publish_details?": RATE,
    "redeliver?": int,
    "redeliver_details?": RATE,
    "publish_in?": int,
    "publish_in_details?": RATE,
    "publish_out?": int,
    "publish_out_details?": RATE,
    "return_unroutable?": int,
    "return_unroutable_details?": RATE,
}
TOTALS = {"messages": int, "messages_ready": int, "messages_unacknowledged": int}
BYTES = {
    "message_bytes": int,
    "message_bytes_ready": int,
    "message_bytes_unacknowledged": int,
    "message_bytes_ram": int,
    "message_bytes_persistent": int,
}


def overview(scope):
    scope.add(QueueWithMessages(ADDRESSES, f"telegraf.{token()}", 2))
    kinds = {"channels": int, "connections": int, "consumers": int, "exchanges": int, "queues": int}
    wanted = {
        "message_stats": STATS,
        "object_totals": kinds,
        "queue_totals": TOTALS,
        "listeners": [{"protocol": str}],
    }
    wait_until(lambda: "publish" in ADDRESSES.get("overview")["message_stats"], "a count of publishes", 15, 0.2)
    typed(ADDRESSES.get("overview"), wanted)


def nodes(_scope):
    numbers = """disk_free disk_free_limit fd_total fd_used mem_limit mem_used proc_total proc_used run_queue sockets_total
        sockets_used uptime mnesia_disk_tx_count mnesia_ram_tx_count gc_num gc_bytes_reclaimed io_read_avg_time io_read_bytes
        io_write_avg_time io_write_bytes""".split()
    found = ADDRESSES.get("nodes")
    needed = {"name": str, "running": bool, "disk_free_alarm": bool, "mem_alarm": bool, "disk_free": int, "mem_used": int,
              "fd_used": int, "fd_total": int, "uptime": int}
    typed(found, [{**{f"{name}?": float for name in numbers}, **needed}])
    memory = ADDRESSES.get(f"nodes/{found[0]['name']}/memory")
    typed(memory, {"memory": {"total": dict}})


def queues(scope):
    queue = scope.add(QueueWithMessages(ADDRESSES, f"telegraf.{token()}", 2))
    found = [one for one in ADDRESSES.get("queues") if one["name"] == queue.name]
    wanted = {
        **TOTALS, **BYTES, "message_stats": STATS, "memory": int, "consumers": int, "name": str, "node": str, "vhost": str,
        "durable": bool, "auto_delete": bool, "idle_since?": str, "consumer_utilisation?": float,
    }
    wait_until(lambda: "publish" in queue.described().get("message_stats", {}), "a count of publishes", 15, 0.2)
    found = [one for one in ADDRESSES.get("queues") if one["name"] == queue.name]
    typed(found, [wanted])
    expect((found[0]["messages"], found[0]["message_stats"]["publish"]), (2, 2))


def exchanges(scope):
    scope.add(QueueWithMessages(ADDRESSES, f"telegraf.{token()}", 2))
    wanted = {"name": str, "type": str, "internal": bool, "vhost": str, "durable": bool, "auto_delete": bool}
    found = ADDRESSES.get("exchanges")
    typed(found, [wanted])
    stats = lambda: [one["message_stats"] for one in ADDRESSES.get("exchanges") if one["name"] == "" and "publish_in_details" in one.get("message_stats", {})]
    (counted, *_) = wait_until(stats, "counts of the default exchange", 15, 0.2)
    typed(counted, {"publish_in": int, "publish_in_details": RATE, "publish_out": int, "publish_out_details": RATE})


run_checks([overview, nodes, queues, exchanges], Scope)
