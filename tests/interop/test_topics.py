"""Which filter matches which topic, and how subscriptions live together."""

import pytest
import wire
from wire import UNSUBACK

# filter, topic, matches: a prefix that no other test uses is put before both, except before `#`, `+` and `$`.
MATCHES = [
    ("a/b", "a/b", True),
    ("a/b", "a/b/", False),
    ("a/b", "A/b", False),
    ("a/+", "a/b", True),
    ("a/+", "a/b/c", False),
    ("a/+", "a", False),
    ("a/+", "a/", True),
    ("a/#", "a", True),
    ("a/#", "a/", True),
    ("a/#", "a/b/c/d", True),
    ("a/#", "ab", False),
    ("a/+/c", "a/b/c", True),
    ("a/+/c", "a//c", True),
    ("a//b", "a//b", True),
    ("a//b", "a/b", False),
    ("a/b", "a//b", False),
    ("a/+/+/b", "a///b", True),
    ("a/", "a/", True),
    ("a/", "a", False),
    ("a", "a/", False),
    ("+/+", "a/b", True),
    ("+/+/#", "a/b", True),
    ("a/+/#", "a", False),
    ("a b/c.d", "a b/c.d", True),
    ("größe/+", "größe/東京", True),
    ("a/$b/+", "a/$b/c", True),
    ("*/a", "b/a", False),
    ("a/*", "a/*", True),
    ("a.*", "a.b", False),
]


@pytest.mark.parametrize("pattern, topic, matches", MATCHES)
def test_filter_matches(server, peer, name, pattern, topic, matches):
    one = peer(server)
    one.connect(name)
    assert one.subscribe(f"{name}/{pattern}") == [0]
    one.publish(f"{name}/{topic}", b"it")
    one.publish(f"{name}/{topic}", b"end")
    one.ping()
    found = [one.message().topic for _ in range(len(one.inbox))]
    assert found == ([f"{name}/{topic}"] * 2 if matches else [])


def test_leading_slash_is_a_level_of_its_own(server, peer, name):
    one = peer(server)
    one.connect(name)
    one.subscribe("/" + name, "+/" + name, name)
    one.publish("/" + name, b"slash")
    one.publish(name, b"plain")
    one.ping()
    assert {(found.topic, found.payload) for found in one.inbox} == {("/" + name, b"slash"), (name, b"plain")}


def test_wildcards_at_the_first_level_do_not_see_dollar_topics(server, peer, name):
    # [MQTT-4.7.2-1]
    one = peer(server)
    one.connect(name)
    one.subscribe("#", f"+/{name}")
    one.publish(f"${name}/{name}", b"hidden")
    one.publish(f"{name}/{name}", b"seen")
    one.ping()
    mine = [found.payload for found in one.inbox if name in found.topic]
    assert mine and set(mine) == {b"seen"}


def test_dollar_topics_are_seen_by_name(server, peer, name):
    one = peer(server)
    one.connect(name)
    one.subscribe(f"${name}/#")
    one.publish(f"${name}/a", b"by name")
    assert one.message().payload == b"by name"


def test_everything_is_seen_by_hash(server, peer, name):
    one = peer(server)
    one.connect(name)
    one.subscribe("#")
    one.publish(f"{name}/a/b", b"x")
    one.ping()
    assert [found.payload for found in one.inbox if found.topic == f"{name}/a/b"] == [b"x"]


def test_overlapping_subscriptions_deliver_the_highest_qos(server, peer, name):
    # [MQTT-3.3.4-2] a server may send one copy, of the highest QoS, or one for each subscription
    one = peer(server)
    one.connect(name)
    one.subscribe((f"{name}/a", 0), (f"{name}/+", 2), (f"{name}/#", 1))
    other = peer(server)
    other.connect(name + "p")
    other.publish(f"{name}/a", b"x", qos=2)
    copies = [one.message()]
    try:
        while True:
            copies.append(one.message(timeout=0.4))
    except wire.Silence:
        pass
    assert max(found.qos for found in copies) == 2
    assert len(copies) in (1, 3)


def test_second_subscription_with_the_same_filter_replaces_the_first(server, peer, name):
    # [MQTT-3.8.4-3]
    one = peer(server)
    one.connect(name)
    assert one.subscribe((name, 2)) == [2]
    assert one.subscribe((name, 0)) == [0]
    one.publish(name, b"x", qos=2)
    assert one.message().qos == 0
    one.nothing_for(0.3)


def test_many_filters_in_one_packet_are_answered_in_order(server, peer, name):
    one = peer(server)
    one.connect(name)
    assert one.subscribe(*[(f"{name}/{number}", number % 3) for number in range(200)]) == [n % 3 for n in range(200)]
    one.publish(f"{name}/199", b"x", qos=2)
    assert one.message().qos == 199 % 3


@pytest.mark.parametrize("version", [4, 5])
def test_subscription_is_in_force_when_suback_arrives(server, peer, name, version):
    sender = peer(server, version=version)
    sender.connect(name + "s")
    one = peer(server, version=version)
    one.connect(name)
    for number in range(50):
        one.subscribe(f"{name}/{number}")
        sender.publish(f"{name}/{number}", b"x")
        assert one.message().topic == f"{name}/{number}"


@pytest.mark.parametrize("version", [4, 5])
def test_unsubscribe_ends_delivery(server, peer, name, version):
    one = peer(server, version=version)
    one.connect(name)
    one.subscribe(name + "/a", name + "/b")
    one.unsubscribe(name + "/a")
    one.publish(name + "/a", b"no")
    one.publish(name + "/b", b"yes")
    assert one.message().payload == b"yes"


def test_unsubscribe_tells_for_each_filter_whether_it_existed(server, peer, name):
    one = peer(server)
    one.connect(name)
    one.subscribe(name + "/a", name + "/b")
    assert one.unsubscribe(name + "/a", name + "/never", name + "/b") == [0, 0x11, 0]
    assert one.unsubscribe(name + "/+") == [0x11]  # [MQTT-3.10.4-1] compared byte by byte, not matched


def test_unsubscribe_of_an_unknown_filter_is_answered_in_3_1_1(server, peer, name):
    one = peer(server, version=4)
    one.connect(name)
    one.send(wire.unsubscribe(9, [name], 4))
    assert one.expect(UNSUBACK).pid == 9  # [MQTT-3.10.4-5]


def test_deep_and_long_topics_travel(server, peer, name):
    one = peer(server)
    one.connect(name)
    one.subscribe(name + "/#")
    for topic in (name + "/a" * 100, name + "/" + "x" * 20_000):
        one.publish(topic, b"x")
        assert one.message().topic == topic
