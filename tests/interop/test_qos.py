"""Publishing and receiving at every quality of service, every size, and in order."""

import hashlib
import threading

import pytest
import wire

SIZES = {"empty": 0, "64 B": 64, "1 MB": 1_000_000}


def content(size):
    return (hashlib.sha256(str(size).encode()).digest() * (size // 32 + 1))[:size]


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("published", [0, 1, 2])
def test_payload_arrives_with_the_lower_qos(server, paho, name, version, published, granted):
    receiver = paho(server, version=version, client_id=name + "r")
    assert receiver.subscribe(name + "/#", granted) == [granted]
    sender = paho(server, version=version, client_id=name + "s")
    for label, size in SIZES.items():
        sender.publish(f"{name}/{label}", content(size), published)
    for label, size in SIZES.items():
        found = receiver.message()
        assert found.topic == f"{name}/{label}"
        assert found.payload == content(size)
        assert (found.qos, found.retain, found.dup) == (min(published, granted), False, False)
    receiver.nothing_for(0.1)


@pytest.mark.parametrize("sender_version, receiver_version", [(3, 5), (4, 5), (5, 4), (5, 3), (3, 4), (4, 3)])
def test_versions_reach_one_another(server, paho, name, sender_version, receiver_version):
    receiver = paho(server, version=receiver_version, client_id=name + "r")
    receiver.subscribe(name, 2)
    paho(server, version=sender_version, client_id=name + "s").publish(name, b"hello", 2)
    assert receiver.message().payload == b"hello"


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_five_thousand_messages_keep_their_order(server, paho, name, version, qos):
    receiver = paho(server, version=version, client_id=name + "r")
    receiver.subscribe(name, qos)
    sender = paho(server, version=version, client_id=name + "s")
    sent = [sender.publish(name, str(number).encode(), qos, wait=False) for number in range(5000)]
    received = [int(receiver.message().payload) for _ in range(5000)]
    assert received == list(range(5000))
    sent[-1].wait_for_publish(10)
    receiver.nothing_for(0.1)


def test_each_publisher_keeps_its_own_order_among_many(server, peer, name):
    receiver = peer(server)
    receiver.connect(name + "r")
    receiver.subscribe(name + "/+", qos=1)

    def publish(number):
        one = peer(server)
        one.connect(f"{name}p{number}")
        for count in range(300):
            one.publish(f"{name}/{number}", str(count), qos=1)

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    seen = {}
    for _ in range(1200):
        found = receiver.message()
        seen.setdefault(found.topic, []).append(int(found.payload))
    for thread in threads:
        thread.join()
    assert seen == {f"{name}/{number}": list(range(300)) for number in range(4)}


def test_every_byte_value_survives(server, paho, name):
    receiver = paho(server, client_id=name + "r")
    receiver.subscribe(name, 1)
    paho(server, client_id=name + "s").publish(name, bytes(range(256)), 1)
    assert receiver.message().payload == bytes(range(256))


@pytest.mark.parametrize("version", [4, 5])
def test_repeated_qos_2_publish_is_delivered_once(server, peer, name, version):
    receiver = peer(server, version=version)
    receiver.connect(name + "r")
    receiver.subscribe(name, qos=2)
    sender = peer(server, version=version)
    sender.connect(name + "s")
    for dup in (False, True, True):  # [MQTT-4.3.3-10] the same identifier until PUBREL is the same message
        sender.send(wire.publish(name, b"once", 2, 7, dup=dup, version=version))
        assert sender.expect(wire.PUBREC).pid == 7
    sender.send(wire.ack(wire.PUBREL, 7))
    assert sender.expect(wire.PUBCOMP).pid == 7
    assert receiver.message().payload == b"once"
    sender.send(wire.publish(name, b"next", 2, 7, version=version))  # the identifier is free again
    assert sender.expect(wire.PUBREC).pid == 7
    sender.send(wire.ack(wire.PUBREL, 7))
    assert receiver.message().payload == b"next"
    receiver.nothing_for(0.2)


@pytest.mark.parametrize("version", [4, 5])
def test_pubrel_of_an_unknown_message_is_still_completed(server, peer, name, version):
    one = peer(server, version=version)
    one.connect(name)
    one.send(wire.ack(wire.PUBREL, 99))
    found = one.expect(wire.PUBCOMP)
    assert found.pid == 99
    assert found.reason in ((0, 0x92) if version == 5 else (0,))


def test_pubrec_of_an_unknown_message_is_answered_with_its_reason(server, peer, name):
    one = peer(server)
    one.connect(name)
    one.send(wire.ack(wire.PUBREC, 99))
    found = one.expect(wire.PUBREL)
    assert (found.pid, found.reason) == (99, 0x92)  # [MQTT5 4.3.3] packet identifier not found


def test_acknowledgements_come_in_the_order_of_the_publishes(server, peer, name):
    one = peer(server)
    one.connect(name)
    one.send(b"".join(wire.publish(name, b"x", 1, pid, version=5) for pid in range(1, 51)))
    assert [one.expect(wire.PUBACK).pid for _ in range(50)] == list(range(1, 51))  # [MQTT-4.6.0-2]


def test_publish_without_subscribers_is_acknowledged(server, peer, name):
    one = peer(server)
    one.connect(name)
    assert one.publish(name, b"x", qos=1) in (0, 0x10)  # 0x10: no matching subscribers
    assert one.publish(name, b"x", qos=2) in (0, 0x10)
