"""AMQPStorm's management client: everything it does, beside an AMQP connection of the same library."""

import os
import sys

import amqpstorm
from amqpstorm.management import ApiError, ManagementApi

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "shared"))
from checks import expect, expect_that, run_checks, token, wait_until  # noqa: E402
from management import Addresses, Scope as Closing  # noqa: E402

ADDRESSES = Addresses(sys.argv)


class Scope(Closing):
    """The API, and a vhost of its own, gone at the end."""

    def __init__(self):
        super().__init__()
        self.api = ManagementApi(ADDRESSES.api, ADDRESSES.user, ADDRESSES.password)
        self.vhost = f"amqpstorm.{token()}"
        self.api.virtual_host.create(self.vhost)
        self.api.user.set_permission(ADDRESSES.user, self.vhost)

    def close(self):
        super().close()
        self.api.virtual_host.delete(self.vhost)

    def connection(self):
        return self.add(amqpstorm.UriConnection(f"{ADDRESSES.amqp}/{self.vhost}"))


def names(found):
    return {one["name"] for one in found}


def refused(status, work):
    try:
        work()
    except ApiError as error:
        expect(error.error_code, status)
    else:
        raise AssertionError(f"not refused, where {status} was due")


def node(scope):
    api = scope.api
    overview = api.overview()
    expect(api.nodes()[0]["name"], overview["node"])
    expect(api.node(overview["node"])["running"], True)
    expect(api.whoami()["name"], ADDRESSES.user)
    expect_that(api.cluster_name()["name"], "cluster name")
    expect(api.aliveness_test("/"), {"status": "ok"})


def virtual_hosts(scope):
    api = scope.api
    expect(api.virtual_host.get(scope.vhost)["name"], scope.vhost)
    expect_that(scope.vhost in names(api.virtual_host.list()), "list")
    expect([one["user"] for one in api.virtual_host.get_permissions(scope.vhost)], [ADDRESSES.user])


def users(scope):
    api, user = scope.api, f"user.{token()}"
    api.user.create(user, "secret", tags="monitoring,policymaker")
    expect(sorted(api.user.get(user)["tags"]), ["monitoring", "policymaker"])
    expect_that(user in names(api.user.list()), "list")
    api.user.set_permission(user, scope.vhost, "a", "b", "c")
    expect(api.user.get_permission(user, scope.vhost)["write"], "b")
    expect(len(api.user.get_permissions(user)), 1)
    api.user.delete_permission(user, scope.vhost)
    expect(api.user.get_permissions(user), [])
    api.user.delete([user])
    refused(404, lambda: api.user.get(user))


def queues_and_messages(scope):
    api, vhost = scope.api, scope.vhost
    api.queue.declare("queue", virtual_host=vhost, durable=True, arguments={"x-max-length": 100})
    api.queue.declare("queue", virtual_host=vhost, passive=True)
    refused(404, lambda: api.queue.declare("missing", virtual_host=vhost, passive=True))
    refused(400, lambda: api.queue.declare("queue", virtual_host=vhost, durable=False))
    expect(api.basic.publish("hello", "queue", virtual_host=vhost, properties={"message_id": "m1"}), {"routed": True})
    expect(api.basic.publish("lost", "nowhere", virtual_host=vhost), {"routed": False})
    wait_until(lambda: api.queue.get("queue", vhost).get("messages") == 1, "a message", 15, 0.1)
    (message,) = api.basic.get("queue", virtual_host=vhost, requeue=True)
    expect((message.body, message.properties["message_id"]), ("hello", "m1"))
    (message,) = api.basic.get("queue", virtual_host=vhost, to_dict=True)
    expect((message["payload"], message["redelivered"], message["message_count"]), ("hello", True, 0))
    expect(api.basic.get("queue", virtual_host=vhost), [])
    api.basic.publish("hello", "queue", virtual_host=vhost)
    api.queue.purge("queue", virtual_host=vhost)
    expect(api.basic.get("queue", virtual_host=vhost), [])
    for number in range(12):
        api.queue.declare(f"more.{number:02}", virtual_host=vhost)
    expect(len(api.queue.list(vhost, page_size=5)), 13, "queues over three pages")
    expect(names(api.queue.list(vhost, name="^more.*[13]$", use_regex=True)), {"more.01", "more.03", "more.11"})
    expect_that("queue" in names(api.queue.list(show_all=True, name="queue")), "all vhosts")
    api.queue.delete("queue", virtual_host=vhost)
    refused(404, lambda: api.queue.get("queue", vhost))


def exchanges_and_bindings(scope):
    api, vhost = scope.api, scope.vhost
    api.exchange.declare("one", "topic", virtual_host=vhost, durable=True)
    api.exchange.declare("other", "fanout", virtual_host=vhost, internal=True)
    api.queue.declare("queue", virtual_host=vhost)
    expect(api.exchange.get("one", vhost)["type"], "topic")
    expect_that({"one", "other", "amq.match"} <= names(api.exchange.list(vhost)), "list")
    api.exchange.bind("other", "one", "a.#", virtual_host=vhost, arguments={"x": 1})
    api.queue.bind("queue", "one", "b.*", virtual_host=vhost)
    bindings = api.exchange.bindings("one", vhost)
    expect({(one["destination"], one["routing_key"]) for one in bindings}, {("other", "a.#"), ("queue", "b.*")})
    expect(len(api.queue.bindings("queue", vhost)), 2)
    (key,) = [one["properties_key"] for one in bindings if one["destination"] == "other"]
    api.exchange.unbind("other", "one", "a.#", virtual_host=vhost, properties_key=key)
    api.queue.unbind("queue", "one", "b.*", virtual_host=vhost)
    expect(api.exchange.bindings("one", vhost), [])
    refused(404, lambda: api.queue.bind("queue", "missing", "x", virtual_host=vhost))
    api.exchange.delete("one", vhost)
    refused(404, lambda: api.exchange.get("one", vhost))


def connections_and_channels(scope):
    api = scope.api
    connection = scope.connection()
    connection.channel()
    own = lambda found: [one for one in found if one.get("vhost") == scope.vhost]
    (one,) = wait_until(lambda: own(api.connection.list()), "the connection", 15, 0.1)
    expect(api.connection.get(one["name"])["client_properties"]["product"], "AMQPStorm")
    (channel,) = wait_until(lambda: own(api.channel.list()), "the channel", 15, 0.1)
    expect(api.channel.get(channel["name"])["number"], 1)
    api.connection.close(one["name"], reason="as asked")
    wait_until(lambda: connection.is_closed or connection.exceptions, "its end", 15, 0.1)
    expect_that("as asked" in str(connection.exceptions), f"the reason is in {connection.exceptions}")


def refusals(scope):
    wrong = ManagementApi(ADDRESSES.api, ADDRESSES.user, "wrong")
    refused(401, wrong.overview)


run_checks(
    [
        node,
        virtual_hosts,
        users,
        queues_and_messages,
        exchanges_and_bindings,
        connections_and_channels,
        refusals,
    ],
    Scope,
)
