"""What is shipped: the static program with nothing around it, and the Debian package made of it. Run with
`tests/run package`; STATIC_BIN names the program."""

import json
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

TOP = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ["STATIC_BIN"]).resolve()
WITHIN_SECONDS = 20
USER = 65532  # as in the container
PT_INTERP = 3  # [ELF, program header types]


def wants(command):
    if shutil.which(command) is None:
        pytest.skip(f"there is no {command}")


def program_headers(file):
    """The types of an ELF file's segments. [ELF64, figure 2-1]"""
    data = file.read_bytes()
    assert data[:5] == b"\x7fELF\x02", "a 64-bit ELF file"
    at, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    return [struct.unpack_from("<I", data, at + number * size)[0] for number in range(count)]


def until(look, told=lambda: ""):
    deadline = time.monotonic() + WITHIN_SECONDS
    while time.monotonic() < deadline:
        seen = look()
        if seen:
            return seen
        time.sleep(0.02)
    raise AssertionError(f"nothing to see in time\n{told()}")


class Cell:
    """A folder that is all the program can see: itself and its data."""

    def __init__(self, folder):
        self.folder, self.data = folder, folder / "data"
        self.data.mkdir(parents=True)
        shutil.copy2(BINARY, folder / "motet")
        listeners = [f'[[listener]]\nprotocol = "{one}"\naddress = "127.0.0.1:0"\n' for one in ("mqtt", "mqtts", "amqp", "http")]
        (self.data / "motet.toml").write_text('data_dir = "/data"\n' + "".join(listeners))
        for path in (self.data, self.data / "motet.toml"):
            os.chown(path, USER, USER)
        self.process = None

    def enter(self):
        os.chroot(self.folder)
        os.chdir("/data")
        os.setgroups([])
        os.setgid(USER)
        os.setuid(USER)

    def start(self):
        (self.data / "ports.json").unlink(missing_ok=True)
        log = open(self.folder.parent / "log", "ab")
        with log:
            self.process = subprocess.Popen(["/motet", "--config", "/data/motet.toml"], preexec_fn=self.enter, env={},
                                            stdout=log, stderr=log)
        until(self._listens, self.log)
        return self

    def _listens(self):
        assert self.process.poll() is None, self.log()
        try:
            found = json.loads((self.data / "ports.json").read_text())
        except (FileNotFoundError, ValueError):
            return False
        self.ports = {one["protocol"]: int(one["address"].rpartition(":")[2]) for one in found}
        return True

    def run(self, *arguments):
        return subprocess.run(["/motet", *arguments], preexec_fn=self.enter, env={}, capture_output=True, text=True,
                              timeout=WITHIN_SECONDS)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WITHIN_SECONDS)

    def log(self):
        return (self.folder.parent / "log").read_text()


@pytest.fixture
def cell(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root may lock a program up")
    for folder in (tmp_path, *tmp_path.parents):  # the way there is not the program's, but it must be able to open its data
        if folder.owner() == "root" and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    one = Cell(tmp_path / "cell")
    yield one
    if one.process is not None and one.process.poll() is None:
        one.process.kill()
        one.process.wait()


def client(port, client_id, on_message=None, **connect):
    """An MQTT 5 client that is connected."""
    one = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
    one.on_message = on_message
    there = threading.Event()
    one.on_connect = lambda *_: there.set()
    one.connect("127.0.0.1", port, **connect)
    one.loop_start()
    assert there.wait(WITHIN_SECONDS)
    return one


def test_the_program_asks_for_no_library():
    assert PT_INTERP not in program_headers(BINARY), "it wants a dynamic loader"


def test_it_serves_where_there_is_nothing_else(cell):
    cell.start()
    sender = client(cell.ports["mqtt"], "sender")
    sender.publish("kept", b"for later", qos=1, retain=True).wait_for_publish(WITHIN_SECONDS)
    sender.disconnect()
    sender.loop_stop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", cell.ports["mqtts"])) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as encrypted:
            assert encrypted.version() == "TLSv1.3"
    with socket.create_connection(("127.0.0.1", cell.ports["amqp"]), timeout=WITHIN_SECONDS) as amqp:
        amqp.sendall(b"AMQP\0\0\x09\x01")
        assert amqp.recv(1) == b"\x01", "Connection.Start is a method frame"
    status = cell.run("status", "--url", f"http://127.0.0.1:{cell.ports['http']}")
    assert status.returncode == 0 and "ready" in status.stdout, status
    assert cell.stop() == 0, cell.log()
    cell.start()
    seen = []
    receiver = client(cell.ports["mqtt"], "receiver", on_message=lambda *about: seen.append(about[2].payload))
    receiver.subscribe("kept", qos=1)
    until(lambda: seen == [b"for later"], cell.log)
    receiver.disconnect()
    receiver.loop_stop()
    assert cell.stop() == 0, cell.log()


def test_many_threads_take_and_give_memory(cell):
    """The allocator of the static build, with what a message costs: a thousand large ones to eight clients."""
    cell.start()
    payload, count, seen = b"x" * 20_000, 1_000, [0] * 8
    receivers = []
    for number in range(len(seen)):
        def on_message(_client, _data, message, number=number):
            assert message.payload == payload
            seen[number] += 1
        receivers.append(client(cell.ports["mqtt"], f"receiver-{number}", on_message=on_message))
        receivers[-1].subscribe("many", qos=1)
    sender = client(cell.ports["mqtt"], "sender")
    last = [sender.publish("many", payload, qos=1) for _ in range(count)][-1]
    last.wait_for_publish(WITHIN_SECONDS)
    until(lambda: seen == [count] * len(seen), lambda: str(seen))
    for one in [sender, *receivers]:
        one.disconnect()
        one.loop_stop()
    assert cell.stop() == 0, cell.log()


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    wants("dpkg-deb")
    built = subprocess.run([TOP / "packaging/deb/build", BINARY, tmp_path_factory.mktemp("deb")], check=True,
                           capture_output=True, text=True)
    return Path(built.stdout.strip())


def test_the_package_holds_what_it_should(package):
    field = lambda name: subprocess.check_output(["dpkg-deb", "-f", package, name], text=True).strip()  # noqa: E731
    assert field("Package") == "motet" and field("Depends") == "adduser", "a static program depends on no library"
    version = subprocess.check_output([BINARY, "--version"], text=True).split()[1]
    assert field("Version") == version
    listing = subprocess.check_output(["dpkg-deb", "-c", package], text=True).splitlines()
    held = {line.split()[5]: line.split()[:2] for line in listing}
    assert {owner for _, owner in held.values()} == {"root/root"}
    assert held["./usr/bin/motet"][0] == "-rwxr-xr-x"
    assert held["./etc/motet/motet.toml"][0] == "-rw-r-----"
    assert "./usr/lib/systemd/system/motet.service" in held and "./usr/share/doc/motet/docs/operating.md" in held
    assert not [path for path in held if path.startswith("./var/lib/motet/")], "messages are none of the package's"
    control = subprocess.check_output(["dpkg-deb", "--ctrl-tarfile", package])
    names = subprocess.run(["tar", "-t"], input=control, stdout=subprocess.PIPE, check=True).stdout.decode().split()
    assert {"./conffiles", "./control", "./postinst", "./postrm", "./prerm"} <= set(names)


def test_what_is_unpacked_runs_and_its_unit_is_good(package, tmp_path):
    root = tmp_path / "root"
    subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    program = root / "usr/bin/motet"
    checked = subprocess.run([program, "config", "check", "--config", root / "etc/motet/motet.toml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked
    wants("systemd-analyze")
    unit = tmp_path / "motet.service"
    text = (root / "usr/lib/systemd/system/motet.service").read_text()
    assert "ExecStart=/usr/bin/motet " in text
    unit.write_text(text.replace("/usr/bin/motet", str(program)))  # it is not installed here
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    ours = [line for line in (verified.stdout + verified.stderr).splitlines() if "motet" in line]
    assert verified.returncode == 0 and not ours, verified


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_what_runs_at_installation_is_sound(script):
    subprocess.run(["sh", "-n", TOP / "packaging/deb" / script], check=True)
