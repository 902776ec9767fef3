"""The command lines that Testcontainers' RabbitMQ module runs in its container, and the probes and hooks of Bitnami's chart,
as written there: how each ends, and what it has done."""

import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "shared"))
from checks import Skip, expect, expect_that, run_checks, wait_until  # noqa: E402
from tools import OwnBroker  # noqa: E402


def succeeds(broker, *command):
    code, said = broker.run(list(command))
    expect(code, 0, f"exit code of {' '.join(command)} ({said.strip()})")


def ends_with(broker, code, script, shell=("sh", "-ec")):
    """A probe: Kubernetes gives the script to a shell, and looks at how that ends."""
    found, said = broker.run([*shell, script])
    expect(found, code, f"exit code of {script} ({said.strip()[:200]})")


def declare(broker, *words):
    succeeds(broker, "rabbitmqadmin", "declare", *words)


def picked(thing, *fields):
    return [thing[field] for field in fields]


def testcontainers_vhosts_and_limits(broker):
    declare(broker, "vhost", "name=vhost1")
    declare(broker, "vhost", "name=vhost2", "tracing=true")
    declare(broker, "vhost", "name=vhost3", "tracing=false")
    declare(broker, "vhost_limit", "vhost=vhost1", "name=max-connections", "value=17")
    vhosts = {vhost["name"]: vhost["tracing"] for vhost in broker.addresses.get("vhosts")}
    expect(vhosts, {"/": False, "vhost1": False, "vhost2": True, "vhost3": False})
    expect(broker.addresses.get("vhost-limits"), [{"vhost": "vhost1", "value": {"max-connections": 17}}])


def testcontainers_users_and_permissions(broker):
    declare(broker, "vhost", "name=vhost1")
    declare(broker, "user", "name=user1", "password=password1", "tags=")
    declare(broker, "user", "name=user2", "password=password2", "tags=administrator,monitoring")
    declare(broker, "permission", "vhost=vhost1", "user=user1", "configure=.*", "write=^w", "read=^r")
    expect({user["name"]: sorted(user["tags"]) for user in broker.addresses.get("users") if user["name"] != "guest"},
           {"user1": [], "user2": ["administrator", "monitoring"]})
    expect(picked(broker.addresses.get("permissions/vhost1/user1"), "configure", "write", "read"), [".*", "^w", "^r"])
    for user, password in (("user1", "password1"), ("user2", "password2")):
        succeeds(broker, "rabbitmqctl", "authenticate_user", user, password)


def testcontainers_queues(broker):
    declare(broker, "queue", "name=queue1")
    declare(broker, "queue", "name=queue2", "auto_delete=true", "durable=false", 'arguments={"x-message-ttl":1000}')
    declare(broker, "queue", "name=queue3", "auto_delete=false", "durable=true", "arguments={}")
    declare(broker, "queue", "name=queue4", "queue_type=quorum", "durable=true")
    found = {queue["name"]: queue for queue in broker.addresses.get("queues/%2F")}
    expect(sorted(found), ["queue1", "queue2", "queue3", "queue4"])
    expect(picked(found["queue1"], "durable", "auto_delete"), [True, False])
    expect(picked(found["queue2"], "durable", "auto_delete"), [False, True])
    expect(found["queue2"]["arguments"]["x-message-ttl"], 1000)
    expect(found["queue4"]["type"], "quorum")


def testcontainers_exchanges_and_bindings(broker):
    declare(broker, "vhost", "name=vhost1")
    declare(broker, "queue", "name=queue1")
    declare(broker, "exchange", "name=direct", "type=direct")
    declare(broker, "exchange", "name=topic", "type=topic", "auto_delete=false", "internal=false", "durable=true",
            'arguments={"alternate-exchange":"direct"}')
    succeeds(broker, "rabbitmqadmin", "--vhost=vhost1", "declare", "exchange", "name=other", "type=fanout", "auto_delete=true",
             "internal=true", "durable=false", "arguments={}")
    succeeds(broker, "rabbitmqadmin", "--vhost=vhost1", "declare", "queue", "name=queue2", "auto_delete=false", "durable=true", "arguments={}")
    succeeds(broker, "rabbitmqadmin", "--vhost=vhost1", "declare", "binding", "source=amq.topic", "destination=queue2", "routing_key=a.#",
             "destination_type=queue", "arguments={}")
    declare(broker, "binding", "source=direct", "destination=queue1")
    declare(broker, "binding", "source=direct", "destination=topic", "routing_key=key", "destination_type=exchange", "arguments={}")
    declare(broker, "binding", "source=direct", "destination=queue1", "routing_key=key", "destination_type=queue", 'arguments={"a":1}')
    expect(picked(broker.addresses.get("exchanges/%2F/direct"), "type", "durable"), ["direct", True])
    expect(broker.addresses.get("exchanges/%2F/topic")["arguments"], {"alternate-exchange": "direct"})
    other = broker.addresses.get("exchanges/vhost1/other")
    expect(picked(other, "type", "auto_delete", "internal", "durable"), ["fanout", True, True, False])
    (bound,) = broker.addresses.get("exchanges/vhost1/amq.topic/bindings/source")
    expect(picked(bound, "destination", "routing_key"), ["queue2", "a.#"])
    bound = [picked(one, "destination", "routing_key", "arguments") for one in broker.addresses.get("exchanges/%2F/direct/bindings/source")]
    expect(sorted(bound, key=str), [["queue1", "", {}], ["queue1", "key", {"a": 1}], ["topic", "key", {}]])


def testcontainers_policies_and_parameters(broker):
    declare(broker, "vhost", "name=vhost1")
    declare(broker, "policy", "name=plain", "pattern=^a", 'definition={"max-length":5}')
    declare(broker, "policy", "--vhost=vhost1", "name=other", "pattern=^b", 'definition={"max-length":6}')
    declare(broker, "policy", "name=whole", "pattern=.*", "priority=2", "apply-to=queues", 'definition={"max-length":7}')
    declare(broker, "operator_policy", "name=plain", "pattern=^a", 'definition={"expires":1000}')
    declare(broker, "operator_policy", "name=whole", "pattern=.*", "priority=3", "apply-to=queues", 'definition={"message-ttl":9}')
    declare(broker, "parameter", "component=vhost-limits", "name=limits", 'value={"max-queues":8}')
    expect(picked(broker.addresses.get("policies/%2F/plain"), "pattern", "definition", "priority"), ["^a", {"max-length": 5}, 0])
    expect(broker.addresses.get("policies/vhost1/other")["definition"], {"max-length": 6})
    expect(picked(broker.addresses.get("policies/%2F/whole"), "priority", "apply-to"), [2, "queues"])
    expect(broker.addresses.get("operator-policies/%2F/plain")["definition"], {"expires": 1000})
    expect(picked(broker.addresses.get("operator-policies/%2F/whole"), "priority", "definition"), [3, {"message-ttl": 9}])
    expect(broker.addresses.get("parameters/vhost-limits/%2F/limits")["value"], {"max-queues": 8})


def testcontainers_plugins(broker):
    succeeds(broker, "rabbitmq-plugins", "enable", "rabbitmq_management", "rabbitmq_prometheus")
    succeeds(broker, "rabbitmq-plugins", "is_enabled", "rabbitmq_management")
    code, said = broker.run(["rabbitmq-plugins", "enable", "rabbitmq_shovel"])
    expect_that(code != 0 and "rabbitmq_shovel" in said, f"what is not there is refused by name, not {code}: {said}")


def bitnami_probes(broker):
    bash = ("/bin/bash", "-ec")
    for shell in (bash, ("sh", "-ec")):
        ends_with(broker, 0, "rabbitmq-diagnostics -q ping", shell)
        ends_with(broker, 0, "rabbitmq-diagnostics -q check_running && rabbitmq-diagnostics -q check_local_alarms", shell)
    ends_with(broker, 0, 'until rabbitmqctl cluster_status >/dev/null; do sleep 5; done; rabbitmq-queues rebalance "all"', bash)


def bitnami_probes_of_an_alarm(broker):
    succeeds(broker, "rabbitmqctl", "set_vm_memory_high_watermark", "absolute", "1")
    wait_until(lambda: broker.addresses.request("GET", "health/checks/local-alarms")[0] == 503, "the alarm")
    # check_local_alarms looks at nothing any more in RabbitMQ 4.3; the API's check of that name does.
    ends_with(broker, 0, "rabbitmq-diagnostics -q check_running && rabbitmq-diagnostics -q check_local_alarms")
    ends_with(broker, 69, "rabbitmq-diagnostics -q check_running && rabbitmq-diagnostics -q check_alarms")
    ends_with(broker, 0, "rabbitmq-diagnostics -q ping")
    ends_with(broker, 22, curl(broker, "local-alarms"))
    ends_with(broker, 0, curl(broker, "virtual-hosts"))


def bitnami_probes_by_curl(broker):
    for check in ("virtual-hosts", "local-alarms"):
        ends_with(broker, 0, curl(broker, check))
        ends_with(broker, 22, curl(broker, check, "wrong"))


def bitnami_stop_and_start(broker):
    ends_with(broker, 0, "rabbitmqctl stop_app", ("/bin/bash", "-ec"))
    ends_with(broker, 69, "rabbitmq-diagnostics -q check_running && rabbitmq-diagnostics -q check_local_alarms")
    ends_with(broker, 0, "rabbitmq-diagnostics -q ping")
    ends_with(broker, 0, "rabbitmqctl start_app")
    ends_with(broker, 0, "rabbitmq-diagnostics -q check_running && rabbitmq-diagnostics -q check_local_alarms")


def bitnami_probes_without_a_broker(broker):
    by_curl = curl(broker, "virtual-hosts")
    broker.stop()
    ends_with(broker, 69, "rabbitmq-diagnostics -q ping")
    ends_with(broker, 69, "rabbitmq-diagnostics -q check_running && rabbitmq-diagnostics -q check_local_alarms")
    ends_with(broker, 7, by_curl)


def curl(broker, check, password="guest"):
    """The probe of the chart since it left the tools for their cost."""
    if not shutil.which("curl"):
        raise Skip("curl is missing")
    broker.environment["RABBITMQ_PASSWORD"] = password
    return f"curl -f --user guest:$RABBITMQ_PASSWORD 127.0.0.1:{broker.addresses.port}/api/health/checks/{check}"


run_checks(
    [
        testcontainers_vhosts_and_limits,
        testcontainers_users_and_permissions,
        testcontainers_queues,
        testcontainers_exchanges_and_bindings,
        testcontainers_policies_and_parameters,
        testcontainers_plugins,
        bitnami_probes,
        bitnami_probes_by_curl,
        bitnami_probes_of_an_alarm,
        bitnami_stop_and_start,
        bitnami_probes_without_a_broker,
    ],
    OwnBroker,
)
