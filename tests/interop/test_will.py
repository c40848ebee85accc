"""The will: published when a connection ends badly, and only then."""

import time

import pytest
import wire
from wire import Will


@pytest.fixture
def watcher(server, peer, name):
    one = peer(server)
    one.connect(name + "w")
    one.subscribe(name + "/will", qos=2)
    return one


def dying(server, peer, name, version=5, will=None, **options):
    one = peer(server, version=version)
    one.connect(name, will=will or Will(name + "/will", b"gone", 1), **options)
    return one


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_will_is_published_when_the_connection_breaks(server, peer, name, watcher, version, qos):
    dying(server, peer, name, version, Will(name + "/will", b"gone", qos)).close()
    found = watcher.message()
    assert (found.payload, found.qos, found.retain) == (b"gone", qos, False)
    watcher.nothing_for(0.3)


@pytest.mark.parametrize("version", [3, 4, 5])
def test_will_is_not_published_after_disconnect(server, peer, name, watcher, version):
    dying(server, peer, name, version).disconnect()
    watcher.nothing_for(0.6)  # [MQTT-3.14.4-3]


def test_will_is_published_after_disconnect_with_will(server, peer, name, watcher):
    dying(server, peer, name).disconnect(reason=0x04)
    assert watcher.message().payload == b"gone"


def test_will_is_published_when_keep_alive_expires(server, peer, name, watcher):
    dying(server, peer, name, keep_alive=1)
    assert watcher.message(timeout=10).payload == b"gone"


def test_will_is_published_after_a_protocol_error(server, peer, name, watcher):
    one = dying(server, peer, name)
    one.send(wire.connect(name, 5))
    one.until_closed()
    assert watcher.message().payload == b"gone"


def test_will_may_be_retained(server, peer, name, watcher):
    dying(server, peer, name, will=Will(name + "/will", b"gone", 1, retain=True)).close()
    assert watcher.message().retain is False
    late = peer(server)
    late.connect(name + "late")
    late.subscribe(name + "/will", qos=1)
    found = late.message()
    assert (found.payload, found.retain) == (b"gone", True)


def test_empty_retained_will_clears_the_value(server, peer, name, watcher):
    one = peer(server)
    one.connect(name + "s")
    one.publish(name + "/will", b"online", qos=1, retain=True)
    assert watcher.message().payload == b"online"
    dying(server, peer, name, will=Will(name + "/will", b"", 0, retain=True)).close()
    assert watcher.message().payload == b""
    one.subscribe(name + "/will")
    one.nothing_for()


def test_will_keeps_its_properties(server, peer, name, watcher):
    props = {"payload_format_indicator": 1, "content_type": "text/plain", "response_topic": "r",
             "correlation_data": b"\x01", "user_property": [("k", "1"), ("k", "2")]}
    dying(server, peer, name, will=Will(name + "/will", b"gone", 1, properties=props)).close()
    assert watcher.message().props == props


def test_will_waits_for_its_delay(server, peer, name, watcher):
    will = Will(name + "/will", b"gone", 1, properties={"will_delay_interval": 2})
    dying(server, peer, name, will=will, props={"session_expiry_interval": 60}).close()
    watcher.nothing_for(1.2)
    assert watcher.message(timeout=5).payload == b"gone"


def test_will_is_dropped_when_the_session_returns_within_the_delay(server, peer, name, watcher):
    will = Will(name + "/will", b"gone", 1, properties={"will_delay_interval": 1})
    dying(server, peer, name, will=will, props={"session_expiry_interval": 60}).close()
    time.sleep(0.2)
    peer(server).connect(name, clean=False, props={"session_expiry_interval": 60})
    watcher.nothing_for(2.2)  # [MQTT-3.1.3-9]


def test_will_is_published_when_the_session_ends_before_the_delay(server, peer, name, watcher):
    will = Will(name + "/will", b"gone", 1, properties={"will_delay_interval": 60})
    dying(server, peer, name, will=will, props={"session_expiry_interval": 1}).close()
    assert watcher.message(timeout=6).payload == b"gone"


@pytest.mark.parametrize("version", [4, 5])
def test_will_is_published_when_another_connection_takes_over(server, peer, name, watcher, version):
    dying(server, peer, name, version)
    peer(server, version=version).connect(name)
    assert watcher.message().payload == b"gone"


def test_will_belongs_to_one_connection(server, peer, name, watcher):
    dying(server, peer, name, props={"session_expiry_interval": 60}).disconnect()
    one = peer(server)
    one.connect(name, clean=False, props={"session_expiry_interval": 60})
    one.close()
    watcher.nothing_for(0.6)
