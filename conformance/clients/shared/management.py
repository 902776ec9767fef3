"""What the checks of tools for the management API share: the broker's addresses, requests to the API, queues with
messages in them, and a skip where no API was told of."""

import base64
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from checks import Skip, expect, wait_until


class Addresses:
    """Where the broker and its API are: the arguments of a check."""

    def __init__(self, arguments):
        self.amqp = arguments[1]
        self.management = arguments[2] if len(arguments) > 2 else ""
        url = urllib.parse.urlsplit(self.management)
        self.user, self.password = url.username, url.password
        self.host, self.port = url.hostname, url.port

    @property
    def api(self):
        """Without the name and the password."""
        if not self.management:
            raise Skip("no --management was given")
        return f"http://{self.host}:{self.port}"

    @property
    def amqp_port(self):
        return urllib.parse.urlsplit(self.amqp).port

    def request(self, method, path, body=None):
        """The status and the body, read as JSON where there is one."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.api}/api/{path}", data=data, method=method)
        secret = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request.add_header("Authorization", "Basic " + secret)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, _json(response.read())
        except urllib.error.HTTPError as error:
            return error.code, _json(error.read())

    def get(self, path):
        status, body = self.request("GET", path)
        expect(status, 200, f"status of {path}")
        return body


def _json(text):
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


class QueueWithMessages:
    """A queue in `/` that holds so many messages, by the API alone, until it is closed."""

    def __init__(self, addresses, name, messages, queue_type="classic"):
        self.addresses, self.name, self.path = addresses, name, f"queues/%2F/{urllib.parse.quote(name, '')}"
        declared = {"durable": True, "arguments": {"x-queue-type": queue_type}}
        status, body = addresses.request("PUT", self.path, declared)
        expect(status, 201, f"status of the declaration ({body})")
        for number in range(messages):
            self.publish(f"message {number}")
        self.wait_for(messages)

    def publish(self, payload):
        message = {"properties": {"delivery_mode": 2}, "routing_key": self.name, "payload": payload, "payload_encoding": "string"}
        _, answer = self.addresses.request("POST", "exchanges/%2F/amq.default/publish", message)
        expect(answer, {"routed": True})

    def wait_for(self, messages):
        """Until the API reports so many: RabbitMQ's counts are some seconds old."""
        wait_until(lambda: self.described().get("messages") == messages, f"{messages} messages in the report", 10, 0.1)

    def described(self):
        return self.addresses.get(self.path)

    def close(self):
        self.addresses.request("DELETE", self.path)


class Scope:
    """Closes what a check left with it, the newest first."""

    def __init__(self):
        self._left = []

    def add(self, thing):
        self._left.append(thing)
        return thing

    def close(self):
        while self._left:
            self._left.pop().close()


class Process:
    """A program under check, ended with the scope."""

    def __init__(self, command, **options):
        self._process = subprocess.Popen(command, stdout=sys.stderr, stderr=sys.stderr, **options)

    def is_running(self):
        return self._process.poll() is None

    def close(self):
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url, seconds=10):
    """What is at an address, once somebody listens there and answers with 200."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return response.read().decode()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def typed(value, wanted, path=""):
    """Fails unless `value` has at least these fields with these types, as a structure of Go or C# takes them in: a
    field that is missing would be read as zero there, and one of another type would be an error. `wanted` is a type, a list
    of one shape, or a table of fields; a field whose name ends with `?` may be missing or null."""
    if isinstance(wanted, dict):
        expect(type(value), dict, f"type of {path or 'the answer'}")
        for name, shape in wanted.items():
            field = name.rstrip("?")
            if field in value and not (field != name and value[field] is None):
                typed(value[field], shape, f"{path}.{field}")
            elif field == name:
                raise AssertionError(f"{path}.{field} is missing")
    elif isinstance(wanted, list):
        expect(type(value), list, f"type of {path or 'the answer'}")
        for number, item in enumerate(value):
            typed(item, wanted[0], f"{path}[{number}]")
    elif wanted is float:
        if type(value) not in (int, float):
            raise AssertionError(f"{path} is {value!r}, wanted a number")
    elif type(value) is not wanted:
        raise AssertionError(f"{path} is {value!r}, wanted {wanted.__name__}")
