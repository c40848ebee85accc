"""What breaks the protocol: out of order, out of bounds, not understood. Each attempt on a connection of its own."""

import struct

from amqp_wire import BODY, HEADERS, HEADER, HEARTBEAT, METHOD, content, method_bytes, method_frame, raw_frame
from pika import spec

from .bench import scenario

PUBLISH = spec.Basic.Publish(exchange="", routing_key="nobody")


def broken(s, *parts, opened=True):
    """Sends the parts on a fresh connection with channel 1 open, and notes how that ends."""
    connection = s.connect()
    if opened:
        connection.channel()
    connection.send(*parts)
    connection.answer(1)
    if not connection.over:
        connection.answer(0.2)


@scenario
def frames_out_of_order(s):
    broken(s, content(1, body=b"x"))                                             # a header without a publish
    broken(s, raw_frame(BODY, 1, b"x"))                                          # a body without a header
    broken(s, method_frame(1, PUBLISH), raw_frame(BODY, 1, b"x"))                # a body where a header was to come
    broken(s, method_frame(1, PUBLISH), method_frame(1, spec.Channel.Close(200, "", 0, 0)))
    broken(s, method_frame(1, PUBLISH), content(1, body=b"", announced=5), method_frame(1, spec.Basic.Qos()))
    broken(s, method_frame(1, PUBLISH), content(1, announced=5), content(1, announced=5))
    broken(s, method_frame(1, PUBLISH), method_frame(1, PUBLISH))


@scenario
def bodies_of_another_length(s):
    broken(s, method_frame(1, PUBLISH), content(1, body=b"123456", announced=5))
    broken(s, method_frame(1, PUBLISH), content(1, body=b"1", announced=0))


@scenario
def headers_that_lie(s):
    plain = struct.pack(">HHQH", 60, 0, 0, 0)
    broken(s, method_frame(1, PUBLISH), raw_frame(HEADERS, 1, struct.pack(">HHQH", 50, 0, 0, 0)))   # another class
    broken(s, method_frame(1, PUBLISH), raw_frame(HEADERS, 1, plain[:8]))                           # cut short
    broken(s, method_frame(1, PUBLISH), raw_frame(HEADERS, 1, struct.pack(">HHQH", 60, 0, 0, 1 << 15)))  # no value


@scenario
def wrong_channels(s):
    broken(s, method_frame(2, spec.Basic.Qos()))
    broken(s, method_frame(1, spec.Channel.Open()))
    broken(s, content(7, body=b"x"))
    broken(s, method_frame(0, spec.Basic.Qos()))
    broken(s, method_frame(1, spec.Connection.Close(200, "", 0, 0)))
    broken(s, content(0, body=b"x"))
    broken(s, method_frame(0, spec.Channel.Open()))


@scenario
def unknown_methods(s):
    broken(s, raw_frame(METHOD, 1, method_bytes(60, 999)))
    broken(s, raw_frame(METHOD, 1, method_bytes(99, 10)))
    broken(s, raw_frame(METHOD, 0, method_bytes(10, 999)))
    broken(s, method_frame(1, spec.Basic.DeliverOk() if hasattr(spec.Basic, "DeliverOk") else spec.Basic.QosOk()))
    broken(s, method_frame(1, spec.Queue.DeclareOk("q", 0, 0)))
    broken(s, method_frame(1, spec.Channel.FlowOk(True)))
    broken(s, method_frame(0, spec.Connection.OpenOk()))
    broken(s, method_frame(0, spec.Connection.TuneOk(0, 0, 0)))


@scenario
def broken_frames(s):
    broken(s, raw_frame(METHOD, 1, method_bytes(20, 10), end=b"\x00"))
    broken(s, raw_frame(9, 1, b"what"))
    broken(s, raw_frame(HEARTBEAT, 1, b""))
    broken(s, raw_frame(HEARTBEAT, 0, b"busy"))
    broken(s, raw_frame(METHOD, 1, b"\x00"))
    broken(s, raw_frame(METHOD, 1, b"", length=0xFFFFFFFF))
    broken(s, raw_frame(BODY, 1, b"x" * 200_000))


@scenario
def broken_fields(s):
    def declare(table, name=b"\x01q"):
        return raw_frame(METHOD, 1, method_bytes(50, 10, b"\0\0" + name + b"\x10" + struct.pack(">I", len(table)) + table))

    broken(s, declare(b"\x03abcZ"))                                    # an unknown type
    broken(s, declare(b"\x03abcS\x00\x00\xff\xff"))                    # a text that is not there
    broken(s, raw_frame(METHOD, 1, method_bytes(50, 10, b"\0\0\x01q\x10\x00\x00\xff\xff")))   # a table that is not there
    broken(s, raw_frame(METHOD, 1, method_bytes(50, 10, b"\0\0\xffq")))                       # a name that is not there
    broken(s, raw_frame(METHOD, 1, method_bytes(50, 10)))                                     # nothing at all
    broken(s, raw_frame(METHOD, 1, method_bytes(20, 40, b"\x00\xc8\x00\x00\x00\x00\x00more")))  # more than it has
    broken(s, declare(b"", name=b"\x02\xff\xfe"))                      # no UTF-8


@scenario
def protocol_headers(s):
    for header in (b"AMQP\x00\x00\x09\x00", b"AMQP\x01\x01\x00\x0a", b"AMQP\x00\x01\x00\x00", b"HTTP/1.1", b"GET / HT"):
        connection = s.connect(raw=True)
        connection.send(header)
        try:
            found = connection.wire.frame()
            s.note(f"{header!r}: {found.marshal()!r}")
        except Exception as why:
            s.note(f"{header!r}: {type(why).__name__}")


@scenario
def what_the_server_says_first(s):
    connection = s.connect(raw=True)
    start = connection.wire.start()
    capabilities = start.server_properties["capabilities"]
    s.note(f"capabilities {said(capabilities)}")
    s.note(f"version {start.version_major}.{start.version_minor} locales {start.locales}")
    s.note(f"keys {sorted(start.server_properties)}")
    tune = connection.wire.login()
    s.note(f"tune {tune.channel_max} {tune.frame_max} {tune.heartbeat}")


def said(table):
    return {key: table[key] for key in sorted(table)}


def handshake(s, *steps, login=None):
    connection = s.connect(raw=True)
    connection.wire.start()
    if login is not None:
        found = connection.wire.login(**login)
        connection.note(0, found)
        if found.NAME == "Connection.Close":
            return
    for step in steps:
        connection.send(method_frame(0, step))
    while not connection.over:
        found = connection.answer()
        if found is None or found.NAME in ("Connection.Close", "Connection.OpenOk"):
            return


@scenario
def logins(s):
    for login in ({"password": "wrong"}, {"mechanism": "NONSENSE"}, {"user": "nobody"}):
        connection = s.connect(raw=True)
        connection.wire.start()
        try:
            connection.note(0, connection.wire.login(**login))
        except Exception as why:
            s.note(type(why).__name__)


@scenario
def vhosts_and_terms(s):
    ok = spec.Connection.TuneOk(2047, 131072, 0)
    handshake(s, ok, spec.Connection.Open("/no-such-vhost"), login={})
    handshake(s, ok, spec.Connection.Open("/"), login={})
    handshake(s, spec.Connection.TuneOk(5000, 131072, 0), spec.Connection.Open("/"), login={})
    handshake(s, spec.Connection.TuneOk(0, 131072, 0), spec.Connection.Open("/"), login={})
    handshake(s, spec.Connection.TuneOk(2047, 1_000_000, 0), spec.Connection.Open("/"), login={})
    handshake(s, spec.Connection.TuneOk(2047, 0, 0), spec.Connection.Open("/"), login={})
    handshake(s, spec.Connection.TuneOk(2047, 1000, 0), spec.Connection.Open("/"), login={})
    handshake(s, spec.Connection.Open("/"), login={})


@scenario
def channels_beyond_the_agreed(s):
    connection = s.connect(channel_max=2)
    connection.channel(1)
    connection.channel(2)
    connection.send(method_frame(3, spec.Channel.Open()))
    connection.answer()
    connection = s.connect(channel_max=2)
    connection.send(method_frame(40, spec.Channel.Open()))
    connection.answer()


@scenario
def frames_beyond_the_agreed(s):
    connection = s.connect(frame_max=4096)
    ch = connection.channel()
    ch.declare(s(), exclusive=True)
    ch.send(PUBLISH, content(1, body=b"x" * 9000, frame_max=4096))
    ch.sync()
    ch.send(spec.Basic.Publish(exchange="", routing_key=s()), content(1, body=b"x" * 9000, frame_max=4096))
    ch.take(s())
    ch.send(PUBLISH, content(1, body=b"x" * 5000))
    ch.failed()


@scenario
def silence_beyond_the_heartbeat(s):
    connection = s.connect(heartbeat=1)
    connection.channel()
    found = connection.answer(timeout=8)
    s.note(f"heartbeats came: {connection.wire.heartbeats > 0}, {found and found.NAME}")


@scenario
def a_closing_channel_takes_nothing_more(s):
    connection = s.connect()
    ch = connection.channel()
    ch.send(spec.Queue.Declare(queue=s("none"), passive=True), method_frame(1, spec.Queue.Declare(queue="", exclusive=True)),
            method_frame(1, PUBLISH), content(1, body=b"x"))
    connection.answer()
    other = connection.channel(2)
    other.sync()
    again = connection.channel(1)
    again.sync()


@scenario
def closing(s):
    connection = s.connect()
    ch = connection.channel()
    ch.close()
    again = connection.channel(1)
    again.sync()
    connection.call(spec.Connection.Close(200, "bye", 0, 0))
    connection.answer(5)
