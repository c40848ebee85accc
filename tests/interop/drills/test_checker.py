"""The checker finds what it is there to find."""

from load import Ledger


def ledger(seen, qos=2, acknowledged=range(4)):
    one = Ledger()
    one.acknowledged = {f"qos{qos}-0": set(acknowledged)}
    one.published = {f"qos{qos}-0": 4}
    one.seen = {"reader": {f"qos{qos}-0": seen}}
    return one.verdict()


def test_complete_and_ordered_is_right():
    assert ledger([0, 1, 2, 3]) == []
    assert ledger([0, 1, 2, 3, 4]) == []  # published and delivered, its acknowledgement still on the way


def test_loss_is_found():
    assert "lost: [2]" in ledger([0, 1, 3])[0]
    assert "lost: [0, 1, 2, 3]" in ledger([])[0]


def test_repetition_is_found_in_qos_2_and_allowed_in_qos_1():
    assert "more than once: [1]" in ledger([0, 1, 1, 2, 3])[0]
    assert ledger([0, 1, 2, 1, 2, 3], qos=1) == []


def test_disorder_is_found():
    assert "order broken: [(2, 1)]" in ledger([0, 2, 1, 3], qos=1)[0]


def test_invention_is_found():
    assert "never sent: [9]" in ledger([0, 1, 2, 3, 9])[0]
