"""AMQP 0-9-1 frame by frame, with nothing between the test and the server but pika's tables of fields."""

import socket
import struct
import time

from pika import frame as frames
from pika import spec

HEADER = b"AMQP\x00\x00\x09\x01"
METHOD, HEADERS, BODY, HEARTBEAT = 1, 2, 3, 8


class Silence(Exception):
    """Nothing came in time."""


class Ended(Exception):
    """The server has closed the connection."""


def raw_frame(kind, channel, payload, end=b"\xce", length=None):
    """A frame that may be wrong in any part of it."""
    return struct.pack(">BHI", kind, channel, len(payload) if length is None else length) + payload + end


def method_bytes(class_id, method_id, payload=b""):
    return struct.pack(">HH", class_id, method_id) + payload


def method_frame(channel, method):
    return frames.Method(channel, method).marshal()


def content(channel, properties=None, body=b"", announced=None, frame_max=131_072):
    """Header and bodies of a message; `announced` is what the header says, if it lies."""
    size = len(body) if announced is None else announced
    found = frames.Header(channel, size, properties or spec.BasicProperties()).marshal()
    step = frame_max - 8
    return found + b"".join(frames.Body(channel, body[at:at + step]).marshal() for at in range(0, len(body), step))


class Content:
    """A method that brings a message: deliver, get-ok, return."""

    def __init__(self, method, properties, body):
        self.method, self.properties, self.body = method, properties, body
        self.NAME = method.NAME


class Wire:
    """A socket that takes and gives frames; messages come whole."""

    def __init__(self, address, timeout=10):
        self.socket = socket.create_connection(address, timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.timeout = b"", timeout
        self.parts = {}   # channel -> [method, properties, bytes missing, body], what has begun to arrive
        self.heartbeats = 0

    def send(self, *parts):
        try:
            self.socket.sendall(b"".join(parts))
        except OSError as why:
            raise Ended(str(why)) from None

    def frame(self, timeout=None):
        """The next frame as pika decodes it."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            used, found = frames.decode_frame(self.buffer) if self.buffer else (0, None)
            if found is not None:
                self.buffer = self.buffer[used:]
                return found
            self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                more = self.socket.recv(1 << 20)
            except TimeoutError:
                raise Silence from None
            except OSError as why:
                raise Ended(str(why)) from None
            if not more:
                raise Ended("end of stream")
            self.buffer += more

    def receive(self, timeout=None):
        """(channel, method or Content); heartbeats are counted only."""
        while True:
            found = self.frame(timeout)
            channel = getattr(found, "channel_number", 0)
            if isinstance(found, frames.Heartbeat):
                self.heartbeats += 1
            elif isinstance(found, frames.Method):
                if not found.method.NAME in ("Basic.Deliver", "Basic.GetOk", "Basic.Return"):
                    return channel, found.method
                self.parts[channel] = [found.method, None, 0, b""]
            elif isinstance(found, frames.Header):
                part = self.parts[channel]
                part[1], part[2] = found.properties, found.body_size
            elif isinstance(found, frames.Body):
                part = self.parts[channel]
                part[3] += found.fragment
                part[2] -= len(found.fragment)
            else:
                return 0, found
            part = self.parts.get(channel)
            if part and part[1] is not None and part[2] == 0:
                del self.parts[channel]
                return channel, Content(part[0], part[1], part[3])

    def start(self, timeout=None):
        """Sends the header; returns connection.start."""
        self.send(HEADER)
        return self.receive(timeout)[1]

    def login(self, user="guest", password="guest", capabilities=None, mechanism="PLAIN", response=None):
        known = {"consumer_cancel_notify": True, "basic.nack": True, "publisher_confirms": True,
                 "connection.blocked": True, "authentication_failure_close": True}
        properties = {"product": "wire", "capabilities": known if capabilities is None else capabilities}
        if response is None:
            response = f"\0{user}\0{password}"
        self.send(method_frame(0, spec.Connection.StartOk(properties, mechanism, response, "en_US")))
        return self.receive()[1]

    def open(self, vhost="/", heartbeat=0, channel_max=None, frame_max=None, **login):
        """A whole handshake; returns the server's tune."""
        self.start()
        tune = self.login(**login)
        assert tune.NAME == "Connection.Tune", tune
        self.send(method_frame(0, spec.Connection.TuneOk(
            tune.channel_max if channel_max is None else channel_max,
            tune.frame_max if frame_max is None else frame_max, heartbeat)),
            method_frame(0, spec.Connection.Open(vhost)))
        assert self.receive()[1].NAME == "Connection.OpenOk"
        return tune

    def close(self):
        self.socket.close()
