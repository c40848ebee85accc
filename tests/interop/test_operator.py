"""`motet sessions` and `motet connections` against a running server with real clients."""

import json
import os
import subprocess

import pytest

from wire import DISCONNECT, disconnect

KEPT = {"session_expiry_interval": 100}
pytestmark = pytest.mark.skipif("not config.getoption('--server') == 'motet'", reason="tests the motet binary")


@pytest.fixture
def ask(own_server):
    def run(*arguments, code=0):
        command = [os.path.abspath(os.environ["MOTET_BIN"]), *arguments, "--data-dir", str(own_server.data_dir)]
        done = subprocess.run(command, capture_output=True, timeout=15, text=True, cwd=own_server.directory,
                              env=own_server.environment())
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


def test_sessions_are_listed_shown_and_removed(own_server, ask, peer):
    here = peer(own_server)
    here.connect("here/ä", props=KEPT)
    here.subscribe("a/+", qos=1)
    away = peer(own_server)
    away.connect("away", props=KEPT)
    away.subscribe("a/#", qos=2)
    away.send(disconnect(5))
    away.until_closed()
    here.publish("a/b", b"kept", qos=1)

    told = json.loads(ask("sessions", "list", "--json"))
    assert [one["client"] for one in told["sessions"]] == ["away", "here/ä"] and told["next"] is None
    assert [one["connected"] for one in told["sessions"]] == [False, True]
    assert told["sessions"][0]["queued"] == 1
    part = json.loads(ask("sessions", "list", "--json", "--limit", "1"))
    assert part["next"] == "away"
    rest = json.loads(ask("sessions", "list", "--json", "--after", "away"))
    assert [one["client"] for one in rest["sessions"]] == ["here/ä"]
    assert json.loads(ask("sessions", "list", "--json", "--connected", "false"))["sessions"][0]["client"] == "away"
    assert json.loads(ask("sessions", "list", "--json", "--filter", "HERE"))["sessions"][0]["client"] == "here/ä"

    full = json.loads(ask("sessions", "show", "here/ä", "--json"))
    assert full["subscriptions"] == [{"filter": "a/+", "qos": 1, "no_local": False, "retain_as_published": False,
                                      "identifier": None}]
    assert "subscribes to      a/# (QoS 2)" in ask("sessions", "show", "away")
    assert "is gone" in ask("sessions", "remove", "away")
    assert "none of this name" in ask("sessions", "remove", "away", code=1)
    assert "none of this name" in ask("sessions", "show", "away", code=1)


def test_a_connection_is_listed_and_kicked(own_server, ask, peer):
    client = peer(own_server)
    client.connect("guest", props=KEPT)
    (one,) = json.loads(ask("connections", "list", "--json", "--filter", "guest"))["connections"]
    assert one["protocol"] == "mqtt" and one["peer"].startswith("127.0.0.1:") and one["client"] == "guest"
    ask("connections", "kick", str(one["id"]))
    last = client.until_closed()[-1]
    assert (last.kind, last.reason) == (DISCONNECT, 0x98)  # administrative action
    assert "away" in ask("sessions", "list", "--filter", "guest")
    assert "none of this name" in ask("connections", "kick", "999999", code=1)
