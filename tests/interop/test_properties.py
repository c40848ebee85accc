"""What 5.0 added: properties that travel, limits that bind, options of subscriptions."""

import time

import pytest
import wire


@pytest.fixture
def sender(server, peer, name):
    one = peer(server)
    one.connect(name + "s")
    return one


@pytest.fixture
def receiver(server, peer, name):
    one = peer(server)
    one.connect(name + "r")
    one.subscribe(name + "/in", qos=2)
    return one


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_every_property_of_a_publish_arrives(sender, receiver, name, qos):
    props = {"payload_format_indicator": 1, "content_type": "application/json", "response_topic": name + "/answers",
             "correlation_data": bytes(range(256)),
             "user_property": [("z", "1"), ("a", "2"), ("z", "1"), ("", ""), ("größe", "東京")]}
    sender.publish(name + "/in", "{}", qos=qos, props=props)
    found = receiver.message()
    assert found.props == props  # user properties in their order, twins included [MQTT-3.3.2-18]


def test_paho_requests_and_gets_a_reply(server, paho, name):
    asker = paho(server, version=5, client_id=name + "a")
    asker.subscribe(name + "/reply", 1)
    helper = paho(server, version=5, client_id=name + "h")
    helper.subscribe(name + "/ask", 1)
    asker.publish(name + "/ask", b"2+2", 1, ResponseTopic=name + "/reply", CorrelationData=b"\x00\x07",
                  UserProperty=[("k", "1"), ("k", "2")])
    asked = helper.message()
    assert asked.properties.UserProperty == [("k", "1"), ("k", "2")]
    helper.publish(asked.properties.ResponseTopic, b"4", 1, CorrelationData=asked.properties.CorrelationData)
    answer = asker.message()
    assert (answer.payload, answer.properties.CorrelationData) == (b"4", b"\x00\x07")


def test_properties_do_not_disturb_older_clients(server, peer, sender, name):
    old = peer(server, version=4)
    old.connect(name + "old")
    old.subscribe(name + "/in", qos=1)
    sender.publish(name + "/in", b"body", qos=1, props={"content_type": "text/plain", "user_property": [("a", "b")]})
    assert old.message().payload == b"body"


def test_message_expiry_arrives_at_once_undiminished(sender, receiver, name):
    sender.publish(name + "/in", b"x", qos=1, props={"message_expiry_interval": 100})
    assert receiver.message().props["message_expiry_interval"] in (99, 100)


def test_topic_alias_of_the_client_is_resolved(server, peer, receiver, name):
    one = peer(server)
    allowed = one.connect(name).props.get("topic_alias_maximum", 0)
    if not allowed:
        pytest.skip("the server announces a topic alias maximum of 0")
    one.publish(name + "/in", b"1", props={"topic_alias": 1})
    one.publish("", b"2", props={"topic_alias": 1})
    one.publish("", b"3", qos=2, props={"topic_alias": 1})
    one.publish(name + "/other", b"4", props={"topic_alias": 1})  # [MQTT5 3.3.2.3.4] given anew
    one.publish("", b"5", props={"topic_alias": 1})
    one.publish(name + "/in", b"6", props={"topic_alias": allowed})
    found = [receiver.message() for _ in range(4)]
    assert [each.payload for each in found] == [b"1", b"2", b"3", b"6"]
    assert {each.topic for each in found} == {name + "/in"}
    assert all("topic_alias" not in each.props for each in found)  # [MQTT-3.1.2-26] this peer has announced none


def test_topic_aliases_to_the_client_stay_within_its_maximum(server, peer, sender, name):
    one = peer(server)
    one.connect(name, props={"topic_alias_maximum": 2})
    one.subscribe(name + "/#")
    known = {}
    for number in range(20):
        sender.publish(f"{name}/{number % 4}", str(number))
    for number in range(20):
        found = one.message()
        alias = found.props.get("topic_alias")
        assert alias is None or 1 <= alias <= 2
        if alias and found.topic:
            known[alias] = found.topic
        assert (found.topic or known[alias]) == f"{name}/{int(found.payload) % 4}"


@pytest.mark.parametrize("qos", [1, 2])
def test_receive_maximum_of_the_client_is_honoured(server, peer, sender, name, qos):
    one = peer(server)
    one.connect(name, props={"receive_maximum": 3})
    one.subscribe(name, qos=2)
    for number in range(10):
        sender.publish(name, str(number), qos=qos)
    open_now = [one.expect(wire.PUBLISH) for _ in range(3)]
    one.nothing_for(0.4)  # [MQTT-3.3.4-9]
    received = []
    while open_now:
        oldest = open_now.pop(0)
        received.append(int(oldest.payload))
        if qos == 1:
            one.send(wire.ack(wire.PUBACK, oldest.pid))
        else:
            one.send(wire.ack(wire.PUBREC, oldest.pid))
            assert one.expect(wire.PUBREL).pid == oldest.pid
            one.send(wire.ack(wire.PUBCOMP, oldest.pid))
        if len(received) + len(open_now) < 10:
            open_now.append(one.expect(wire.PUBLISH))
    assert received == list(range(10))


def test_receive_maximum_does_not_hold_back_qos_0(server, peer, sender, name):
    one = peer(server)
    one.connect(name, props={"receive_maximum": 1})
    one.subscribe(name + "/#", qos=1)
    sender.publish(name + "/1", b"one", qos=1)
    held = one.expect(wire.PUBLISH)
    sender.publish(name + "/1", b"two", qos=1)
    sender.publish(name + "/0", b"zero", qos=0)
    assert one.expect(wire.PUBLISH).payload == b"zero"
    one.send(wire.ack(wire.PUBACK, held.pid))
    assert one.message().payload == b"two"


def test_receive_maximum_of_the_server_may_be_used_to_the_full(server, peer, name):
    one = peer(server)
    limit = one.connect(name).props.get("receive_maximum", 65535)
    count = min(limit, 200)
    one.send(b"".join(wire.publish(name, b"x", 2, pid, version=5) for pid in range(1, count + 1)))
    assert [one.expect(wire.PUBREC).pid for _ in range(count)] == list(range(1, count + 1))
    one.send(b"".join(wire.ack(wire.PUBREL, pid) for pid in range(1, count + 1)))
    assert [one.expect(wire.PUBCOMP).pid for _ in range(count)] == list(range(1, count + 1))


def test_exceeding_the_servers_receive_maximum_is_an_error(server, peer, name):
    one = peer(server)
    limit = one.connect(name).props.get("receive_maximum", 65535)
    if limit > 5000:
        pytest.skip("the server's receive maximum is too large to exceed here")
    try:
        one.send(b"".join(wire.publish(name, b"x", 2, pid, version=5) for pid in range(1, limit + 2)))
    except wire.Closed:
        return
    last = one.until_closed()[-1]
    assert (last.kind, last.reason) == (wire.DISCONNECT, 0x93)  # [MQTT5 3.3.4]


def test_packets_larger_than_the_clients_maximum_are_not_sent(server, peer, sender, name):
    one = peer(server)
    one.connect(name, props={"maximum_packet_size": 200})
    one.subscribe(name, qos=1)
    sender.publish(name, b"x" * 500, qos=1)
    sender.publish(name, b"small", qos=1)
    found = one.message()  # [MQTT-3.1.2-24] [MQTT-3.1.2-25] as if the large one had been delivered
    assert found.payload == b"small" and found.size <= 200


def test_packets_larger_than_the_servers_maximum_are_refused(server, peer, name):
    one = peer(server)
    limit = one.connect(name).props.get("maximum_packet_size")
    if limit is None:
        pytest.skip("the server announces no maximum packet size")
    one.send(bytes([0x30]) + wire.variable(limit + 1))  # the length alone is enough to know
    said = one.until_closed()
    assert [(each.kind, each.reason) for each in said] == [(wire.DISCONNECT, 0x95)]


def test_subscription_identifiers_arrive_with_their_messages(server, peer, sender, name):
    one = peer(server)
    one.connect(name)
    one.subscribe(name + "/a", qos=1, props={"subscription_identifier": 1})
    one.subscribe(name + "/#", qos=1, props={"subscription_identifier": 268435455})
    one.subscribe(name + "/b", qos=1)
    sender.publish(name + "/b", b"x", qos=1)
    sender.publish(name + "/a", b"x", qos=1)
    found = {}
    try:
        while True:
            each = one.message(timeout=0.4)
            found.setdefault(each.topic, []).extend(each.props.get("subscription_identifier", []))
    except wire.Silence:
        pass
    assert {topic: sorted(ids) for topic, ids in found.items()} == {
        name + "/a": [1, 268435455], name + "/b": [268435455]}  # [MQTT-3.3.4-3] [MQTT-3.3.4-4]


def test_subscribing_again_changes_the_identifier(server, peer, sender, name):
    one = peer(server)
    one.connect(name)
    one.subscribe(name, props={"subscription_identifier": 5})
    one.subscribe(name, props={"subscription_identifier": 6})
    sender.publish(name, b"1")
    assert one.message().props == {"subscription_identifier": [6]}
    one.subscribe(name)
    sender.publish(name, b"2")
    assert one.message().props == {}


def test_retained_values_carry_the_subscription_identifier(server, peer, sender, name):
    sender.publish(name, b"x", qos=1, retain=True)
    one = peer(server)
    one.connect(name)
    one.subscribe(name, props={"subscription_identifier": 9})
    assert one.message().props == {"subscription_identifier": [9]}


def test_no_local_keeps_own_messages_away(server, peer, sender, name):
    one = peer(server)
    one.connect(name)
    one.subscribe((name, 0x04 | 1))
    one.publish(name, b"own", qos=1)
    sender.publish(name, b"other", qos=1)
    assert one.message().payload == b"other"  # [MQTT-3.8.3-3]
    one.nothing_for(0.2)


def test_clock_of_a_session_starts_at_its_disconnect(server, peer, name):
    one = peer(server)
    one.connect(name, clean=False, props={"session_expiry_interval": 2})
    time.sleep(2.5)
    one.disconnect()
    assert peer(server).connect(name, clean=False, props={"session_expiry_interval": 2}).session_present


def test_problem_information_is_left_out_on_request(server, peer, name):
    one = peer(server)
    one.connect(name, props={"request_problem_information": 0})
    pid = one.pid()
    one.send(wire.unsubscribe(pid, [name + "/never"], 5))
    assert one.expect(wire.UNSUBACK).props == {}  # [MQTT-3.1.2-29]
