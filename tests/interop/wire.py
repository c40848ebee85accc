"""MQTT as bytes: an encoder, a decoder and a blocking peer that does nothing on its own.

The client libraries hide what travels (they acknowledge, resend and renumber by themselves). Tests about packets, and
drills that must account for every acknowledgement, speak through this module instead. It is a test bench, not a client:
it sends whatever it is told, correct or not.

    peer = Peer(address, version=5)
    peer.connect("client-1")
    peer.subscribe("a/#", qos=1)
    message = peer.expect(PUBLISH)
"""

import select
import socket
import time
from dataclasses import dataclass, field

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 8, 9, 10, 11, 12, 13, 14, 15
NAMES = ["reserved", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK",
         "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"]

# [MQTT5 2.2.2.2] identifier -> (name, representation)
PROPERTIES = {
    0x01: ("payload_format_indicator", "u8"), 0x02: ("message_expiry_interval", "u32"), 0x03: ("content_type", "str"),
    0x08: ("response_topic", "str"), 0x09: ("correlation_data", "bin"), 0x0B: ("subscription_identifier", "var"),
    0x11: ("session_expiry_interval", "u32"), 0x12: ("assigned_client_identifier", "str"),
    0x13: ("server_keep_alive", "u16"), 0x15: ("authentication_method", "str"), 0x16: ("authentication_data", "bin"),
    0x17: ("request_problem_information", "u8"), 0x18: ("will_delay_interval", "u32"),
    0x19: ("request_response_information", "u8"), 0x1A: ("response_information", "str"), 0x1C: ("server_reference", "str"),
    0x1F: ("reason_string", "str"), 0x21: ("receive_maximum", "u16"), 0x22: ("topic_alias_maximum", "u16"),
    0x23: ("topic_alias", "u16"), 0x24: ("maximum_qos", "u8"), 0x25: ("retain_available", "u8"),
    0x26: ("user_property", "pair"), 0x27: ("maximum_packet_size", "u32"),
    0x28: ("wildcard_subscription_available", "u8"), 0x29: ("subscription_identifier_available", "u8"),
    0x2A: ("shared_subscription_available", "u8"),
}
IDENTIFIERS = {name: (number, kind) for number, (name, kind) in PROPERTIES.items()}
REPEATABLE = ("user_property", "subscription_identifier")


class Closed(Exception):
    """The server closed the connection."""


class Silence(Exception):
    """Nothing arrived within the time given."""


# --- encoding -------------------------------------------------------------------------------------------------------

def u16(number):
    return number.to_bytes(2, "big")


def u32(number):
    return number.to_bytes(4, "big")


def variable(number):
    out = bytearray()
    while True:
        number, digit = divmod(number, 128)
        out.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(out)


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return u16(len(data)) + data


def properties(values):
    """`{"user_property": [("a", "b")], "topic_alias": 1}` -> length and bytes, in the order given."""
    body = bytearray()
    for name, value in (values or {}).items():
        number, kind = IDENTIFIERS[name]
        for one in value if name in REPEATABLE and isinstance(value, list) else [value]:
            body.append(number)
            body += {"u8": lambda v: bytes([v]), "u16": u16, "u32": u32, "var": variable, "str": string, "bin": string,
                     "pair": lambda v: string(v[0]) + string(v[1])}[kind](one)
    return variable(len(body)) + bytes(body)


def packet(kind, flags=0, body=b""):
    return bytes([kind << 4 | flags]) + variable(len(body)) + body


@dataclass
class Will:
    topic: str
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    properties: dict = field(default_factory=dict)


def connect(client_id, version=4, clean=True, keep_alive=0, will=None, username=None, password=None, props=None):
    name = b"MQIsdp" if version == 3 else b"MQTT"
    flags = 0x02 if clean else 0
    tail = string(client_id)
    if will:
        flags |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
        tail += (properties(will.properties) if version == 5 else b"") + string(will.topic) + string(will.payload)
    if username is not None:
        flags |= 0x80
        tail += string(username)
    if password is not None:
        flags |= 0x40
        tail += string(password)
    head = string(name) + bytes([version, flags]) + u16(keep_alive)
    return packet(CONNECT, 0, head + (properties(props) if version == 5 else b"") + tail)


def publish(topic, payload=b"", qos=0, pid=None, retain=False, dup=False, version=4, props=None):
    head = string(topic) + (u16(pid) if pid is not None else b"") + (properties(props) if version == 5 else b"")
    return packet(PUBLISH, (8 if dup else 0) | qos << 1 | (1 if retain else 0), head + payload)


def ack(kind, pid):
    """PUBACK, PUBREC, PUBREL or PUBCOMP with success, which in every version may be two bytes long."""
    return packet(kind, 2 if kind == PUBREL else 0, u16(pid))


def subscribe(pid, filters, version=4, props=None):
    """filters: [(filter, options byte)]"""
    body = u16(pid) + (properties(props) if version == 5 else b"")
    return packet(SUBSCRIBE, 2, body + b"".join(string(name) + bytes([options]) for name, options in filters))


def unsubscribe(pid, filters, version=4):
    body = u16(pid) + (properties({}) if version == 5 else b"")
    return packet(UNSUBSCRIBE, 2, body + b"".join(string(name) for name in filters))


def disconnect(version=4, reason=0, props=None):
    if version < 5 or (reason == 0 and not props):
        return packet(DISCONNECT)
    return packet(DISCONNECT, 0, bytes([reason]) + properties(props))


# --- decoding -------------------------------------------------------------------------------------------------------

@dataclass
class Packet:
    kind: int
    flags: int
    size: int                     # bytes on the wire, fixed header included
    pid: int | None = None
    reason: int = 0
    reasons: list = field(default_factory=list)
    session_present: bool = False
    topic: str | None = None
    payload: bytes = b""
    props: dict = field(default_factory=dict)

    qos = property(lambda self: self.flags >> 1 & 3)
    dup = property(lambda self: bool(self.flags & 8))
    retain = property(lambda self: bool(self.flags & 1))

    def __str__(self):
        return f"{NAMES[self.kind]} reason=0x{self.reason:02x} pid={self.pid} topic={self.topic!r} {self.payload[:40]!r}"


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert self.at + count <= len(self.data), "the server sent a packet that ends too early"
        self.at += count
        return self.data[self.at - count:self.at]

    def left(self):
        return len(self.data) - self.at

    def number(self, width):
        return int.from_bytes(self.take(width), "big")

    def variable(self):
        value = shift = 0
        while True:
            digit = self.number(1)
            value |= (digit & 127) << shift
            shift += 7
            if digit < 128:
                return value

    def blob(self):
        return self.take(self.number(2))

    def text(self):
        return self.blob().decode()

    def properties(self):
        found = {}
        end = self.variable() + self.at
        while self.at < end:
            name, kind = PROPERTIES[self.number(1)]
            value = {"u8": lambda: self.number(1), "u16": lambda: self.number(2), "u32": lambda: self.number(4),
                     "var": self.variable, "str": self.text, "bin": self.blob,
                     "pair": lambda: (self.text(), self.text())}[kind]()
            if name in REPEATABLE:
                found.setdefault(name, []).append(value)
            else:
                assert name not in found, f"the server sent {name} twice"
                found[name] = value
        assert self.at == end, "the server sent properties longer than their length"
        return found


def decode(head, body, version):
    out = Packet(kind=head >> 4, flags=head & 15, size=1 + len(variable(len(body))) + len(body))
    read = Reader(body)
    if out.kind == CONNACK:
        out.session_present = bool(read.number(1) & 1)
        out.reason = read.number(1)
        if version == 5 and read.left():
            out.props = read.properties()
    elif out.kind == PUBLISH:
        out.topic = read.text()
        out.pid = read.number(2) if out.qos else None
        out.props = read.properties() if version == 5 else {}
        out.payload = read.take(read.left())
    elif out.kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
        out.pid = read.number(2)
        if version == 5 and read.left():
            out.reason = read.number(1)
            out.props = read.properties() if read.left() else {}
    elif out.kind in (SUBACK, UNSUBACK):
        out.pid = read.number(2)
        out.props = read.properties() if version == 5 else {}
        out.reasons = list(read.take(read.left()))
    elif out.kind in (DISCONNECT, AUTH) and read.left():
        out.reason = read.number(1)
        out.props = read.properties() if read.left() else {}
    assert not read.left(), f"{NAMES[out.kind]} carries {read.left()} bytes too many"
    return out


# --- a peer ---------------------------------------------------------------------------------------------------------

class Peer:
    """One TCP connection that speaks only when told to."""

    def __init__(self, address, version=4, timeout=10.0, receive_buffer=None):
        self.version, self.timeout, self.next_pid = version, timeout, 0
        self.buffer, self.start, self.inbox = bytearray(), 0, []
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Drops the connection without a DISCONNECT."""
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (ConnectionError, BrokenPipeError) as why:
            raise Closed(str(why)) from why

    def take(self):
        """The next complete packet in the buffer, or None."""
        data, at, length, shift = self.buffer, self.start + 1, 0, 0
        while True:
            if at >= len(data):
                return None
            digit = data[at]
            length |= (digit & 127) << shift
            shift, at = shift + 7, at + 1
            if digit < 128:
                break
            assert shift < 28, "the server sent a remaining length of more than four bytes"
        if len(data) < at + length:
            return None
        head, body = data[self.start], bytes(data[at:at + length])
        self.start = at + length
        if self.start > 65536 or self.start == len(data):
            del data[:self.start]
            self.start = 0
        return decode(head, body, self.version)

    def receive(self, timeout=None):
        """The next packet. Raises Silence after `timeout` seconds, Closed when the server hung up."""
        if self.inbox:
            return self.inbox.pop(0)
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            found = self.take()
            if found:
                return found
            left = deadline - time.monotonic()
            if left < 0 or not select.select([self.socket], [], [], left)[0]:
                raise Silence(f"nothing arrived on {self.socket.getsockname()}")
            try:
                data = self.socket.recv(262144)
            except ConnectionError as why:
                raise Closed(str(why)) from why
            if not data:
                raise Closed("end of stream")
            self.buffer += data

    def expect(self, kind, timeout=None):
        found = self.receive(timeout)
        assert found.kind == kind, f"expected {NAMES[kind]}, got {found}"
        return found

    def await_kind(self, kind, timeout=None):
        """The next packet of this kind; what comes before it stays in the inbox in order."""
        before = []
        try:
            while True:
                found = self.receive(timeout)
                if found.kind == kind:
                    return found
                before.append(found)
        finally:
            self.inbox = before + self.inbox

    def nothing_for(self, seconds=0.4):
        try:
            found = self.receive(seconds)
        except Silence:
            return
        raise AssertionError(f"nothing was due, got {found}")

    def until_closed(self, timeout=5.0):
        """Every packet until the server hangs up; fails when it does not."""
        got, deadline = [], time.monotonic() + timeout
        while True:
            try:
                got.append(self.receive(max(0.0, deadline - time.monotonic())))
            except Closed:
                return got
            except Silence:
                raise AssertionError(f"the server kept the connection open; it sent {[str(one) for one in got]}") from None

    def pid(self):
        self.next_pid = self.next_pid % 65535 + 1
        return self.next_pid

    # The usual exchanges, each waiting for its answer.

    def connect(self, client_id="", clean=True, expect_reason=0, **options):
        self.send(connect(client_id, self.version, clean, **options))
        found = self.expect(CONNACK)
        assert found.reason == expect_reason, str(found)
        return found

    def subscribe(self, *filters, qos=0, props=None, options=0):
        """Returns the reason codes. A filter is a name, or (name, options byte)."""
        pid = self.pid()
        pairs = [one if isinstance(one, tuple) else (one, qos | options) for one in filters]
        self.send(subscribe(pid, pairs, self.version, props))
        found = self.await_kind(SUBACK)
        assert found.pid == pid
        return found.reasons

    def unsubscribe(self, *filters):
        pid = self.pid()
        self.send(unsubscribe(pid, filters, self.version))
        found = self.await_kind(UNSUBACK)
        assert found.pid == pid
        return found.reasons

    def publish(self, topic, payload=b"", qos=0, retain=False, props=None):
        """Publishes and completes the handshake. Returns the reason code of PUBACK or PUBREC."""
        payload = payload.encode() if isinstance(payload, str) else payload
        pid = self.pid() if qos else None
        self.send(publish(topic, payload, qos, pid, retain, version=self.version, props=props))
        if qos == 0:
            return 0
        first = self.await_kind(PUBACK if qos == 1 else PUBREC)
        assert first.pid == pid
        if qos == 2 and first.reason < 0x80:
            self.send(ack(PUBREL, pid))
            assert self.await_kind(PUBCOMP).pid == pid
        return first.reason

    def message(self, timeout=None):
        """The next PUBLISH, acknowledged as its QoS asks."""
        found = self.expect(PUBLISH, timeout)
        if found.qos == 1:
            self.send(ack(PUBACK, found.pid))
        elif found.qos == 2:
            self.send(ack(PUBREC, found.pid))
            assert self.await_kind(PUBREL).pid == found.pid
            self.send(ack(PUBCOMP, found.pid))
        return found

    def ping(self):
        self.send(packet(PINGREQ))
        self.await_kind(PINGRESP)

    def disconnect(self, reason=0, props=None):
        """A DISCONNECT packet and then the end of the connection."""
        self.send(disconnect(self.version, reason, props))
        try:
            self.socket.shutdown(socket.SHUT_WR)
            while self.socket.recv(65536):
                pass
        except OSError:
            pass
        self.close()
