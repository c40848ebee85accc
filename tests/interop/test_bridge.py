"""Bridges between motet and Debian's mosquitto, in both directions, made by either of them."""

import os
import shutil
import time

import pytest

from motet import Mosquitto, Motet, free_port

pytestmark = [
    pytest.mark.skipif("not config.getoption('--server') == 'motet'", reason="tests the motet binary"),
    pytest.mark.skipif(not (shutil.which("mosquitto") or os.path.exists("/usr/sbin/mosquitto")),
                       reason="mosquitto is not installed"),
]


class BridgingMosquitto(Mosquitto):
    """A mosquitto with a few lines more in its configuration."""

    more = ""

    def command(self):
        command = super().command()
        with open(self.directory / "mosquitto.conf", "a") as config:
            config.write(self.more)
        return command


@pytest.fixture
def far(tmp_path):
    running = Mosquitto(tmp_path / "far", save_often=True).start()
    yield running
    running.close()


@pytest.fixture
def near(tmp_path):
    """Starts a motet with a bridge to this port: `near(port, version, topics)`."""
    started = []

    def start(port, version, *topics, name="up"):
        lines = ["[[bridge]]", f'name = "{name}"', f'address = "127.0.0.1:{port}"', f'version = "{version}"',
                 'reconnect_min = "50ms"', 'reconnect_max = "200ms"']
        for topic in topics:
            lines += ["[[bridge.topic]]", *(f"{key} = {value!r}".replace("'", '"') for key, value in topic.items())]
        started.append(Motet(tmp_path / f"near-{len(started)}", settings="\n".join(lines)).start())
        return started[-1]

    yield start
    for server in started:
        server.close()


def until(peer, server, state, name="up"):
    """Waits until the bridge says so itself."""
    watcher = peer(server)
    watcher.connect()
    watcher.subscribe(f"$SYS/broker/connection/{name}/state")
    while watcher.message().payload != state:
        pass


def client(peer, server, *filters, qos=0):
    one = peer(server)
    one.connect()
    if filters:
        one.subscribe(*filters, qos=qos)
    return one


VERSIONS = ["3.1.1", "5"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_cross_to_mosquitto_and_back(far, near, peer, version, qos):
    server = near(far.ports["mqtt"], version,
                  {"filter": "+/b/#", "direction": "out", "qos": qos, "local_prefix": "up/", "remote_prefix": "from/near/"},
                  {"filter": "#", "direction": "in", "qos": qos, "local_prefix": "down/", "remote_prefix": "to/near/"})
    until(peer, server, b"1")
    here, there = client(peer, server, "down/#", qos=2), client(peer, far, "from/#", qos=2)
    here.publish("up/x/c", b"not this", qos=qos)
    here.publish("up/a/b/c", b"out", qos=qos)
    found = there.message()
    assert (found.topic, found.payload, found.qos) == ("from/near/a/b/c", b"out", qos)
    there.publish("to/near/d", b"in", qos=qos)
    found = here.message()
    assert (found.topic, found.payload, found.qos) == ("down/d", b"in", qos)


@pytest.mark.parametrize("version", VERSIONS)
def test_both_ways_on_one_topic_is_no_loop(far, near, peer, version):
    server = near(far.ports["mqtt"], version, {"filter": "both/#", "direction": "both", "qos": 1})
    until(peer, server, b"1")
    here, there = client(peer, server, "both/#"), client(peer, far, "both/#")
    for round in range(3):
        here.publish("both/a", b"here %d" % round, qos=1)
        assert here.message().payload == there.message().payload == b"here %d" % round
        there.publish("both/b", b"there %d" % round, qos=1)
        assert here.message().payload == there.message().payload == b"there %d" % round


@pytest.mark.parametrize("version", VERSIONS)
def test_retained_messages_stay_retained(far, near, peer, version):
    client(peer, far).publish("kept/there", b"old", qos=1, retain=True)
    server = near(far.ports["mqtt"], version, {"filter": "kept/#", "direction": "both", "qos": 1})
    until(peer, server, b"1")
    client(peer, server).publish("kept/here", b"new", qos=1, retain=True)
    for one in (server, far):
        late = client(peer, one, "kept/#")
        # What crosses takes a moment to be kept on the other side; it is then delivered as it comes.
        assert {late.message().payload, late.message().payload} == {b"old", b"new"}


@pytest.mark.parametrize("version", VERSIONS)
def test_messages_wait_while_mosquitto_is_away(far, near, peer, version):
    server = near(far.ports["mqtt"], version, {"filter": "wait/#", "qos": 2})
    until(peer, server, b"1")
    far.terminate()
    until(peer, server, b"0")
    here = client(peer, server)
    for number in range(50):
        here.publish("wait/x", b"%d" % number, qos=1 + number % 2)
    far.start()
    # The bridge may be quicker than a new subscriber: a session from before is not there, so take the last by retain.
    here.publish("wait/last", b"last", qos=1, retain=True)
    late = client(peer, far, "wait/last")
    assert late.message().payload == b"last"


def test_nothing_is_lost_or_doubled_over_restarts_of_mosquitto(far, near, peer):
    listener = peer(far)
    listener.connect("listener", clean=False, props={"session_expiry_interval": 600})
    listener.subscribe("n/#", qos=2)
    server = near(far.ports["mqtt"], "5", {"filter": "n/#", "qos": 2})
    until(peer, server, b"1")
    here = client(peer, server)
    for number in range(60):
        here.publish("n/x", b"%d" % number, qos=2)
        if number in (20, 40):
            listener.close()
            far.restart()
            listener = peer(far)
            listener.connect("listener", clean=False, props={"session_expiry_interval": 600})
    got = []
    while len(set(got)) < 60:
        got.append(listener.message().payload)
    assert sorted(map(int, got)) == list(range(60))


def test_a_bridge_of_mosquitto_reaches_us_and_makes_no_loop(near, peer, tmp_path):
    server = near(free_port(), "5")  # a bridge of ours to nowhere harms nobody
    mosquitto = BridgingMosquitto(tmp_path / "bridging")
    mosquitto.more = (f"connection us\naddress 127.0.0.1:{server.ports['mqtt']}\ntopic # both 1\n"
                      "notifications false\nrestart_timeout 1\n")
    mosquitto.start()
    try:
        here = client(peer, server, "#")
        there = client(peer, mosquitto, "#")
        deadline = time.monotonic() + 20
        # It has come when what is published there arrives here.
        number = 0
        while time.monotonic() < deadline:
            there.publish("ping/%d" % number, b"x", qos=1)
            number += 1
            try:
                here.message(timeout=0.5)
                break
            except Exception:  # silence: not yet
                continue
        else:
            pytest.fail(f"mosquitto's bridge did not come\n{mosquitto.log}")
        here.publish("answer", b"y", qos=1)
        while there.message().topic != "answer":
            pass
    finally:
        mosquitto.close()
