"""Options and fixtures of the interoperability suite. Run it with `tests/run interop`."""

import os
import sys
import uuid
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import motet  # noqa: E402
from clients import Paho  # noqa: E402
from mosquitto_limits import LIMITS  # noqa: E402
from wire import Peer  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--server", choices=sorted(motet.KINDS), default="motet",
                     help="motet (the binary named by MOTET_BIN), or mosquitto: a check of the suite itself")
    parser.addoption("--oracle", metavar="HOST:PORT", help="a RabbitMQ whose answers are recorded anew (test_amqp_oracle.py)")
    parser.addoption("--seed", type=int, default=1, help="seed of the drills' random choices")
    parser.addoption("--rounds", type=int, default=5, help="how often the drills kill the server")


def pytest_configure(config):
    if config.getoption("--server") == "motet" and not os.access(os.environ.get("MOTET_BIN", ""), os.X_OK):
        raise pytest.UsageError("MOTET_BIN must name the motet binary (cargo build -p motet), or give --server mosquitto")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--server") != "mosquitto":
        return
    for item in items:
        name = item.nodeid.rpartition("interop/")[2]
        for start, reason in LIMITS.items():
            if name == start or name.startswith(start + "["):
                item.add_marker(pytest.mark.xfail(reason=reason, strict=not reason.startswith("sometimes")))


@pytest.fixture(scope="session")
def kind(request):
    return motet.KINDS[request.config.getoption("--server")]


@pytest.fixture(scope="session")
def shared_server(kind, tmp_path_factory):
    running = kind(tmp_path_factory.mktemp("shared")).start()
    yield running
    running.close()


@pytest.fixture
def server(shared_server):
    """One server for all tests of this process: each test keeps to topics and client ids of its own."""
    if not shared_server.alive():  # a test that brought it down has failed; the others still get their answer
        shared_server.start()
    yield shared_server
    assert shared_server.alive(), f"the server died\n{shared_server.log}"


@pytest.fixture
def own_server(kind, tmp_path):
    """A server that the test may stop, kill and restart."""
    running = kind(tmp_path / "server", save_often=True).start()
    yield running
    running.close()


@pytest.fixture
def name():
    """A client id and topic prefix that nobody else uses."""
    return "t" + uuid.uuid4().hex[:12]


@pytest.fixture
def peer():
    """Opens raw connections: `peer(server, version=5)`."""
    opened = []

    def open_peer(server, version=5, **options):
        opened.append(Peer(server.mqtt, version, **options))
        return opened[-1]

    yield open_peer
    for one in opened:
        one.close()


@pytest.fixture
def paho():
    """Opens paho-mqtt clients: `paho(server, version=5, client_id=..., clean=True)`."""
    opened = []

    def open_client(server, **options):
        opened.append(Paho(server, **options))
        return opened[-1].connect()

    yield open_client
    for one in opened:
        one.close()
