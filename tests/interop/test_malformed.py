"""Wrong input closes the connection that sent it, with the right reason, and disturbs nobody else."""

import pytest
import wire
from malformed import AFTER, CLOSE, FIRST, LEVELS
from wire import CONNACK, DISCONNECT


def ident(row):
    return f"{row[0]} (v{row[1]})".replace("/", "_")


@pytest.fixture
def bystander(server, peer, name):
    """Somebody who is served before, meanwhile and afterwards."""
    one = peer(server)
    one.connect(name + "bystander")
    one.subscribe(name + "bystander")
    yield one
    one.publish(name + "bystander", b"still served", qos=1)
    assert one.message().payload == b"still served"
    other = peer(server, version=4)
    other.connect(name + "newcomer")
    other.ping()


def show(said):
    return [str(one) for one in said]


@pytest.mark.parametrize("row", FIRST, ids=ident)
def test_wrong_first_packet(server, peer, bystander, row):
    _, version, data, codes = row
    one = peer(server, version=version)
    one.send(data)
    said = one.until_closed()
    assert len(said) <= 1 and all(found.kind in (CONNACK, DISCONNECT) for found in said), show(said)
    if codes == CLOSE:  # 3.1.1 has no words for this
        assert said == [], show(said)
    else:
        assert all(found.reason in codes for found in said), show(said)


@pytest.mark.parametrize("level, codes", LEVELS)
@pytest.mark.parametrize("protocol", [b"MQTT", b"MQIsdp"])
def test_unknown_level_is_told_so(server, peer, bystander, protocol, level, codes):
    one = peer(server, version=4)
    body = wire.string(protocol) + bytes([level, 2]) + wire.u16(0) + b"\x00" + wire.string("c")
    one.send(wire.packet(wire.CONNECT, 0, body))
    try:
        found = one.receive(5)
    except AssertionError:  # a CONNACK in the shape of 5.0 is longer
        found = None
    assert found is None or (found.kind, found.reason in codes) == (CONNACK, True), str(found)


@pytest.mark.parametrize("row", AFTER, ids=ident)
def test_wrong_packet_after_connack(server, peer, name, bystander, row):
    _, version, data, codes = row
    one = peer(server, version=version)
    one.connect(name)
    one.send(data)
    said = one.until_closed()
    if codes == CLOSE:
        assert said == [], show(said)
    else:
        assert [found.kind for found in said] == [DISCONNECT], show(said)
        assert said[0].reason in codes, show(said)


def test_truncated_packet_at_every_byte_harms_nobody(server, peer, name, bystander):
    whole = wire.connect(name, 5, props={"user_property": [("k", "v")]}, will=wire.Will(name + "/w", b"x", 1))
    for cut in range(1, len(whole)):
        one = peer(server)
        one.send(whole[:cut])
        one.close()


def test_flipped_bits_harm_nobody(server, peer, name, bystander):
    # No answer is expected: some of these are valid, some wait for more, most are wrong. [MQTT5 4.13]
    stream = wire.subscribe(1, [(name + "/x", 1)], 5, {"subscription_identifier": 3}) + wire.publish(
        name + "/x", b"payload", 1, 2, version=5, props={"content_type": "a", "user_property": [("k", "v")]})
    for bit in range(len(stream) * 8):
        broken = bytearray(stream)
        broken[bit // 8] ^= 1 << bit % 8
        one = peer(server)
        try:
            one.send(wire.connect("", 5) + bytes(broken))
            one.expect(CONNACK)
        except wire.Closed:
            pass
        one.close()
