"""Wrong input as a table: what is sent, and what the server may answer.

A row is (sentence, version, when, bytes, answer):
- when: "first" = on a fresh connection; "after" = after CONNACK
- answer: the reason codes allowed in CONNACK (first) or DISCONNECT (after), or `CLOSE`.
  5.0, after CONNACK: the code is required here, although the specification only says SHOULD [MQTT5 4.13.1].
  First packet: the server may always close without a word [MQTT5 3.1.4] [MQTT-3.1.4-1], except where `MUST_SAY` is noted.
  3.1 and 3.1.1 know no DISCONNECT from the server: the connection closes [MQTT-4.8.0-1].
"""

import wire
from wire import packet, string, u16, variable

CLOSE = ()
MALFORMED, PROTOCOL_ERROR = 0x81, 0x82
WRONG = (MALFORMED, PROTOCOL_ERROR)


def connect_bytes(name=b"MQTT", level=5, flags=0x02, keep_alive=0, props=b"\x00", tail=string("bad-client")):
    return packet(wire.CONNECT, 0, string(name) + bytes([level, flags]) + u16(keep_alive) + props + tail)


def publish_bytes(flags, body):
    return packet(wire.PUBLISH, flags, body)


FIRST = [
    ("first packet is PUBLISH", 5, wire.publish("a", b"x", version=5), WRONG),  # [MQTT-3.1.0-1]
    ("first packet is PUBLISH in 3.1.1", 4, wire.publish("a", b"x"), CLOSE),
    ("first packet is SUBSCRIBE", 5, wire.subscribe(1, [("a", 0)], 5), WRONG),
    ("first packet is PINGREQ", 5, packet(wire.PINGREQ), WRONG),
    ("first packet is DISCONNECT", 5, packet(wire.DISCONNECT), WRONG),
    ("first packet is AUTH", 5, packet(wire.AUTH), WRONG),
    ("first packet is CONNACK", 5, packet(wire.CONNACK, 0, b"\x00\x00\x00"), WRONG),
    ("packet type 0", 5, packet(0), WRONG),
    ("a line of text", 5, b"HELO example.org\r\n", WRONG),
    ("unknown protocol name", 5, connect_bytes(name=b"MQXX"), (*WRONG, 0x84)),  # [MQTT-3.1.2-1]
    ("empty protocol name", 5, connect_bytes(name=b""), (*WRONG, 0x84)),
    ("level 5 under the name of 3.1", 5, connect_bytes(name=b"MQIsdp"), (*WRONG, 0x84, 1)),
    ("reserved flag of CONNECT", 5, connect_bytes(flags=0x03), WRONG),  # [MQTT-3.1.2-3]
    ("reserved flag of CONNECT in 3.1.1", 4, connect_bytes(level=4, flags=0x03, props=b""), CLOSE),
    ("bad fixed header flags of CONNECT", 5, b"\x11" + connect_bytes()[1:], WRONG),
    ("will QoS 3", 5, connect_bytes(flags=0x1E, tail=string("c") + b"\x00" + string("t") + string("p")), WRONG),
    ("will QoS without will", 5, connect_bytes(flags=0x0A), WRONG),  # [MQTT-3.1.2-11]
    ("will retain without will", 5, connect_bytes(flags=0x22), WRONG),  # [MQTT-3.1.2-13]
    ("will flag without will", 5, connect_bytes(flags=0x06), WRONG),
    ("user name flag without user name", 5, connect_bytes(flags=0x82), WRONG),
    ("password without user name in 3.1.1", 4,
     connect_bytes(level=4, flags=0x42, props=b"", tail=string("c") + string("p")), CLOSE),  # [MQTT-3.1.2-22]
    ("bytes after the payload of CONNECT", 5, connect_bytes(tail=string("c") + b"more"), WRONG),
    ("client id shorter than its length", 5, connect_bytes(tail=b"\x00\x09abc"), WRONG),
    ("client id of invalid UTF-8", 5, connect_bytes(tail=string(b"\xc3\x28")), (*WRONG, 0x85)),  # [MQTT-1.5.4-1]
    ("client id with U+0000", 5, connect_bytes(tail=string(b"a\x00b")), (*WRONG, 0x85)),  # [MQTT-1.5.4-2]
    ("client id with a surrogate", 5, connect_bytes(tail=string(b"\xed\xa0\x80")), (*WRONG, 0x85)),
    ("will topic with a wildcard", 5,
     connect_bytes(flags=0x06, tail=string("c") + b"\x00" + string("a/#") + string("p")), (*WRONG, 0x90)),
    ("unknown property of CONNECT", 5, connect_bytes(props=b"\x02\x7f\x00"), WRONG),
    ("property of another packet", 5, connect_bytes(props=b"\x03\x23\x00\x01"), WRONG),
    ("session expiry twice", 5, connect_bytes(props=b"\x0a" + b"\x11\x00\x00\x00\x01" * 2), WRONG),
    ("receive maximum of zero", 5, connect_bytes(props=b"\x03\x21\x00\x00"), WRONG),
    ("maximum packet size of zero", 5, connect_bytes(props=b"\x05\x27\x00\x00\x00\x00"), WRONG),
    ("request problem information of 2", 5, connect_bytes(props=b"\x02\x17\x02"), WRONG),
    ("authentication data without a method", 5, connect_bytes(props=b"\x04\x16\x00\x01x"), WRONG),
    ("properties longer than the packet", 5, connect_bytes(props=b"\x7f"), WRONG),
    ("property length of five bytes", 5, connect_bytes(props=b"\xff\xff\xff\xff\x01"), WRONG),
    ("remaining length of five bytes", 5, b"\x10\xff\xff\xff\xff\x01", WRONG),
    ("remaining length of 256 MB", 5, b"\x10\xff\xff\xff\x7f", (*WRONG, 0x95)),
    ("empty CONNECT", 5, packet(wire.CONNECT), WRONG),
]

# [MQTT-3.1.2-2] an unknown level has an answer of its own: version -> CONNACK reason codes, one of which MUST come.
LEVELS = [(0, (1, 0x84)), (1, (1, 0x84)), (2, (1, 0x84)), (6, (1, 0x84)), (9, (1, 0x84)), (0x7F, (1, 0x84)), (0xFF, (1, 0x84))]

AFTER = [
    ("second CONNECT", 5, wire.connect("again", 5), (PROTOCOL_ERROR,)),  # [MQTT-3.1.0-2]
    ("second CONNECT", 4, wire.connect("again", 4), CLOSE),
    ("CONNACK from a client", 5, packet(wire.CONNACK, 0, b"\x00\x00\x00"), WRONG),
    ("SUBACK from a client", 5, packet(wire.SUBACK, 0, b"\x00\x01\x00\x00"), WRONG),
    ("UNSUBACK from a client", 5, packet(wire.UNSUBACK, 0, b"\x00\x01\x00\x00"), WRONG),
    ("PINGRESP from a client", 5, packet(wire.PINGRESP), WRONG),
    ("packet type 0", 5, packet(0), WRONG),
    ("packet type 0", 4, packet(0), CLOSE),
    ("packet type 15 in 3.1.1", 4, packet(15), CLOSE),
    ("AUTH without a method", 5, packet(wire.AUTH), WRONG),
    ("QoS 3", 5, publish_bytes(6, string("a") + u16(1) + b"\x00"), WRONG),  # [MQTT-3.3.1-4]
    ("QoS 3", 4, publish_bytes(6, string("a") + u16(1)), CLOSE),
    ("DUP with QoS 0", 5, publish_bytes(8, string("a") + b"\x00"), WRONG),  # [MQTT-3.3.1-2]
    ("packet identifier 0", 5, publish_bytes(2, string("a") + u16(0) + b"\x00"), WRONG),  # [MQTT-2.2.1-3]
    ("packet identifier 0", 4, publish_bytes(2, string("a") + u16(0)), CLOSE),
    ("PUBLISH to a wildcard", 5, wire.publish("a/+", b"x", version=5), (*WRONG, 0x90)),  # [MQTT-3.3.2-2]
    ("PUBLISH to a wildcard", 4, wire.publish("a/#", b"x"), CLOSE),
    ("PUBLISH to no topic", 5, wire.publish("", b"x", version=5), WRONG),
    ("PUBLISH to no topic", 4, wire.publish("", b"x"), CLOSE),  # [MQTT-4.7.3-1]
    ("PUBLISH to invalid UTF-8", 5, wire.publish(b"a/\xff", b"x", version=5), (*WRONG, 0x90)),
    ("PUBLISH to invalid UTF-8", 4, wire.publish(b"a/\xc0\x80", b"x"), CLOSE),
    ("PUBLISH to U+0000", 4, wire.publish(b"a\x00b", b"x"), CLOSE),  # [MQTT-4.7.3-2]
    ("PUBLISH with topic alias 0", 5, wire.publish("a", b"x", version=5, props={"topic_alias": 0}), (0x94, *WRONG)),
    ("PUBLISH with a topic alias beyond the maximum", 5,
     wire.publish("a", b"x", version=5, props={"topic_alias": 65535}), (0x94,)),
    ("PUBLISH with an unknown topic alias", 5, wire.publish("", b"x", version=5, props={"topic_alias": 1}), (0x94, *WRONG)),
    ("PUBLISH with a subscription identifier", 5,
     wire.publish("a", b"x", version=5, props={"subscription_identifier": 1}), WRONG),  # [MQTT-3.3.4-6]
    ("PUBLISH with a wildcard as response topic", 5,
     wire.publish("a", b"x", version=5, props={"response_topic": "a/#"}), (*WRONG, 0x90)),  # [MQTT-3.3.2-14]
    ("PUBLISH with content type twice", 5,
     publish_bytes(0, string("a") + b"\x08\x03\x00\x01x\x03\x00\x01x"), WRONG),
    ("PUBLISH shorter than its topic", 5, publish_bytes(0, b"\x00\x09abc"), WRONG),
    ("empty PUBLISH", 5, packet(wire.PUBLISH), WRONG),
    ("empty PUBLISH", 4, packet(wire.PUBLISH), CLOSE),
    ("SUBSCRIBE without flags", 5, b"\x80" + wire.subscribe(1, [("a", 0)], 5)[1:], WRONG),  # [MQTT-3.8.1-1]
    ("SUBSCRIBE without flags", 4, b"\x80" + wire.subscribe(1, [("a", 0)])[1:], CLOSE),
    ("SUBSCRIBE without filters", 5, wire.subscribe(1, [], 5), WRONG),  # [MQTT-3.8.3-2]
    ("SUBSCRIBE without filters", 4, wire.subscribe(1, []), CLOSE),
    ("SUBSCRIBE with packet identifier 0", 5, wire.subscribe(0, [("a", 0)], 5), WRONG),
    ("SUBSCRIBE with QoS 3", 5, wire.subscribe(1, [("a", 3)], 5), WRONG),
    ("SUBSCRIBE with QoS 3", 4, wire.subscribe(1, [("a", 3)]), CLOSE),  # [MQTT-3.8.3-4]
    ("SUBSCRIBE with reserved options", 5, wire.subscribe(1, [("a", 0x40)], 5), WRONG),  # [MQTT-3.8.3-5]
    ("SUBSCRIBE with retain handling 3", 5, wire.subscribe(1, [("a", 0x30)], 5), WRONG),
    ("SUBSCRIBE with subscription identifier 0", 5,
     wire.subscribe(1, [("a", 0)], 5, {"subscription_identifier": 0}), WRONG),
    ("SUBSCRIBE to the middle of a level", 5, wire.subscribe(1, [("a/b#", 0)], 5), (*WRONG, 0x8F)),  # [MQTT-4.7.1-1]
    ("SUBSCRIBE to a hash before the end", 4, wire.subscribe(1, [("a/#/b", 0)]), CLOSE),
    ("SUBSCRIBE to a plus within a level", 4, wire.subscribe(1, [("a+/b", 0)]), CLOSE),  # [MQTT-4.7.1-2]
    ("SUBSCRIBE to an empty filter", 4, wire.subscribe(1, [("", 0)]), CLOSE),
    ("SUBSCRIBE to invalid UTF-8", 4, wire.subscribe(1, [(b"\xff", 0)]), CLOSE),
    ("UNSUBSCRIBE without flags", 5, b"\xa0" + wire.unsubscribe(1, ["a"], 5)[1:], WRONG),  # [MQTT-3.10.1-1]
    ("UNSUBSCRIBE without filters", 5, wire.unsubscribe(1, [], 5), WRONG),  # [MQTT-3.10.3-2]
    ("UNSUBSCRIBE without filters", 4, wire.unsubscribe(1, []), CLOSE),
    ("PUBREL without flags", 5, b"\x60" + wire.ack(wire.PUBREL, 1)[1:], WRONG),  # [MQTT-3.6.1-1]
    ("PUBREL without flags", 4, b"\x60" + wire.ack(wire.PUBREL, 1)[1:], CLOSE),
    ("PUBACK with packet identifier 0", 5, wire.ack(wire.PUBACK, 0), WRONG),
    ("PUBACK of one byte", 5, packet(wire.PUBACK, 0, b"\x01"), WRONG),
    ("PUBACK with flags", 5, packet(wire.PUBACK, 2, u16(1)), WRONG),
    ("PINGREQ with flags", 5, packet(wire.PINGREQ, 1), WRONG),
    ("PINGREQ with a body", 5, packet(wire.PINGREQ, 0, b"x"), WRONG),
    ("DISCONNECT with flags", 5, packet(wire.DISCONNECT, 1), WRONG),  # [MQTT-3.14.1-1]
    ("DISCONNECT with an unknown reason", 5, packet(wire.DISCONNECT, 0, b"\x7f\x00"), WRONG),
    ("remaining length of five bytes", 5, b"\x30\xff\xff\xff\xff\x01", WRONG),
    ("remaining length of five bytes", 4, b"\x30\xff\xff\xff\xff\x01", CLOSE),
    ("user property shorter than its length", 5, publish_bytes(0, string("a") + variable(5) + b"\x26\x00\x01k\x09"), WRONG),
]
