"""Debian's Prometheus scrapes the broker under traffic for some seconds; then it is asked, as Grafana would ask it, for what the
dashboard RabbitMQ-Overview shows. `dashboard-names.txt` has the names, `dashboard-queries.txt` the title and the query of each panel."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse

import pika

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "shared"))
from checks import Skip, expect, expect_that, run_checks, token, wait_until  # noqa: E402
from management import Process, Scope, fetch, free_port  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
AMQP, METRICS = sys.argv[1], sys.argv[3] if len(sys.argv) > 3 else ""
ENDPOINTS = {
    "aggregated": "/metrics",
    "per-object": "/metrics/per-object",
    "detailed": "/metrics/detailed?family=queue_coarse_metrics&family=queue_consumer_count&family=queue_metrics",
}
# For how long there is traffic, in seconds, and how far queries look back: further than all of it. It is scraped each second.
TRAFFIC = 8
RANGE = "30s"
JOIN = '* on(instance, job) group_left(rabbitmq_cluster, rabbitmq_node) rabbitmq_identity_info{rabbitmq_endpoint="aggregated"}'
BOUNDS = ["100.0", "1000.0", "10000.0", "100000.0", "1e+06", "1e+07", "5e+07", "1e+08", "+Inf"]
# The operators' own rules look at these.
RULES = ["rabbitmq_detailed_queue_messages", "rabbitmq_detailed_queue_consumers"]


def program(name):
    unpacked = os.path.join(HERE, "target", "usr", "bin", name)
    return unpacked if os.path.exists(unpacked) else shutil.which(name)


class Traffic:
    """Everything that the dashboard counts: publishes that are confirmed, returned and dropped, gets, deliveries with acks and
    without, redeliveries, queues and channels that come and go."""

    def __init__(self, url):
        self.name = f"prometheus.{token()}"
        self.connection = pika.BlockingConnection(pika.URLParameters(url + "/%2F"))
        self.confirming = self.connection.channel()
        self.confirming.confirm_delivery()
        self.plain = self.connection.channel()
        for kind in ("acked", "unacked", "got"):
            self.plain.queue_declare(self.queue(kind), durable=True)
        self.plain.basic_consume(self.queue("acked"), self.take)
        self.plain.basic_consume(self.queue("unacked"), lambda *_: None, auto_ack=True)

    def queue(self, kind):
        return f"{self.name}.{kind}"

    def take(self, channel, method, _properties, _body):
        if method.redelivered:
            channel.basic_ack(method.delivery_tag)
        else:
            channel.basic_nack(method.delivery_tag, requeue=True)

    def round(self, number):
        self.confirming.basic_publish("", self.queue("acked"), b"x" * 10 ** (2 + number % 5))
        self.confirming.basic_publish("", self.queue("unacked"), b"small")
        self.confirming.basic_publish("", self.queue("got"), b"a")
        self.confirming.basic_publish("", self.queue("got"), b"b")
        self.confirming.basic_publish("", "nowhere." + self.name, b"dropped")
        try:
            self.confirming.basic_publish("", "nowhere." + self.name, b"returned", mandatory=True)
        except pika.exceptions.UnroutableError:
            pass
        self.plain.basic_get(self.queue("got"), auto_ack=True)
        method, _, _ = self.plain.basic_get(self.queue("got"))
        self.plain.basic_ack(method.delivery_tag)
        self.plain.basic_get(self.queue("got"))
        short = self.connection.channel()
        short.queue_declare(self.queue("short"), exclusive=True)
        short.queue_delete(self.queue("short"))
        short.close()
        pika.BlockingConnection(self.connection._impl.params).close()
        self.connection.process_data_events(0.2)

    def close(self):
        for kind in ("acked", "unacked", "got"):
            self.plain.queue_delete(self.queue(kind))
        self.connection.close()


class Prometheus:
    """Scrapes every endpoint, each as a job of its own."""

    def __init__(self, scope, metrics):
        target = urllib.parse.urlsplit(metrics).netloc
        self.folder = tempfile.mkdtemp(prefix="leveret-prometheus.")
        jobs = []
        for job, path in ENDPOINTS.items():
            path, _, query = path.partition("?")
            static = [{"targets": [target], "labels": {"namespace": "checks"}}]
            params = urllib.parse.parse_qs(query)
            jobs.append({"job_name": job, "metrics_path": path, "params": params, "static_configs": static})
        seconds = {"scrape_interval": "1s", "scrape_timeout": "1s"}
        # JSON is YAML.
        with open(os.path.join(self.folder, "prometheus.yml"), "w") as file:
            json.dump({"global": seconds, "scrape_configs": jobs}, file)
        self.address = f"127.0.0.1:{free_port()}"
        options = [
            f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address={self.address}",
            "--log.level=warn",
        ]
        scope.add(self)
        self.process = scope.add(Process([program("prometheus"), *options]))
        fetch(f"http://{self.address}/-/ready", 15)

    def query(self, text, at):
        """Values by labels, as of a time."""
        asked = urllib.parse.urlencode({"query": text, "time": at})
        answer = json.loads(fetch(f"http://{self.address}/api/v1/query?{asked}"))
        expect(answer["status"], "success", f"status of {text}")
        return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]

    def has(self, text, at):
        """Whether there is something that is a number."""
        found = self.query(text, at)
        return bool(found) and all(value == value for _, value in found)

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Scraped:
    """One run of traffic and scrapes, which all checks ask about."""

    def __init__(self, scope):
        if not METRICS:
            raise Skip("no --metrics was given")
        self.prometheus = Prometheus(scope, METRICS)
        traffic = scope.add(Traffic(AMQP))
        until, number = time.monotonic() + TRAFFIC, 0
        while time.monotonic() < until:
            traffic.round(number)
            number += 1
        # A broker may say what it knew some seconds ago.
        counted = f"increase(rabbitmq_message_size_bytes_count{{job='aggregated'}}[{RANGE}]) > 0"
        wait_until(lambda: self.prometheus.query(counted, time.time()), "messages of a known size", 15, 0.3)
        # As of a time when there was traffic, however long the checks take.
        self.at = time.time()
        self.texts = {job: fetch(METRICS + path) for job, path in ENDPOINTS.items()}
        self.is_leveret = "leveret_" in self.texts["aggregated"]

    def missing(self, queries):
        """Those, by what they are called, that find nothing."""
        return [name for name, query in queries if not self.prometheus.has(query, self.at)]


SCRAPED = None


def scraped():
    if SCRAPED is None:
        raise Skip("no --metrics was given")
    return SCRAPED


def every_endpoint_is_scraped(_scope):
    expect({labels["job"]: value for labels, value in scraped().prometheus.query("up", scraped().at)}, dict.fromkeys(ENDPOINTS, 1.0))
    expect(scraped().missing((name, name) for name in RULES), [], "rules without data")


def every_name_of_the_dashboard_is_there_for_its_node(_scope):
    with open(os.path.join(HERE, "dashboard-names.txt")) as file:
        names = file.read().split()
    expect(len(names), 40)
    # A bucket for each bound; those are of one name.
    expect(scraped().missing((name, f"{name} {JOIN}") for name in names), [], "names without data")


def each_panel_of_the_dashboard_has_data(_scope):
    (labels, _), = scraped().prometheus.query('rabbitmq_identity_info{rabbitmq_endpoint="aggregated"}', scraped().at)
    variables = {
        "$__rate_interval": RANGE,
        "$__range": RANGE,
        "$rabbitmq_cluster": labels["rabbitmq_cluster"],
        "$namespace": labels["namespace"],
        "$endpoint": "aggregated",
    }
    queries = []
    with open(os.path.join(HERE, "dashboard-queries.txt")) as file:
        for line in file:
            title, query = line.rstrip("\n").split("\t")
            for name, text in variables.items():
                query = query.replace(name, text)
            queries.append((title, query))
    expect(len(queries), 50)
    without_data = scraped().missing(queries)
    if not scraped().is_leveret and without_data == ["Message Size Distribution"] * 9:
        raise Skip("this broker writes bounds otherwise than the dashboard asks for them: 9 of 50 panels are empty")
    expect(without_data, [], "panels without data")


def each_bound_of_the_histogram_is_there(_scope):
    if 'le="100"' in scraped().texts["aggregated"]:
        raise Skip("this broker writes bounds otherwise than the dashboard asks for them")
    counts = []
    for bound in BOUNDS:
        found = scraped().prometheus.query(f'rabbitmq_message_size_bytes_bucket{{job="aggregated",le="{bound}"}} {JOIN}', scraped().at)
        expect(len(found), 1, f"histograms with the bound {bound}")
        counts.append(found[0][1])
    expect_that(counts == sorted(counts) and counts[0] > 0, f"{counts} add up")


def promtool_finds_no_error_of_syntax(_scope):
    for job, text in scraped().texts.items():
        done = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
        # 3: something is unusual, which RabbitMQ's names are. What is Leveret's own is not.
        expect_that(done.returncode in (0, 3), f"{job}: {done.stderr[:300]}")
        expect([line for line in done.stderr.splitlines() if "leveret_" in line], [], f"{job}: what is unusual")


CHECKS = [
    every_endpoint_is_scraped,
    every_name_of_the_dashboard_is_there_for_its_node,
    each_panel_of_the_dashboard_has_data,
    each_bound_of_the_histogram_is_there,
    promtool_finds_no_error_of_syntax,
]
whole = Scope()
try:
    try:
        SCRAPED = Scraped(whole)
    except Skip:
        pass
    run_checks(CHECKS, Scope)
finally:
    whole.close()
