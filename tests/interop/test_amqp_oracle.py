"""Motet beside RabbitMQ: each scenario leaves the lines that RabbitMQ 3.10 left when they were recorded.

`--oracle HOST:PORT` runs them against a RabbitMQ there and records anew. What differs on purpose is in `oracle/kept.py`, line by
line and with its reason; docs/protocols/amqp.md tells it to people.
"""

import difflib
import json
from pathlib import Path

import pytest
from oracle import committing, consuming, declaring, dying, misbehaving, publishing  # noqa: F401 (they register their scenarios)
from oracle.bench import SCENARIOS, Bench
from oracle.kept import EVERYWHERE, KEPT

pytestmark = pytest.mark.skipif("config.getoption('--server') != 'motet'", reason="Mosquitto speaks no AMQP")
RECORDED = Path(__file__).parent / "oracle" / "rabbitmq-3.10.json"


def recorded():
    return json.loads(RECORDED.read_text()) if RECORDED.exists() else {}


def run(address, function, name):
    bench = Bench(address, name)
    try:
        function(bench)
    finally:
        bench.clean()
    return bench.lines


@pytest.mark.parametrize("which", sorted(SCENARIOS))
def test_as_rabbitmq(request, which, name):
    oracle = request.config.getoption("--oracle")
    if oracle:
        host, _, port = oracle.rpartition(":")
        lines = run((host, int(port)), SCENARIOS[which], name)
        found = recorded()
        found[which] = lines
        RECORDED.write_text(json.dumps(dict(sorted(found.items())), indent=1, ensure_ascii=False) + "\n")
        return
    server = request.getfixturevalue("server")
    lines = [EVERYWHERE.sub("", line) for line in run(server.amqp, SCENARIOS[which], name)]
    wanted = recorded()[which]
    for _reason, theirs, ours in KEPT.get(which, ()):
        places = [at for at in range(len(wanted)) if wanted[at:at + len(theirs)] == theirs]
        assert places, f"kept without a need: {theirs}"
        wanted = wanted[:places[0]] + ours + wanted[places[0] + len(theirs):]
    assert lines == wanted, "\n".join(difflib.unified_diff(wanted, lines, "RabbitMQ", "Motet", lineterm="", n=3))
