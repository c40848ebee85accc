"""What no client library sends: each attempt ends its own connection with the code for it, and disturbs nobody else.

What RabbitMQ does with most of this is in `oracle/misbehaving.py`; here is what it has no bound for, or waits for in vain.
"""

import struct

import pytest
from amqp_wire import BODY, HEADERS, METHOD, Ended, Wire, content, method_bytes, method_frame, raw_frame
from pika import spec

pytestmark = pytest.mark.skipif("config.getoption('--server') != 'motet'", reason="Mosquitto speaks no AMQP")
PUBLISH = method_frame(1, spec.Basic.Publish(exchange="", routing_key="nobody"))


def opened(server, **options):
    wire = Wire(server.amqp)
    wire.open(**options)
    wire.send(method_frame(1, spec.Channel.Open()))
    assert wire.receive()[1].NAME == "Channel.OpenOk"
    return wire


@pytest.fixture
def bystander(server):
    """A consumer that must go on whatever the others do."""
    wire = opened(server)
    wire.send(method_frame(1, spec.Queue.Declare(exclusive=True)))
    queue = wire.receive()[1].queue
    wire.send(method_frame(1, spec.Basic.Consume(queue=queue, no_ack=True)))
    assert wire.receive()[1].NAME == "Basic.ConsumeOk"
    yield
    wire.send(method_frame(1, spec.Basic.Publish(exchange="", routing_key=queue)), content(1, body=b"still here"))
    assert wire.receive()[1].body == b"still here"
    wire.close()


def declare(table):
    return raw_frame(METHOD, 1, method_bytes(50, 10, b"\0\0\x01q\x10" + struct.pack(">I", len(table)) + table))


def nested(depth):
    table = b""
    for _ in range(depth):
        table = b"\x01aF" + struct.pack(">I", len(table)) + table
    return table


def arrays(depth):
    array = b""
    for _ in range(depth):
        array = b"A" + struct.pack(">I", len(array)) + array
    return b"\x01a" + array


CASES = {
    "tables in tables": (declare(nested(200)), 502),
    "arrays in arrays": (declare(arrays(200)), 502),
    "a table that claims more than its frame": (
        raw_frame(METHOD, 1, method_bytes(50, 10, b"\0\0\x01q\x10\xff\xff\xff\xff")), 501),
    "a text that claims more than its table": (declare(b"\x01aS\x7f\xff\xff\xff"), 502),
    "an array that claims more than its table": (declare(b"\x01aA\x00\x00\x01\x00"), 502),
    "a field of no known type": (declare(b"\x01aQ"), 502),
    "a body longer than announced": (PUBLISH + content(1, body=b"123456", announced=5), 501),
    "a body where none was announced": (PUBLISH + content(1, body=b"x", announced=0), 505),
    "another publication within a body": (PUBLISH + content(1, announced=9) + PUBLISH, 505),
    "a header with properties that are not there": (
        PUBLISH + raw_frame(HEADERS, 1, struct.pack(">HHQH", 60, 0, 0, 0x8000)), 501),
    "a header of another class": (PUBLISH + raw_frame(HEADERS, 1, struct.pack(">HHQH", 10, 0, 0, 0)), 505),
    "a frame larger than agreed": (raw_frame(BODY, 1, b"x" * 131_073), 501),
    "a frame that claims four gigabytes": (raw_frame(METHOD, 1, b"", length=0xFFFF_FFF0), 501),
    "a frame that ends otherwise": (raw_frame(METHOD, 1, method_bytes(20, 10), end=b"\x00"), 501),
    "a frame of no known kind": (raw_frame(5, 1, b"x"), 501),
    "a method of no known class": (raw_frame(METHOD, 1, method_bytes(77, 10)), 503),
    "an answer that only a server gives": (method_frame(1, spec.Queue.DeclareOk("q", 0, 0)), 503),
    "a channel that is not open": (method_frame(9, spec.Basic.Qos()), 504),
    "a channel that is open": (method_frame(1, spec.Channel.Open()), 504),
}


@pytest.mark.parametrize("what", CASES)
def test_is_refused_and_disturbs_nobody(server, bystander, what):
    sent, code = CASES[what]
    wire = opened(server)
    wire.send(sent)
    found = wire.receive()[1]
    assert (found.NAME, found.reply_code) == ("Connection.Close", code), found
    wire.send(method_frame(0, spec.Connection.CloseOk()))
    with pytest.raises(Ended):
        wire.receive()


def test_a_channel_beyond_the_agreed_number(server, bystander):
    wire = opened(server, channel_max=1)
    wire.send(method_frame(2, spec.Channel.Open()))
    assert wire.receive()[1].reply_code == 530


def test_a_body_that_never_comes_holds_up_its_channel_alone(server, bystander):
    wire = opened(server)
    wire.send(PUBLISH, content(1, announced=1000), method_frame(2, spec.Channel.Open()),
              method_frame(2, spec.Queue.Declare(exclusive=True)))
    assert [wire.receive()[1].NAME for _ in range(2)] == ["Channel.OpenOk", "Queue.DeclareOk"]
    wire.send(raw_frame(BODY, 1, b"x" * 400), raw_frame(BODY, 1, b"x" * 600), method_frame(1, spec.Basic.Qos()))
    assert wire.receive()[1].NAME == "Basic.QosOk"


def test_too_many_announced_bodies_end_the_connection(server, bystander):
    wire = opened(server)
    half = 64 << 20  # of what one message may have; a connection may have announced two of the largest
    for number in range(2, 8):
        wire.send(method_frame(number, spec.Channel.Open()))
        found = wire.receive()[1]
        if found.NAME != "Channel.OpenOk":
            break
        wire.send(method_frame(number, spec.Basic.Publish(routing_key="nobody")), content(number, announced=half))
    assert (found.NAME, found.reply_code, number) == ("Connection.Close", 506, 7), found


def test_a_message_that_is_announced_too_large_ends_its_channel(server, bystander):
    wire = opened(server)
    wire.send(PUBLISH, content(1, announced=1 << 40))
    assert wire.receive()[1].reply_code == 406


def test_a_frame_byte_by_byte_is_a_frame(server, bystander):
    wire = opened(server)
    for byte in method_frame(1, spec.Basic.Qos()):
        wire.send(bytes([byte]))
    assert wire.receive()[1].NAME == "Basic.QosOk"
