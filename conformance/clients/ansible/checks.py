"""Ansible's collection community.rabbitmq: two playbooks, each run twice. The first time each task changes something, the
second time none does, and what the API says in between is what the playbook says."""

import os
import re
import sys

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "shared"))
from checks import expect  # noqa: E402
from tools import OwnBroker  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
PLAYBOOK_SECONDS = 100
# At the end of the name of a task that changes nothing on a fresh broker either.
THERE_ALREADY = "(it is there)"


def play(broker, playbook):
    """Runs it: the outcome of each task by its name (ok, changed, fatal, skipping), and what was said of it."""
    command = [os.path.join(HERE, ".venv", "bin", "ansible-playbook"), "--extra-vars", f"port={broker.addresses.port}"]
    _, said = broker.run([*command, os.path.join(HERE, playbook)], PLAYBOOK_SECONDS)
    tasks = re.split(r"^TASK \[(.*?)\] \**$", said, flags=re.MULTILINE)[1:]
    outcomes = {}
    for name, rest in zip(tasks[::2], tasks[1::2]):
        outcome = re.search(r"^(ok|changed|fatal|skipping): (.*)", rest, re.MULTILINE)
        outcomes[name] = (outcome[1], outcome[2]) if outcome else ("no outcome", rest)
    return outcomes


def report(broker, playbook, run, wanted):
    outcomes = play(broker, playbook)
    with open(os.path.join(HERE, playbook), encoding="utf-8") as file:
        tasks = [task["name"] for task in yaml.safe_load(file)[0]["tasks"]]
    for task in tasks:
        outcome, said = outcomes.get(task, ("not reached", ""))
        expected = "ok" if task.endswith(THERE_ALREADY) else wanted
        if outcome == expected:
            print(f"ok {task}, {run}: {outcome}")
        else:
            print(f"FAIL {task}, {run}: {outcome}, not {expected} {' '.join(said.split())[:300]}")


def tell(name, check, *arguments):
    try:
        check(*arguments)
        print(f"ok {name}")
    except AssertionError as error:
        print(f"FAIL {name}: {error}")


def is_made(api):
    vhosts = {vhost["name"]: vhost for vhost in api.get("vhosts")}
    expect({name: vhosts[name]["tracing"] for name in ("shop", "traced")}, {"shop": False, "traced": True}, "tracing")
    expect(sorted(api.get("users/anna")["tags"]), ["monitoring", "policymaker"], "tags")
    given = {(one["user"], one["vhost"]): [one[what] for what in ("configure", "write", "read")] for one in api.get("permissions")}
    expect(given[("anna", "shop")], [".*", "^a", ".*"])
    expect(given[("bert", "/")], ["^b", ".*", ".*"])
    expect(given[("bert", "shop")], ["^$", "^$", ".*"])
    (topic,) = api.get("topic-permissions")
    expect([topic[what] for what in ("user", "vhost", "exchange", "write", "read")], ["bert", "shop", "amq.topic", "^w", "^r"])
    policy = api.get("policies/shop/short")
    expect([policy[what] for what in ("pattern", "apply-to", "priority")], ["^s", "queues", 1])
    expect(policy["definition"], {"max-length": 5})
    limits = {one["vhost"]: one["value"] for one in api.get("vhost-limits")}
    expect(limits, {"shop": {"max-connections": 64, "max-queues": 256}, "traced": {"max-queues": 7}}, "limits of vhosts")
    expect(api.get("user-limits/anna")[0]["value"], {"max-connections": 10, "max-channels": 20}, "limits of a user")
    expect(api.get("global-parameters/owner")["value"], "shop")
    expect(api.get("exchanges/%2F/orders")["type"], "topic")
    expect(api.get("exchanges/guests/mine")["durable"], False)
    expect(api.get("queues/%2F/stock")["arguments"], {"x-max-length": 100, "x-queue-type": "quorum"})
    bound = {(one["destination_type"], one["destination"], one["routing_key"]) for one in api.get("exchanges/%2F/orders/bindings/source")}
    expect(bound, {("queue", "stock", "a.#"), ("exchange", "amq.fanout", "b")}, "bindings")


def is_gone(api):
    expect({vhost["name"] for vhost in api.get("vhosts")}, {"/", "shop", "traced"}, "vhosts")
    expect({user["name"] for user in api.get("users")}, {"guest", "anna"}, "users")
    for what in ("topic-permissions", "policies", "vhost-limits", "user-limits", "queues/%2F"):
        expect(api.get(what), [], what)
    expect(api.request("GET", "global-parameters/owner")[0], 404, "status of the global parameter")
    expect(api.request("GET", "exchanges/%2F/orders")[0], 404, "status of the exchange")


def main():
    broker = OwnBroker()
    try:
        temporary = os.path.join(broker.folder, "ansible")
        broker.environment.update(ANSIBLE_COLLECTIONS_PATH=os.path.join(HERE, "target"), ANSIBLE_LOCAL_TEMP=temporary,
                                  ANSIBLE_REMOTE_TEMP=temporary, ANSIBLE_NOCOLOR="1", LC_ALL="C.UTF-8")
        # One exchange goes to another vhost than the default; guest, who makes it here, has every permission in it.
        expect(broker.addresses.request("PUT", "vhosts/guests", {})[0], 201, "status of a vhost")
        for playbook, name, check in (("present.yml", "everything is made", is_made), ("absent.yml", "everything is gone", is_gone)):
            report(broker, playbook, "first run", "changed")
            tell(name, check, broker.addresses)
            report(broker, playbook, "second run", "ok")
            tell(f"{name}, still", check, broker.addresses)
    finally:
        broker.close()
    print("end")


main()
