"""Starts and stops the server under test.

`Motet` is the server we build. `Mosquitto` is a stand-in that lets the suite check itself: a test that an independent
broker passes is a test of MQTT, and what that broker cannot do is listed with its reason in `mosquitto_limits.py`.

What the motet binary promises to this file:
- `motet --config FILE` reads `data_dir` and `[[listener]]` with `address` and `protocol` (mqtt, mqtts, amqp, http, management);
- it writes DATA_DIR/ports.json once it listens: [{"protocol": "mqtt", "address": "127.0.0.1:PORT"}, ...];
- SIGTERM drains and exits 0.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

START_SECONDS = 15
STOP_SECONDS = 15


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server process on a data directory that outlives it."""

    name = "?"
    websocket_bytes_max = 1_000_000  # the largest payload that the tests send over WebSocket

    def __init__(self, directory, settings=None, data_dir=None, save_often=False,
                 bounded_queues=False):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.data_dir = Path(data_dir) if data_dir else self.directory / "data"
        self.data_dir.mkdir(exist_ok=True)
        self.settings = settings or ""
        self.save_often = save_often  # for Mosquitto, which saves at its end unless asked to do it after every change
        self.bounded_queues = bounded_queues  # for Mosquitto again: Motet's are bounded anyway
        self.process, self.ports, self.starts = None, {}, 0

    # -- addresses, as (host, port); WebSocket as a URL

    @property
    def mqtt(self):
        return "127.0.0.1", self.ports["mqtt"]

    @property
    def amqp(self):
        return "127.0.0.1", self.ports["amqp"]

    @property
    def http(self):
        return "127.0.0.1", self.ports["http"]

    @property
    def management(self):
        return "127.0.0.1", self.ports["management"]

    @property
    def websocket_url(self):
        return f"ws://127.0.0.1:{self.ports['http']}/mqtt"

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        return "\n".join(path.read_text(errors="replace")[-4000:] for path in sorted(self.directory.glob("log-*")))

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def rss_bytes(self):
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    # -- life

    def start(self):
        """Starts on the ports of last time, or on free ones the first time."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return self.start_once()
            except RuntimeError as failure:
                # A port that was free a moment ago may just now be the near end of somebody's connection.
                if "is taken" not in str(failure) or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def start_once(self):
        assert not self.alive()
        self.starts += 1
        log = open(self.directory / f"log-{self.starts:02}", "wb")
        with log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=subprocess.STDOUT,
                                            env=self.environment(), cwd=self.directory)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if not self.alive():
                raise RuntimeError(f"{self.name} ended with {self.process.returncode} at its start\n{self.log}")
            if self.listens():
                return self
            time.sleep(0.01)
        self.kill()
        raise RuntimeError(f"{self.name} did not listen within {START_SECONDS} s\n{self.log}")

    def terminate(self):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def kill(self):
        """SIGKILL: the process has no chance to write anything more."""
        if self.alive():
            self.process.kill()
        self.process.wait(STOP_SECONDS)

    def restart(self, how=signal.SIGTERM, new_ports=False):
        self.kill() if how == signal.SIGKILL else self.terminate()
        if new_ports:
            self.ports = {}
        return self.start()

    def close(self):
        if self.alive():
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def environment(self):
        return dict(os.environ)


class Motet(Server):
    name = "motet"

    def command(self):
        (self.data_dir / "ports.json").unlink(missing_ok=True)
        lines = [f"data_dir = {json.dumps(str(self.data_dir))}", self.settings]
        for protocol in ("mqtt", "amqp", "http", "management"):
            address = f"127.0.0.1:{self.ports.get(protocol, 0)}"
            lines.append(f'[[listener]]\naddress = "{address}"\nprotocol = "{protocol}"')
        config = self.directory / "motet.toml"
        config.write_text("\n".join(lines) + "\n")
        return [os.path.abspath(os.environ["MOTET_BIN"]), "--config", str(config)]

    def environment(self):
        # Overrides that a developer has set for himself must not leak into the tests.
        return {key: value for key, value in os.environ.items() if not key.startswith("MOTET_")}

    def listens(self):
        try:
            found = json.loads((self.data_dir / "ports.json").read_text())
        except (FileNotFoundError, ValueError):  # not there yet, or half written
            return False
        self.ports = {one["protocol"]: int(one["address"].rpartition(":")[2]) for one in found}
        return True


class Mosquitto(Server):
    name = "mosquitto"
    websocket_bytes_max = 70_000

    def command(self):
        if not self.ports:
            self.ports = {"mqtt": free_port(), "http": free_port()}
        config = self.directory / "mosquitto.conf"
        config.write_text(f"""
user root
allow_anonymous true
set_tcp_nodelay true
persistence true
persistence_location {self.data_dir}/
autosave_on_changes {str(self.save_often).lower()}
autosave_interval {1 if self.save_often else 1800}
max_queued_messages {1000 if self.bounded_queues else 0}
max_inflight_messages 200
max_topic_alias 10
listener {self.ports['mqtt']} 127.0.0.1
listener {self.ports['http']} 127.0.0.1
protocol websockets
""")
        return [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(config)]

    def listens(self):
        try:
            for port in self.ports.values():
                socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            return False
        return True


KINDS = {"motet": Motet, "mosquitto": Mosquitto}
