"""The server dies under clients of MQTT and AMQP on the same topics, again and again, and every promise still holds.

What was acknowledged, confirmed or committed reaches the sessions, the bound queue and the shared group; what is
delivered with QoS 2 comes once; order is each publisher's; transactions happen whole or not at all; what comes again is
marked. `--rounds 50 --seed 7` makes it longer; the seed is printed when it fails.
"""

import signal

import load
import mixed_load
import pytest

pytestmark = [pytest.mark.drill, pytest.mark.timeout(180)]


@pytest.mark.skipif("config.getoption('--server') != 'motet'", reason="Mosquitto speaks no AMQP")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_promises_between_protocols_survive(own_server, request, how):
    seed, rounds = request.config.getoption("--seed"), request.config.getoption("--rounds")
    ledger, wrong = mixed_load.run(own_server, how, rounds, seed)
    counts = {name: len(numbers) for name, numbers in ledger.acknowledged.items()}
    print(f"seed {seed}, {rounds} rounds, acknowledged: {counts}")
    assert all(counts.values()), f"nothing was acknowledged: the load did not run: {counts}"
    assert wrong == [], f"seed {seed}"


class Seen:
    def __init__(self, **seen):
        self.seen = {name.replace("_", "-"): numbers for name, numbers in seen.items()}


def ledger(**seen):
    one = load.Ledger()
    one.acknowledged = {"qos2-amqp-units": set(range(6))}
    one.published = {"qos2-amqp-units": 8}
    one.seen = {"reader": {name.replace("_", "-"): numbers for name, numbers in seen.items()}}
    return one


def test_the_checker_knows_what_is_right():
    every = list(range(9))
    group = Seen(qos2_amqp_units=[0, 2, 4]), Seen(qos2_amqp_units=[1, 3, 5])
    assert mixed_load.verdict(ledger(qos2_amqp_units=every), group) == []


def test_the_checker_finds_half_a_transaction_and_what_the_group_lost():
    wrong = mixed_load.verdict(ledger(qos2_amqp_units=list(range(8))), (Seen(qos2_amqp_units=[0, 1, 2, 4, 5]), Seen()))
    assert ["cut in two: [2]" in one for one in wrong] == [False, True] and "to the group: 1" in wrong[0]


def test_the_checker_finds_what_came_again_without_a_mark():
    worker = mixed_load.Worker(None, "hall", "hall", 1)
    worker.unmarked.update({("qos2-amqp", 1): 2, ("qos2-amqp", 2): 1, ("qos1-paho", 1): 2})
    assert mixed_load.unmarked_twice(worker) == ["qos2-amqp 1 came to hall 2 times, not marked as redelivered"]
