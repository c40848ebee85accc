"""The server dies under load, again and again, and every promise it gave still holds.

At the end each acknowledged publish has reached each persistent session, QoS 2 exactly once, in the order of its
publisher, and no session was forgotten. `--rounds 50 --seed 7` makes it longer; the seed is printed when it fails.
"""

import signal

import load
import pytest

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_acknowledged_messages_survive(own_server, request, how):
    seed, rounds = request.config.getoption("--seed"), request.config.getoption("--rounds")
    ledger = load.run(own_server, how, rounds, seed)
    counts = {name: len(numbers) for name, numbers in ledger.acknowledged.items()}
    print(f"seed {seed}, {rounds} rounds, acknowledged: {counts}")
    assert all(counts.values()), f"nothing was acknowledged: the load did not run: {counts}"
    assert ledger.verdict() == [], f"seed {seed}"
