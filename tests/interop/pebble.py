"""An authority to ask for certificates: Pebble, Let's Encrypt's own test server, with the DNS it looks names up in."""

import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
import urllib.request

START_SECONDS = 15


def reserve():
    """A port that nobody else is given, on which nobody listens yet: whoever sets SO_REUSEADDR may begin to."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


class Names:
    """A name server for which every name is on this machine."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                query, peer = self.socket.recvfrom(4096)
                self.socket.sendto(self._answer(query), peer)
            except OSError:
                return

    @staticmethod
    def _answer(query):
        end = query.index(b"\0", 12) + 5  # the name, its end, type and class
        is_address = query[end - 4:end] == b"\0\1\0\1"
        record = b"\xc0\x0c\0\1\0\1" + struct.pack("!IH", 60, 4) + bytes([127, 0, 0, 1])
        header = query[:2] + b"\x81\x80" + struct.pack("!HHHH", 1, int(is_address), 0, 0)
        return header + query[12:end] + (record if is_address else b"")

    def close(self):
        self.socket.close()


class Pebble:
    """Has an address from the beginning and listens from `start` to `stop`."""

    def __init__(self, directory, authority):
        self.directory, self.authority = directory, authority
        self.held, self.management = reserve(), reserve()
        self.names, self.process = Names(), None

    @staticmethod
    def is_here():
        return shutil.which("pebble") is not None

    @property
    def url(self):
        return "https://localhost:%d/dir" % self.held.getsockname()[1]

    def start(self, proof_port, lasts_seconds=86_400, bad_nonces=0, external_accounts=None):
        certificate, key, _ = self.authority.issue("pebble", ["localhost", "127.0.0.1"], file="pebble")
        config = self.directory / "pebble.json"
        config.write_text(json.dumps({"pebble": {
            "listenAddress": "127.0.0.1:%d" % self.held.getsockname()[1],
            "managementListenAddress": "127.0.0.1:%d" % self.management.getsockname()[1],
            "certificate": str(certificate), "privateKey": str(key),
            "httpPort": proof_port, "tlsPort": proof_port,
            "certificateValidityPeriod": lasts_seconds,
            "externalAccountBindingRequired": external_accounts is not None,
            "externalAccountMACKeys": external_accounts or {},
        }}))
        environment = dict(os.environ, PEBBLE_VA_NOSLEEP="1", PEBBLE_WFE_NONCEREJECT=str(bad_nonces), PEBBLE_AUTHZREUSE="0")
        with open(self.directory / "pebble.log", "ab") as log:
            self.process = subprocess.Popen(["pebble", "-strict", "-config", config, "-dnsserver", self.names.address],
                                            env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log
            try:
                return self._root()
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"pebble does not answer\n{self.log}")

    def _root(self):
        """The PEM text of the root that its certificates lead to; it is another one after each start."""
        context = ssl.create_default_context(cafile=str(self.authority.file))
        url = "https://localhost:%d/roots/0" % self.management.getsockname()[1]
        return urllib.request.urlopen(url, timeout=5, context=context).read().decode()

    @property
    def log(self):
        return (self.directory / "pebble.log").read_text(errors="replace")[-8000:]

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self):
        self.stop()
        self.names.close()
        self.held.close()
        self.management.close()
