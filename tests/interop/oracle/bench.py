"""Runs scenarios against a server and writes down, line by line, what it answered.

What differs by chance (names, generated tags, times) is written the same each time, so that two servers that behave alike
leave the same lines.
"""

import datetime
import re
import time

from amqp_wire import Content, Ended, Silence, Wire, content, method_frame
from pika import spec

SCENARIOS = {}
CAME_BY_ITSELF = {"Basic.Deliver", "Basic.Return", "Basic.Ack", "Basic.Nack", "Basic.Cancel", "Connection.Blocked",
                  "Connection.Unblocked", "Channel.Flow"}


def scenario(function):
    """Registers a scenario under its own name; its docstring says what it is about."""
    assert function.__name__ not in SCENARIOS, function.__name__
    SCENARIOS[function.__name__] = function
    return function


def said(value):
    """A value of a field as text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {said(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(said(one) for one in value) + "]"
    if isinstance(value, datetime.datetime):
        return "TIME"
    if isinstance(value, bytes):
        return repr(value)[1:] if len(value) <= 80 else f"{len(value)} bytes"
    return repr(value)


def fields(thing):
    return " ".join(f"{key}={said(value)}" for key, value in sorted(vars(thing).items())
                    if value is not None and key not in ("ticket", "nowait"))


class Bench:
    """One run of one scenario."""

    def __init__(self, address, name):
        self.address, self.name, self.lines, self.connections = address, name, [], []
        self.declared = []  # what is to be deleted afterwards

    def note(self, text):
        text = text.replace(self.name, "NAME")
        text = re.sub(r"amq\.gen-[\w-]+", "amq.gen-*", text)
        text = re.sub(r"amq\.ctag-[\w-]+", "amq.ctag-*", text)
        text = re.sub(r"amq\.rabbitmq\.reply-to\.[\w.+/=-]+", "amq.rabbitmq.reply-to.*", text)
        self.lines.append(text)

    def __call__(self, suffix=""):
        """A name of this run."""
        return f"{self.name}-{suffix}" if suffix else self.name

    def connect(self, **options):
        one = Connection(self, f"c{len(self.connections) + 1}", **options)
        self.connections.append(one)
        return one

    def channel(self):
        """A channel of a new connection."""
        return self.connect().channel()

    def clean(self):
        for one in self.connections:
            one.wire.close()
        wire = Wire(self.address)
        wire.open()
        wire.send(method_frame(1, spec.Channel.Open()))
        wire.receive()
        deadline = time.monotonic() + 10
        for method in self.declared:  # exclusive ones may still be on their way out
            while time.monotonic() < deadline:
                wire.send(method_frame(1, method))
                _, found = wire.receive()
                if found.NAME != "Channel.Close":
                    break
                wire.send(method_frame(1, spec.Channel.CloseOk()), method_frame(1, spec.Channel.Open()))
                wire.receive()
        wire.close()


class Connection:
    def __init__(self, bench, label, raw=False, **options):
        self.bench, self.label, self.channels, self.waiting, self.over = bench, label, 0, [], False
        self.wire = Wire(bench.address)
        if not raw:
            self.wire.open(**options)

    def channel(self, number=None):
        self.channels += 1
        number = number or self.channels
        self.wire.send(method_frame(number, spec.Channel.Open()))
        channel, found = self.wire.receive()
        assert (channel, found.NAME) == (number, "Channel.OpenOk"), found
        return Channel(self, number)

    def note(self, channel, found):
        text = f"{self.label}.{channel}" if channel else self.label
        if isinstance(found, Content):
            body = said(found.body)
            text += f" {found.NAME} {fields(found.method)} | {fields(found.properties)} | {body}"
        elif found.NAME in ("Channel.Close", "Connection.Close"):
            text += f" {found.NAME} {found.reply_code} {found.reply_text} ({found.class_id},{found.method_id})"
        else:
            text += f" {found.NAME} {fields(found)}".rstrip()
        self.bench.note(text)

    def receive(self, timeout=None):
        """The next thing that came. An ended connection is something that came, too."""
        try:
            channel, found = self.wire.receive(timeout)
        except Ended:
            self.over = True
            return 0, None
        if found.NAME == "Channel.Close":
            self.wire.send(method_frame(channel, spec.Channel.CloseOk()))
        elif found.NAME == "Connection.Close":
            try:
                self.wire.send(method_frame(0, spec.Connection.CloseOk()))
            except Ended:
                pass
            self.over = True
        return channel, found

    def answer(self, timeout=None):
        """Waits for what is an answer, or an end, and notes it. What came by itself waits for `expect`."""
        while True:
            try:
                channel, found = self.receive(timeout)
            except Silence:
                self.bench.note(f"{self.label} SILENCE")
                return None
            if found is None:
                self.bench.note(f"{self.label} END")
                return None
            if found.NAME not in CAME_BY_ITSELF:
                self.note(channel, found)
                return found
            self.waiting.append((channel, found))

    def expect(self, count=1, timeout=10, sort=False):
        """Notes the next `count` things that come by themselves. `sort` where their order is chance."""
        found = self.collect(count, timeout)
        for channel, one in sorted(found, key=lambda pair: str(vars(pair[1]))) if sort else found:
            self.note(channel, one) if one else self.bench.note(f"{self.label} END")
        return [one for _, one in found]

    def collect(self, count, timeout=10):
        found = []
        while len(found) < count:
            if self.waiting:
                found.append(self.waiting.pop(0))
                continue
            try:
                found.append(self.receive(timeout))
            except Silence:
                self.bench.note(f"{self.label} SILENCE")
                break
            if found[-1][1] is None:
                break
        return found

    def quiet(self, seconds=0.15):
        """Notes what comes within a moment: nothing, it is hoped."""
        while True:
            try:
                channel, found = self.waiting.pop(0) if self.waiting else self.receive(seconds)
            except Silence:
                return
            if found is None:
                self.bench.note(f"{self.label} END")
                return
            self.note(channel, found)

    def send(self, *parts):
        self.wire.send(*parts)

    def call(self, method, channel=0):
        self.wire.send(method_frame(channel, method))
        return self.answer()

    def finish(self):
        """An orderly end: what was the connection's is gone when this returns."""
        self.wire.send(method_frame(0, spec.Connection.Close(200, "bye", 0, 0)))
        while True:
            try:
                _, found = self.wire.receive()
            except Ended:
                return
            if found.NAME == "Connection.CloseOk":
                return


class Channel:
    """Methods of one channel, each noting its answer."""

    def __init__(self, connection, number):
        self.connection, self.number, self.bench = connection, number, connection.bench

    def call(self, method):
        return self.connection.call(method, self.number)

    def send(self, method, *rest):
        self.connection.send(method_frame(self.number, method), *rest)

    def expect(self, count=1, **options):
        return self.connection.expect(count, **options)

    def quiet(self, seconds=0.15):
        self.connection.quiet(seconds)

    def failed(self):
        """The answer to something that has none unless it fails."""
        return self.connection.answer(1)

    def sync(self):
        """A round trip that leaves no trace when all is well."""
        self.send(spec.Basic.Qos(0, 0, False))
        while True:
            channel, found = self.connection.receive()
            if found is not None and found.NAME == "Basic.QosOk":
                return
            if found is None or found.NAME not in CAME_BY_ITSELF:
                self.connection.note(channel, found) if found else self.bench.note(f"{self.connection.label} END")
                return
            self.connection.waiting.append((channel, found))

    # -- queues and exchanges

    def declare(self, queue, arguments=None, **flags):
        if queue.startswith(self.bench.name) and not flags.get("passive"):
            self.bench.declared.append(spec.Queue.Delete(queue=queue))
        return self.call(spec.Queue.Declare(queue=queue, arguments=arguments, **flags))

    def exchange(self, name, kind="direct", arguments=None, **flags):
        if name.startswith(self.bench.name) and not flags.get("passive"):
            self.bench.declared.append(spec.Exchange.Delete(exchange=name))
        return self.call(spec.Exchange.Declare(exchange=name, type=kind, arguments=arguments, **flags))

    def bind(self, queue, exchange, key="", arguments=None):
        return self.call(spec.Queue.Bind(queue=queue, exchange=exchange, routing_key=key, arguments=arguments))

    def bind_exchange(self, destination, source, key="", arguments=None):
        return self.call(spec.Exchange.Bind(destination=destination, source=source, routing_key=key,
                                            arguments=arguments))

    def count(self, queue):
        """Messages and consumers, by a passive declaration."""
        return self.call(spec.Queue.Declare(queue=queue, passive=True))

    def until(self, queue, messages, seconds=10):
        """Waits until so many messages are ready, and notes how it ended."""
        deadline = time.monotonic() + seconds
        while True:
            self.send(spec.Queue.Declare(queue=queue, passive=True))
            while True:
                channel, found = self.connection.receive()
                if found.NAME not in CAME_BY_ITSELF:
                    break
                self.connection.waiting.append((channel, found))
            if found.NAME == "Queue.DeclareOk" and found.message_count != messages and time.monotonic() < deadline:
                time.sleep(0.02)
                continue
            self.connection.note(channel, found)
            return

    # -- messages

    def publish(self, exchange, key, body=b"", mandatory=False, immediate=False, **properties):
        self.send(spec.Basic.Publish(exchange=exchange, routing_key=key, mandatory=mandatory, immediate=immediate),
                  content(self.number, spec.BasicProperties(**properties), body))

    def get(self, queue, no_ack=False):
        return self.call(spec.Basic.Get(queue=queue, no_ack=no_ack))

    def take(self, queue, count=1):
        """Gets `count` messages, waiting for each of them."""
        for _ in range(count):
            deadline = time.monotonic() + 10
            while True:
                self.send(spec.Basic.Get(queue=queue, no_ack=True))
                while True:
                    channel, found = self.connection.receive()
                    if found is None or found.NAME not in CAME_BY_ITSELF:
                        break
                    self.connection.waiting.append((channel, found))
                if found is None or found.NAME != "Basic.GetEmpty" or time.monotonic() > deadline:
                    break
                time.sleep(0.02)
            if isinstance(found, Content):
                found.method.message_count = None  # others may be on their way
                found.method.delivery_tag = None
            self.connection.note(channel, found) if found else self.bench.note(f"{self.connection.label} END")

    def consume(self, queue, tag="tag", arguments=None, **flags):
        return self.call(spec.Basic.Consume(queue=queue, consumer_tag=tag, arguments=arguments, **flags))

    def cancel(self, tag):
        return self.call(spec.Basic.Cancel(consumer_tag=tag))

    def ack(self, tag, multiple=False):
        self.send(spec.Basic.Ack(tag, multiple))

    def nack(self, tag, multiple=False, requeue=True):
        self.send(spec.Basic.Nack(tag, multiple, requeue))

    def reject(self, tag, requeue=True):
        self.send(spec.Basic.Reject(tag, requeue))

    def qos(self, count, everyone=False, size=0):
        return self.call(spec.Basic.Qos(size, count, everyone))

    def confirms(self):
        return self.call(spec.Confirm.Select())

    def confirmed(self, count):
        """Notes which of the first `count` publications of the channel were taken and which refused, and in between what
        came back. How they are put together is chance."""
        verdicts, returned = {}, []
        while len(verdicts) < count:
            got = self.connection.collect(1)
            if not got or got[0][1] is None:
                break
            channel, found = got[0]
            if found.NAME in ("Basic.Ack", "Basic.Nack"):
                first = 1 if found.multiple else found.delivery_tag
                for number in range(first, found.delivery_tag + 1):
                    verdicts.setdefault(number, found.NAME)
            else:
                self.connection.note(channel, found)
        for kind in ("Basic.Ack", "Basic.Nack"):
            numbers = sorted(number for number, name in verdicts.items() if name == kind)
            if numbers:
                self.bench.note(f"{self.connection.label}.{self.number} {kind} {numbers}")

    def close(self):
        found = self.call(spec.Channel.Close(200, "bye", 0, 0))
        self.connection.waiting = [pair for pair in self.connection.waiting if pair[0] != self.number]
        return found
