"""A subscriber that reads nothing, among fifty that do: nobody else notices."""

import threading

import pytest

MESSAGES, BYTES, OTHERS = 2000, 4096, 49


@pytest.mark.timeout(90)
@pytest.mark.parametrize("version", [4, 5])
def test_one_stuck_among_fifty_disturbs_nobody(own_server, peer, name, version):
    stuck = peer(own_server, version=version, receive_buffer=4096)
    stuck.connect(name + "stuck")
    stuck.subscribe(name, qos=0)  # and never reads again
    others = []
    for number in range(OTHERS):
        one = peer(own_server, version=version, timeout=60)
        one.connect(f"{name}{number}")
        one.subscribe(name, qos=0)
        others.append(one)
    counts = [0] * OTHERS

    def hear(number):
        for at in range(MESSAGES):
            assert others[number].message().payload[:4] == at.to_bytes(4, "big")
            counts[number] += 1

    threads = [threading.Thread(target=hear, args=(number,)) for number in range(OTHERS)]
    for thread in threads:
        thread.start()
    publisher = peer(own_server, version=version, timeout=60)
    publisher.connect(name + "publisher")
    for at in range(MESSAGES):
        # QoS 1 paces the publisher by the server, not by the slowest of the subscribers.
        publisher.publish(name, at.to_bytes(4, "big") + b"x" * BYTES, qos=1)
    for thread in threads:
        thread.join(60)
    assert counts == [MESSAGES] * OTHERS
    publisher.ping()
