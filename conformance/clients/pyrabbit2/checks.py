"""pyrabbit2: everything its Client does, but for shovels and what is not written there yet."""

import os
import sys

import amqpstorm
from pyrabbit2.api import Client
from pyrabbit2.http import HTTPError

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "shared"))
from checks import expect, expect_that, run_checks, token, wait_until  # noqa: E402
from management import Addresses, Scope as Closing  # noqa: E402

ADDRESSES = Addresses(sys.argv)


class Scope(Closing):
    """A client, and a vhost of its own with its user's permissions, gone at the end."""

    def __init__(self):
        super().__init__()
        self.client = Client(ADDRESSES.api.removeprefix("http://"), ADDRESSES.user, ADDRESSES.password)
        self.vhost = f"pyrabbit2.{token()}"
        expect_that(self.client.create_vhost(self.vhost), "the vhost was not made")
        self.client.set_vhost_permissions(self.vhost, ADDRESSES.user, ".*", ".*", ".*")

    def close(self):
        super().close()
        self.client.delete_vhost(self.vhost)

    def connection(self):
        return self.add(amqpstorm.UriConnection(f"{ADDRESSES.amqp}/{self.vhost}"))


def names(found):
    return {one["name"] for one in found}


def overview_and_nodes(scope):
    client = scope.client
    overview = client.get_overview()
    expect_that({"rabbitmq_version", "message_stats", "queue_totals", "object_totals", "listeners"} <= set(overview), "fields")
    expect(client.get_nodes()[0]["name"], overview["node"])
    expect_that(client.is_alive(), "is_alive")
    expect(client.get_whoami()["name"], ADDRESSES.user)
    expect_that(client.get_cluster_name()["name"], "cluster name")
    expect(type(client.get_extensions()), list)
    expect_that("users" in client.get_definitions(), "definitions")


def vhosts(scope):
    client = scope.client
    expect_that(scope.vhost in client.get_vhost_names(), "names")
    expect_that(scope.vhost in names(client.get_all_vhosts()), "list")
    expect(client.get_vhost(scope.vhost)["name"], scope.vhost)


def users_and_permissions(scope):
    client, user = scope.client, f"user.{token()}"
    client.create_user(user, "secret", tags="monitoring")
    expect_that(user in names(client.get_users()), "users")
    client.set_vhost_permissions(scope.vhost, user, "a.*", "b.*", "c.*")
    found = client.get_permission(scope.vhost, user)
    expect([found[kind] for kind in ("configure", "read", "write")], ["a.*", "b.*", "c.*"])
    expect({one["user"] for one in client.get_vhost_permissions(scope.vhost)}, {user, ADDRESSES.user})
    expect(client.get_user_permissions(user)[0]["configure"], "a.*")
    expect_that(any(one["user"] == user for one in client.get_permissions()), "permissions")
    client.delete_permission(scope.vhost, user)
    expect(client.get_user_permissions(user), [])
    client.delete_user(user)
    expect_that(user not in names(client.get_users()), "it is there still")


def queues_and_messages(scope):
    client = scope.client
    client.create_queue(scope.vhost, "queue", durable=True)
    for text in ("one", "two", "three"):
        expect(client.publish(scope.vhost, "amq.default", "queue", text), True)
    expect(client.publish(scope.vhost, "amq.default", "nowhere", "lost"), False)
    wait_until(lambda: client.get_queue(scope.vhost, "queue").get("messages") == 3, "three messages", 15, 0.1)
    expect(client.get_queue_depth(scope.vhost, "queue"), 3)
    expect_that("queue" in names(client.get_queues(scope.vhost)), "list")
    got = client.get_messages(scope.vhost, "queue", count=2)
    expect([one["payload"] for one in got], ["one", "two"])
    client.purge_queue(scope.vhost, "queue")
    wait_until(lambda: client.get_queue_depth(scope.vhost, "queue") == 0, "an empty queue", 15, 0.1)
    client.delete_queue(scope.vhost, "queue")
    expect(names(client.get_queues(scope.vhost)), set())


def exchanges_and_bindings(scope):
    client, vhost = scope.client, scope.vhost
    client.create_queue(scope.vhost, "queue", durable=True)
    client.create_exchange(vhost, "exchange", "topic", durable=True)
    expect(client.get_exchange(vhost, "exchange")["type"], "topic")
    expect_that({"exchange", "amq.topic"} <= names(client.get_exchanges(vhost)), "list")
    client.create_binding(vhost, "exchange", "queue", "a.#")
    expect({(one["source"], one["routing_key"]) for one in client.get_queue_bindings(vhost, "queue")}, {("", "queue"), ("exchange", "a.#")})
    expect_that(any(one["source"] == "exchange" for one in client.get_bindings()), "all bindings")
    client.delete_binding(vhost, "exchange", "queue", "a.%23")
    expect([one["source"] for one in client.get_queue_bindings(vhost, "queue")], [""])
    client.delete_exchange(vhost, "exchange")
    expect_that("exchange" not in names(client.get_exchanges(vhost)), "it is there still")


def policies(scope):
    client, vhost = scope.client, scope.vhost
    policy = {"pattern": "^q", "definition": {"max-length": 3}, "priority": 1, "apply-to": "queues"}
    client.create_policy(vhost, "policy", **policy)
    expect(client.get_policy(vhost, "policy")["definition"], {"max-length": 3})
    expect_that("policy" in names(client.get_all_policies()), "list")
    client.delete_policy(vhost, "policy")
    expect_that("policy" not in names(client.get_all_policies()), "it is there still")


def connections_and_channels(scope):
    client = scope.client
    connection = scope.connection()
    connection.channel()
    found = lambda all_of: [one for one in all_of or [] if one.get("vhost") == scope.vhost]
    (one,) = wait_until(lambda: found(client.get_connections()), "the connection", 15, 0.1)
    expect(client.get_connection(one["name"])["name"], one["name"])
    (channel,) = wait_until(lambda: found(client.get_channels()), "the channel", 15, 0.1)
    expect(client.get_channel(channel["name"])["number"], 1)
    client.delete_connection(one["name"])
    wait_until(lambda: connection.is_closed or not found(client.get_connections()), "its end", 15, 0.1)


def refusals(scope):
    try:
        scope.client.get_queue(scope.vhost, "missing")
    except HTTPError as error:
        expect(error.status, 404)
    else:
        raise AssertionError("a missing queue was found")
    wrong = Client(ADDRESSES.api.removeprefix("http://"), ADDRESSES.user, "wrong")
    try:
        wrong.get_overview()
    except HTTPError as error:
        expect(error.status, 401)
    except Exception as error:
        expect_that("ermission" in type(error).__name__ + str(error), f"{error!r}")
    else:
        raise AssertionError("a wrong password was taken")


run_checks(
    [
        overview_and_nodes,
        vhosts,
        users_and_permissions,
        queues_and_messages,
        exchanges_and_bindings,
        policies,
        connections_and_channels,
        refusals,
    ],
    Scope,
)
