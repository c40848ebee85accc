"""Connecting: the three versions, the kinds of session, the keep-alive, and what CONNACK says."""

import time

import pytest
import wire
from wire import CONNACK, Peer, packet

VERSIONS = [3, 4, 5]


@pytest.mark.parametrize("version", VERSIONS)
def test_paho_connects_with_a_clean_session(server, paho, name, version):
    client = paho(server, version=version, client_id=name, clean=True)
    assert not client.flags.session_present


@pytest.mark.parametrize("version", VERSIONS)
def test_paho_connects_with_a_user_name_while_anonymous_peers_are_allowed(server, paho, name, version):
    paho(server, version=version, client_id=name, username="sensor")


@pytest.mark.parametrize("version", [4, 5])
def test_session_present_tells_whether_a_session_was_kept(server, peer, name, version):
    def present(clean):
        one = peer(server, version=version)
        props = {"session_expiry_interval": 60} if version == 5 else None
        found = one.connect(name, clean=clean, props=props).session_present
        one.disconnect()
        return found

    assert present(clean=False) is False
    assert present(clean=False) is True
    assert present(clean=True) is False  # [MQTT-3.1.2-4] [MQTT-3.2.2-2]


def test_clean_session_of_3_1_1_leaves_nothing_behind(server, peer, name):
    one = peer(server, version=4)
    one.connect(name, clean=True)
    one.disconnect()
    assert peer(server, version=4).connect(name, clean=False).session_present is False


def test_zero_expiry_of_5_leaves_nothing_behind(server, peer, name):
    one = peer(server)
    one.connect(name, clean=False)
    one.disconnect()
    assert peer(server).connect(name, clean=False).session_present is False


def test_empty_client_id_is_given_a_name_in_5(server, peer):
    names = {peer(server).connect("").props.get("assigned_client_identifier") for _ in range(3)}
    assert len(names) == 3 and all(names)  # [MQTT-3.1.3-7]


def test_assigned_name_can_be_used_to_resume(server, peer):
    one = peer(server)
    given = one.connect("", clean=False, props={"session_expiry_interval": 60}).props["assigned_client_identifier"]
    one.disconnect()
    assert peer(server).connect(given, clean=False, props={"session_expiry_interval": 60}).session_present


def test_empty_client_id_with_a_clean_session_is_accepted_in_3_1_1(server, peer):
    peer(server, version=4).connect("", clean=True)


def test_empty_client_id_with_a_kept_session_is_refused_in_3_1_1(server, peer):
    one = peer(server, version=4)
    one.connect("", clean=False, expect_reason=2)  # [MQTT-3.1.3-8]
    assert one.until_closed() == []


@pytest.mark.parametrize("version", VERSIONS)
def test_long_and_unicode_client_ids_are_accepted(server, peer, name, version):
    peer(server, version=version).connect(name + "-größe-東京-😀" if version > 3 else name[:23])


def test_3_1_announces_itself_by_its_old_name(server, peer, name):
    one = peer(server, version=3)
    assert one.connect(name).reason == 0
    one.ping()


def test_ping_is_answered(server, peer, name):
    one = peer(server)
    one.connect(name, keep_alive=30)
    for _ in range(3):
        one.ping()


@pytest.mark.parametrize("version", VERSIONS)
def test_silent_peer_is_closed_after_one_and_a_half_keep_alives(server, peer, name, version):
    one = peer(server, version=version)
    one.connect(name, keep_alive=2)
    begun = time.monotonic()
    sent = one.until_closed(timeout=12)  # [MQTT-3.1.2-24] 3 s; a server may look at its clocks now and then
    assert 2.5 < time.monotonic() - begun
    assert version == 5 or sent == []
    assert all(found.kind == wire.DISCONNECT and found.reason == 0x8D for found in sent)


def test_packets_of_any_kind_keep_the_connection_alive(server, peer, name):
    one = peer(server)
    one.connect(name, keep_alive=1)
    for _ in range(6):
        time.sleep(0.5)
        one.publish(name, b"still here")
    one.ping()


def test_zero_keep_alive_means_no_limit(server, peer, name):
    one = peer(server)
    one.connect(name, keep_alive=0)
    time.sleep(2.5)
    one.ping()


@pytest.mark.parametrize("first", [b"\x50", b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 1883\r\n", b"\x30\xc8\x01"])
def test_what_cannot_become_a_connect_is_closed_at_once(server, peer, first):
    if server.name != "motet":
        pytest.skip("others wait for the rest of the packet")
    one = peer(server)
    one.send(first)
    assert one.until_closed(timeout=5) == []


@pytest.mark.timeout(40)
def test_peer_that_never_sends_a_byte_is_closed(server, peer):
    # The server's own bound (default 10 s), not the specification's: "a reasonable time" [MQTT5 4.1].
    begun = time.monotonic()
    peer(server).until_closed(timeout=15)
    assert time.monotonic() - begun > 1


@pytest.mark.timeout(40)
def test_peer_that_stops_within_its_first_packet_is_closed(server, peer, name):
    one = peer(server)
    one.send(wire.connect(name, 5)[:9])
    one.until_closed(timeout=25)


def test_connect_may_arrive_byte_by_byte(server, peer, name):
    one = peer(server)
    for byte in wire.connect(name, 5):
        one.send(bytes([byte]))
        time.sleep(0.002)
    assert one.expect(CONNACK).reason == 0


def test_packets_sent_before_connack_are_served_after_it(server, peer, name):
    # [MQTT5 3.1.4] clients may send at once
    one = peer(server)
    one.send(wire.connect(name, 5) + wire.subscribe(1, [(name, 1)], 5) + wire.publish(name, b"early", version=5))
    assert one.expect(CONNACK).reason == 0
    assert one.expect(wire.SUBACK).reasons == [1]
    assert one.message().payload == b"early"


def test_limits_announced_in_connack_are_sane(server, peer, name):
    found = peer(server).connect(name).props
    assert found.get("receive_maximum", 65535) > 0
    assert found.get("retain_available", 1) == 1
    assert found.get("wildcard_subscription_available", 1) == 1
    assert found.get("subscription_identifier_available", 1) == 1
    assert "maximum_qos" not in found, "QoS 2 is spoken here"


def test_server_keeps_serving_after_a_thousand_connections(server, name):
    for number in range(1000):
        with Peer(server.mqtt, 4) as one:
            one.send(wire.connect(f"{name}{number % 7}", 4))
            one.expect(CONNACK)
            one.send(packet(wire.DISCONNECT))
