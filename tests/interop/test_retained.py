"""Retained messages: set, replaced, cleared, found by wildcard, and the flags of 5.0 that steer them."""

import signal
import time

import pytest
from wire import Silence


def drain(one):
    """Every message until 0.4 s pass without one."""
    found = []
    try:
        while True:
            found.append(one.message(timeout=0.4))
    except Silence:
        return found


@pytest.fixture
def sender(server, peer, name):
    one = peer(server)
    one.connect(name + "s")
    return one


@pytest.fixture
def receiver(server, peer, name):
    one = peer(server)
    one.connect(name + "r")
    return one


@pytest.mark.parametrize("version", [3, 4, 5])
def test_new_subscriber_gets_the_last_value_with_the_flag_set(server, paho, name, version):
    sender = paho(server, version=version, client_id=name + "s")
    sender.publish(name, b"first", 1, retain=True)
    sender.publish(name, b"second", 1, retain=True)
    receiver = paho(server, version=version, client_id=name + "r")
    receiver.subscribe(name, 1)
    found = receiver.message()
    assert (found.payload, found.retain, found.qos) == (b"second", True, 1)
    receiver.nothing_for(0.3)


def test_live_copy_does_not_carry_the_flag(sender, receiver, name):
    receiver.subscribe(name)
    sender.publish(name, b"x", qos=1, retain=True)
    assert receiver.message().retain is False  # [MQTT-3.3.1-12]


def test_empty_payload_clears_the_value_and_is_delivered(server, peer, sender, receiver, name):
    sender.publish(name, b"x", qos=1, retain=True)
    receiver.subscribe(name)
    assert receiver.message().payload == b"x"
    sender.publish(name, b"", qos=1, retain=True)
    cleared = receiver.message()
    assert (cleared.payload, cleared.retain) == (b"", False)
    late = peer(server)
    late.connect(name + "late")
    late.subscribe(name)
    late.nothing_for()


def test_plain_publish_leaves_the_value_alone(sender, receiver, name):
    sender.publish(name, b"kept", qos=1, retain=True)
    sender.publish(name, b"passing", qos=1)
    receiver.subscribe(name)
    assert [found.payload for found in drain(receiver)] == [b"kept"]


def test_wildcards_find_every_value_below(sender, receiver, name):
    topics = [f"{name}/{room}/{thing}" for room in "abc" for thing in ("t", "h", "")]
    for topic in topics + [f"{name}/deep/er/still", f"${name}/x"]:
        sender.publish(topic, topic, qos=1, retain=True)
    receiver.subscribe(f"{name}/+/t")
    assert sorted(found.topic for found in drain(receiver)) == [f"{name}/{room}/t" for room in "abc"]
    receiver.subscribe(f"{name}/a/#")
    assert sorted(found.topic for found in drain(receiver)) == sorted(topic for topic in topics if f"{name}/a/" in topic)
    receiver.subscribe(f"{name}/#")
    assert len(drain(receiver)) == len(topics) + 1


def test_first_level_wildcards_do_not_find_dollar_values(sender, receiver, name):
    sender.publish(f"${name}/x", b"hidden", qos=1, retain=True)
    sender.publish(f"{name}/x", b"seen", qos=1, retain=True)
    receiver.subscribe("+/x")
    assert [found.payload for found in drain(receiver) if name in found.topic] == [b"seen"]


def test_three_hundred_values_arrive_at_one_subscriber(sender, receiver, name):
    for number in range(300):
        sender.publish(f"{name}/{number}", str(number), retain=True)
    sender.ping()
    receiver.subscribe(f"{name}/+", qos=1)
    assert {int(receiver.message().payload) for _ in range(300)} == set(range(300))


def test_qos_is_the_lower_of_stored_and_granted(sender, receiver, name):
    sender.publish(name, b"x", qos=2, retain=True)
    receiver.subscribe((name, 1))
    assert receiver.message().qos == 1


def test_subscribing_again_sends_the_value_again(sender, receiver, name):
    sender.publish(name, b"x", qos=1, retain=True)
    for _ in range(2):
        receiver.subscribe(name)
        assert receiver.message().payload == b"x"  # [MQTT-3.8.4-3]


def test_retained_value_keeps_its_properties(sender, receiver, name):
    props = {"content_type": "text/plain", "user_property": [("b", "1"), ("a", "2"), ("b", "1")],
             "response_topic": "answers", "correlation_data": b"\x00\xff", "payload_format_indicator": 1}
    sender.publish(name, b"x", qos=1, retain=True, props=props)
    receiver.subscribe(name)
    assert receiver.message().props == props


def test_retained_value_expires(sender, receiver, name):
    sender.publish(name, b"x", qos=1, retain=True, props={"message_expiry_interval": 1})
    sender.publish(name + "/long", b"y", qos=1, retain=True, props={"message_expiry_interval": 100})
    time.sleep(2.2)
    receiver.subscribe(name + "/#")
    found = drain(receiver)
    assert [one.payload for one in found] == [b"y"]
    assert 90 <= found[0].props["message_expiry_interval"] <= 98  # [MQTT-3.3.2-6] what is left


def test_retain_as_published_keeps_the_flag(sender, receiver, name):
    receiver.subscribe((name, 0x08))
    sender.publish(name, b"kept", qos=1, retain=True)
    sender.publish(name, b"plain", qos=1)
    assert [receiver.message().retain for _ in range(2)] == [True, False]  # [MQTT-3.3.1-13]


def test_retain_handling_1_sends_values_to_new_subscriptions_only(sender, receiver, name):
    sender.publish(name, b"x", qos=1, retain=True)
    receiver.subscribe((name, 0x10))
    assert receiver.message().payload == b"x"
    receiver.subscribe((name, 0x10))
    receiver.nothing_for()  # [MQTT-3.3.1-10]


def test_retain_handling_2_sends_no_values(sender, receiver, name):
    sender.publish(name, b"x", qos=1, retain=True)
    receiver.subscribe((name, 0x20))
    receiver.nothing_for()  # [MQTT-3.3.1-11]


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_retained_values_outlive_the_server(own_server, peer, name, how):
    one = peer(own_server)
    one.connect(name)
    for number in range(20):
        one.publish(f"{name}/{number}", str(number), qos=1, retain=True)
    one.publish(f"{name}/0", b"", qos=1, retain=True)
    time.sleep(0.05)
    own_server.restart(getattr(signal, how))
    one = peer(own_server)
    one.connect(name)
    one.subscribe(name + "/#", qos=1)
    assert sorted(int(found.payload) for found in drain(one)) == list(range(1, 20))
