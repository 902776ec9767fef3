"""A leveret of one's own, and its binary under the names of RabbitMQ's tools: what checks of command lines share. The tools
reach it by the socket in its data directory, as they would on the broker's machine."""

import os
import subprocess
import sys
import tempfile

from checks import expect_that, wait_until
from management import Addresses, Process, free_port

NAMES = ("rabbitmqctl", "rabbitmq-diagnostics", "rabbitmq-queues", "rabbitmq-plugins", "rabbitmq-upgrade", "rabbitmqadmin")


class OwnBroker:
    """A fresh broker, with links of the tools' names. `environment` is for programs that are to find both."""

    def __init__(self):
        binary = os.environ["LEVERET_BINARY"]
        self._folder = tempfile.TemporaryDirectory()
        self.folder = self._folder.name
        links = os.path.join(self.folder, "bin")
        os.mkdir(links)
        for name in NAMES:
            os.symlink(binary, os.path.join(links, name))
        data = os.path.join(self.folder, "data")
        amqp, http = free_port(), free_port()
        self.addresses = Addresses(["", f"amqp://guest:guest@127.0.0.1:{amqp}", f"http://guest:guest@127.0.0.1:{http}"])
        self.environment = {
            **os.environ,
            "PATH": f"{links}{os.pathsep}{os.environ['PATH']}",
            "LEVERET_DATA_DIR": data,
        }
        listen = ["--listen", f"127.0.0.1:{amqp}", "--management-listen", f"127.0.0.1:{http}", "--metrics-listen", "off"]
        self._process = Process([binary, "serve", *listen, "--data-dir", data])
        try:
            wait_until(self._is_up, "the broker", 15, 0.05)
        except BaseException:
            self.close()
            raise

    def _is_up(self):
        expect_that(self._process.is_running(), "the broker ended while it started")
        try:
            return self.addresses.request("GET", "whoami")[0] == 200
        except OSError:
            return False

    def run(self, command, seconds=15):
        """How a command line, given as a list, ended: its code, and all that it printed."""
        ended = subprocess.run(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, timeout=seconds)
        print(f"{command}: {ended.returncode}\n{ended.stdout}", file=sys.stderr, flush=True)
        return ended.returncode, ended.stdout

    def stop(self):
        """The broker ends; its data and the tools stay."""
        self._process.close()

    def close(self):
        self._process.close()
        self._folder.cleanup()
