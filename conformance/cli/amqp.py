"""A client that speaks just enough AMQP 0-9-1 to be seen by the tools: it logs in under a name, opens a channel,
consumes with a prefetch count, and notices that its connection was closed. It declares and publishes nothing; lines do
that over the management API."""

import socket
import struct
import threading


def short(text):
    encoded = text.encode()
    return bytes([len(encoded)]) + encoded


def long(encoded):
    return struct.pack(">I", len(encoded)) + encoded


def table(entries):
    return long(b"".join(short(key) + b"S" + long(value.encode()) for key, value in entries.items()))


class Client:
    """One connection with one channel. What the broker sends besides answers is passed over."""

    def __init__(self, name, host, port, user, password, vhost):
        self.socket = socket.create_connection((host, port), timeout=20)
        self.port = self.socket.getsockname()[1]
        self.answers = {}
        self.arrived = threading.Condition()
        self.is_closed = False
        self.socket.sendall(b"AMQP\x00\x00\x09\x01")
        threading.Thread(target=self.read, daemon=True).start()
        self.wait_for(10, 10)
        properties = table({"product": "conformance", "connection_name": name})
        login = properties + short("PLAIN") + long(f"\0{user}\0{password}".encode()) + short("en_US")
        self.ask(0, 10, 11, login, 30)
        self.send(0, 10, 31, struct.pack(">HIH", 2047, 131072, 0))
        self.ask(0, 10, 40, short(vhost) + short("") + b"\0", 41)
        self.ask(1, 20, 10, short(""), 11)

    def consume(self, queue, tag, prefetch):
        self.ask(1, 60, 10, struct.pack(">IHB", 0, prefetch, 0), 11)
        self.ask(1, 60, 20, b"\0\0" + short(queue) + short(tag) + b"\0" + table({}), 21)

    def close(self):
        self.ask(0, 10, 50, struct.pack(">H", 200) + short("") + b"\0\0\0\0", 51)
        self.socket.close()

    def wait_until_closed(self):
        with self.arrived:
            if not self.arrived.wait_for(lambda: self.is_closed, 20):
                raise TimeoutError("the broker did not close the connection")

    def ask(self, channel, kind, method, arguments, answer):
        self.send(channel, kind, method, arguments)
        self.wait_for(kind, answer)

    def send(self, channel, kind, method, arguments):
        payload = struct.pack(">HH", kind, method) + arguments
        self.socket.sendall(struct.pack(">BHI", 1, channel, len(payload)) + payload + b"\xce")

    def wait_for(self, kind, method):
        with self.arrived:
            here = self.arrived.wait_for(lambda: self.answers.get((kind, method)) or self.is_closed, 20)
            if not here or not self.answers.pop((kind, method), 0):
                raise ConnectionError(f"the broker did not answer with {kind}.{method}")

    def read(self):
        try:
            with self.socket.makefile("rb") as frames:
                while len(head := frames.read(7)) == 7:
                    kind, _, length = struct.unpack(">BHI", head)
                    payload = frames.read(length + 1)
                    if kind == 1:
                        self.take(struct.unpack(">HH", payload[:4]))
        except OSError:
            pass
        with self.arrived:
            self.is_closed = True
            self.arrived.notify_all()

    def take(self, method):
        if method == (10, 50):
            self.send(0, 10, 51, b"")
        with self.arrived:
            self.answers[method] = self.answers.get(method, 0) + 1
            self.arrived.notify_all()
