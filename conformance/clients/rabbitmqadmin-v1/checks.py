"""rabbitmqadmin, the tool in Python that came with RabbitMQ up to 4.2: its commands, and what they print."""

import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "shared"))
from checks import expect, expect_that, run_checks, token, wait_until  # noqa: E402
from management import Addresses, Scope as Closing  # noqa: E402

ADDRESSES = Addresses(sys.argv)
TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "target", "rabbitmqadmin")


class Scope(Closing):
    """A vhost of its own, gone at the end."""

    def __init__(self):
        super().__init__()
        self.vhost = f"admin.{token()}"
        expect(run("declare", "vhost", f"name={self.vhost}"), "vhost declared\n")
        self("declare", "permission", f"vhost={self.vhost}", f"user={ADDRESSES.user}", "configure=.*", "write=.*", "read=.*")

    def close(self):
        super().close()
        expect(run("delete", "vhost", f"name={self.vhost}"), "vhost deleted\n")

    def __call__(self, *arguments):
        return run("--vhost", self.vhost, *arguments)

    def listed(self, *arguments):
        return json.loads(self("--format=raw_json", *arguments))


def run(*arguments):
    """What a command prints. It must succeed."""
    code, said, error = end_of(*arguments)
    expect_that(code == 0, f"{arguments} ended with {code}: {error or said}")
    return said


def end_of(*arguments):
    where = ["--host", ADDRESSES.host, "--port", str(ADDRESSES.port), "--username", ADDRESSES.user, "--password", ADDRESSES.password]
    ADDRESSES.api  # says that there is none
    ended = subprocess.run([sys.executable, "-W", "ignore", TOOL, *where, *arguments], capture_output=True, text=True, timeout=15)
    return ended.returncode, ended.stdout, ended.stderr


def names(found):
    return {one["name"] for one in found}


def overview_and_nodes(scope):
    expect_that("rabbitmq_version" in scope("show", "overview"), "overview")
    expect(len(scope.listed("list", "nodes")), 1)
    expect_that(scope.vhost in names(scope.listed("list", "vhosts")), "vhosts")
    expect_that(f"name: {scope.vhost}" in scope("--format=long", "list", "vhosts"), "in long form")


def users_and_permissions(scope):
    user = f"user.{token()}"
    expect(scope("declare", "user", f"name={user}", "password=secret", "tags=monitoring"), "user declared\n")
    expect_that(user in names(scope.listed("list", "users")), "users")
    expect(scope("declare", "permission", f"vhost={scope.vhost}", f"user={user}", "configure=a", "write=b", "read=c"), "permission declared\n")
    expect_that(any(one["user"] == user for one in scope.listed("list", "permissions")), "permissions")
    expect(scope("delete", "permission", f"vhost={scope.vhost}", f"user={user}"), "permission deleted\n")
    expect(scope("delete", "user", f"name={user}"), "user deleted\n")


def queues_and_messages(scope):
    expect(scope("declare", "queue", "name=queue", "durable=true", 'arguments={"x-max-length": 10}'), "queue declared\n")
    for text in ("one", "two"):
        expect(scope("publish", "exchange=amq.default", "routing_key=queue", f"payload={text}"), "Message published\n")
    expect(scope("publish", "exchange=amq.default", "routing_key=nowhere", "payload=x"), "Message published but NOT routed\n")
    wait_until(lambda: [one.get("messages") for one in scope.listed("list", "queues")] == [2], "two messages", 15, 0.2)
    got = scope.listed("get", "queue=queue", "count=1", "ackmode=ack_requeue_true")
    expect([(one["payload"], one["redelivered"]) for one in got], [("one", False)])
    got = scope.listed("get", "queue=queue", "count=5", "ackmode=ack_requeue_false")
    expect([(one["payload"], one["redelivered"]) for one in got], [("one", True), ("two", False)])
    scope("publish", "exchange=amq.default", "routing_key=queue", "payload=x")
    expect(scope("purge", "queue", "name=queue"), "queue purged\n")
    expect(scope.listed("get", "queue=queue", "count=5"), [])
    expect(scope("delete", "queue", "name=queue"), "queue deleted\n")
    expect(scope.listed("list", "queues"), [])


def exchanges_and_bindings(scope):
    expect(scope("declare", "exchange", "name=one", "type=topic"), "exchange declared\n")
    scope("declare", "queue", "name=queue")
    expect(scope("declare", "binding", "source=one", "destination=queue", "routing_key=a.#"), "binding declared\n")
    expect_that(any(one["routing_key"] == "a.#" for one in scope.listed("list", "bindings")), "bindings")
    arguments = ("source=one", "destination_type=queue", "destination=queue", "properties_key=a.%23")
    expect(scope("delete", "binding", *arguments), "binding deleted\n")
    expect([one["source"] for one in scope.listed("list", "bindings")], [""])
    expect_that({"one", "amq.direct"} <= names(scope.listed("list", "exchanges", "name", "type")), "exchanges")
    expect(scope("delete", "exchange", "name=one"), "exchange deleted\n")


def policies_and_parameters(scope):
    definition = 'definition={"max-length": 5}'
    expect(scope("declare", "policy", "name=p", "pattern=^q", definition, "apply-to=queues", "priority=1"), "policy declared\n")
    expect([one["definition"] for one in scope.listed("list", "policies") if one["vhost"] == scope.vhost], [{"max-length": 5}])
    expect(scope("delete", "policy", "name=p"), "policy deleted\n")
    expect(scope("declare", "operator_policy", "name=o", "pattern=^q", definition), "operator_policy declared\n")
    expect_that("o" in names(scope.listed("list", "operator_policies")), "operator policies")
    expect(scope("delete", "operator_policy", "name=o"), "operator_policy deleted\n")
    expect(scope("declare", "vhost_limit", f"vhost={scope.vhost}", "name=max-queues", "value=7"), "vhost_limit declared\n")
    expect(scope("delete", "vhost_limit", f"vhost={scope.vhost}", "name=max-queues"), "vhost_limit deleted\n")
    expect(type(scope.listed("list", "parameters")), list)


def connections_channels_consumers(scope):
    for what in ("connections", "channels", "consumers"):
        expect(type(scope.listed("list", what)), list, what)


def definitions(scope):
    scope("declare", "queue", "name=kept", "durable=true")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "definitions.json")
        expect_that("Exported definitions" in scope("export", path), "export")
        scope("delete", "queue", "name=kept")
        expect_that("Uploaded definitions" in scope("import", path), "import")
        expect(names(scope.listed("list", "queues")), {"kept"})


def refusals(scope):
    code, said, error = end_of("--vhost", scope.vhost, "delete", "queue", "name=missing")
    expect_that(code == 1 and "Not found" in said + error, f"it ended with {code}: {said}{error}")


run_checks(
    [
        overview_and_nodes,
        users_and_permissions,
        queues_and_messages,
        exchanges_and_bindings,
        policies_and_parameters,
        connections_channels_consumers,
        definitions,
        refusals,
    ],
    Scope,
)
