"""`motet bench mqtt` against ourselves and against Debian's mosquitto."""

import json
import os
import shutil
import subprocess

import pytest

from motet import Mosquitto

ALL = ["pairs", "fan-out", "fan-in", "latency", "connect", "idle", "retained", "offline"]
FEW = ["--count", "40", "--clients", "2", "--secs", "0.2"]
pytestmark = pytest.mark.skipif("not config.getoption('--server') == 'motet'", reason="tests the motet binary")


def bench(server, *arguments):
    """The exit status, and the figures of each workload."""
    host, port = server.mqtt
    command = [os.path.abspath(os.environ["MOTET_BIN"]), "bench", "mqtt", f"{host}:{port}", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, timeout=60, text=True)
    assert not done.stderr, done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def mosquitto(tmp_path):
    if not (shutil.which("mosquitto") or os.path.exists("/usr/sbin/mosquitto")):
        pytest.skip("mosquitto is not installed")
    running = Mosquitto(tmp_path / "mosquitto", bounded_queues=True).start()
    yield running
    running.close()


@pytest.mark.parametrize("mqtt", ["3.1.1", "5"])
@pytest.mark.parametrize("qos", ["0", "1"])
def test_every_workload_runs_against_mosquitto(mosquitto, mqtt, qos):
    # Within its window of 200 nothing waits for long.
    code, told = bench(mosquitto, "--mqtt", mqtt, "--qos", qos, *FEW, "--in-flight", "20", "--pid", str(mosquitto.pid))
    assert [one["workload"] for one in told] == ALL
    assert code == 0 and all(one["good"] for one in told), told
    for one in told:
        assert one.get("lost", 0) == 0 and one["count"] > 0, one
        assert len(one["server_rss_bytes"]) == 2


def test_messages_that_a_server_confirmed_and_dropped_are_told(mosquitto):
    code, (told,) = bench(mosquitto, "offline", "--count", "3000")
    assert code == 1 and not told["good"]
    assert told["received"] + told["lost"] == 3000 and told["lost"] > 1000
    assert "did not keep" in told["errors"][0]


def test_our_own_server_keeps_them(server):
    code, (told,) = bench(server, "offline", "--count", "3000")
    assert code == 0 and told["received"] == told["count"] == 3000, told


def test_a_server_that_is_not_there_is_an_error(tmp_path):
    command = [os.path.abspath(os.environ["MOTET_BIN"]), "bench", "mqtt", "127.0.0.1:1", "pairs"]
    done = subprocess.run(command, capture_output=True, timeout=60, text=True)
    assert done.returncode == 1 and "could not be run" in done.stdout
