"""`motet bench mqtt` against ourselves and against Debian's mosquitto; `motet bench amqp` against ourselves."""

import json
import os
import shutil
import subprocess

import pytest

from motet import Mosquitto

ALL = ["pairs", "fan-out", "fan-in", "latency", "connect", "idle", "retained", "offline"]
FEW = ["--count", "40", "--clients", "2", "--secs", "0.2"]
pytestmark = pytest.mark.skipif("not config.getoption('--server') == 'motet'", reason="tests the motet binary")


def bench(server, *arguments, protocol="mqtt"):
    """The exit status, and the figures of each workload."""
    host, port = getattr(server, protocol)
    command = [os.path.abspath(os.environ["MOTET_BIN"]), "bench", protocol, f"{host}:{port}", *arguments, "--json"]
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


@pytest.mark.parametrize("kept", [[], ["--persistent"]], ids=["transient", "persistent"])
def test_every_amqp_workload_runs_and_loses_nothing(server, kept):
    code, told = bench(server, *kept, *FEW, "--size", "200000", "--pid", str(server.pid), protocol="amqp")
    assert [one["workload"] for one in told] == ["pairs", "competing", "fan-out", "backlog", "latency"]
    assert code == 0 and all(one["good"] for one in told), told
    expected = {"pairs": 80, "competing": 80, "fan-out": 80, "backlog": 40, "latency": 80}
    for one in told:
        assert one["count"] == one["received"] == expected[one["workload"]], one
        assert (one["lost"], one["duplicates"], len(one["server_rss_bytes"])) == (0, 0, 2), one
        assert one["workload"] == "competing" or one["out_of_order"] == 0, one
    assert told[3]["filled_messages_s"] > 0


def test_an_amqp_benchmark_that_is_not_let_in_says_why(server):
    code, (told,) = bench(server, "pairs", *FEW, "--vhost", "nowhere", protocol="amqp")
    assert code == 1 and "530" in told["errors"][0] and "vhost nowhere not found" in told["errors"][0], told


@pytest.mark.parametrize("protocol", ["mqtt", "amqp"])
def test_a_server_that_is_not_there_is_an_error(protocol):
    command = [os.path.abspath(os.environ["MOTET_BIN"]), "bench", protocol, "127.0.0.1:1", "pairs"]
    done = subprocess.run(command, capture_output=True, timeout=60, text=True)
    assert done.returncode == 1 and "could not be run" in done.stdout
