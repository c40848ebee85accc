"""Publishers and subscribers that account for every acknowledgement while the server dies under them.

Each keeps its half of an MQTT session in memory, as a device that survives its broker would: it reconnects, resends what
was not acknowledged, in order, and goes on. What the server owes them afterwards is in `Ledger.verdict`.
"""

import random
import threading
import time
from collections import Counter

import wire
from wire import Closed, Peer, Silence

WINDOW = 16          # publishes a publisher has open at once
EXPIRY = {"session_expiry_interval": 3600}


class Ledger:
    """What was promised (acknowledged publishes) and what was seen."""

    def __init__(self):
        self.acknowledged = {}   # publisher -> numbers whose PUBACK or PUBCOMP arrived
        self.published = {}      # publisher -> highest number ever sent
        self.seen = {}           # subscriber -> publisher -> numbers in the order they arrived
        self.broken = []         # promises found broken on the way

    def verdict(self):
        """Every broken promise as a sentence; an empty list is the answer we want."""
        wrong = list(self.broken)
        for publisher, acknowledged in self.acknowledged.items():
            for subscriber, seen in self.seen.items():
                got = seen.get(publisher, [])
                who = f"{publisher} to {subscriber}"
                if lost := sorted(acknowledged - set(got)):
                    wrong.append(f"{who}: {len(lost)} acknowledged messages are lost: {lost[:10]}")
                if publisher.startswith("qos2") and (twice := [one for one, count in Counter(got).items() if count > 1]):
                    wrong.append(f"{who}: {len(twice)} messages came more than once: {twice[:10]}")
                first = list(dict.fromkeys(got))
                if late := [(a, b) for a, b in zip(first, first[1:]) if b < a]:
                    wrong.append(f"{who}: order broken: {late[:10]}")
                if invented := [one for one in got if one > self.published[publisher]]:
                    wrong.append(f"{who}: never sent: {invented[:10]}")
        return wrong


class Client(threading.Thread):
    """A thread that keeps one persistent session connected until told to stop."""

    def __init__(self, server, client_id, ledger):
        super().__init__(name=client_id, daemon=True)
        self.server, self.client_id, self.ledger = server, client_id, ledger
        self.stopping = threading.Event()
        self.had_session = False
        self.failure = None

    def run(self):
        try:
            while not self.finished():
                try:
                    with Peer(self.server.mqtt, 5, timeout=5) as peer:
                        self.peer = peer
                        found = peer.connect(self.client_id, clean=False, props={**EXPIRY, "receive_maximum": 1000})
                        if self.had_session and not found.session_present:
                            self.ledger.broken.append(f"{self.client_id}: its session is gone")
                        self.resumed(found.session_present)
                        self.had_session = True
                        while not self.finished():
                            self.step()
                        peer.disconnect()
                except (Closed, Silence, OSError):
                    time.sleep(0.02)
        except Exception as why:  # anything else is a finding, or a mistake of this bench
            self.failure = why
            self.ledger.broken.append(f"{self.client_id}: {why!r}")


class Publisher(Client):
    """Sends numbers to `prefix/own name`, at most WINDOW of them unacknowledged."""

    def __init__(self, server, prefix, client_id, qos, ledger):
        super().__init__(server, client_id, ledger)
        self.topic, self.qos = f"{prefix}/{client_id}", qos
        self.open = {}  # packet identifier -> (number, has PUBREC arrived), oldest first
        self.number = -1
        self.next_pid = 0
        ledger.acknowledged[client_id] = set()
        ledger.published[client_id] = -1

    def finished(self):
        return self.stopping.is_set() and not self.open

    def packet(self, pid, number, dup=False):
        return wire.publish(self.topic, b"%d" % number, self.qos, pid, dup=dup, version=5)

    def resumed(self, _present):
        # [MQTT-4.4.0-1] in the original order; PUBREL where PUBREC has arrived
        self.peer.send(b"".join(wire.ack(wire.PUBREL, pid) if received else self.packet(pid, number, dup=True)
                                for pid, (number, received) in self.open.items()))

    def step(self):
        batch = b""
        while len(self.open) < WINDOW and not self.stopping.is_set():
            self.number += 1
            self.next_pid = self.next_pid % 65535 + 1
            self.open[self.next_pid] = (self.number, False)
            self.ledger.published[self.client_id] = self.number
            batch += self.packet(self.next_pid, self.number)
        if batch:
            self.peer.send(batch)
        found = self.peer.receive(5)
        if found.kind == wire.DISCONNECT:
            raise Closed(str(found))
        assert found.pid in self.open, f"acknowledged what is not open: {found}"
        number, _ = self.open[found.pid]
        if found.reason >= 0x80:  # refused: nothing was promised
            del self.open[found.pid]
        elif found.kind == wire.PUBREC:
            self.open[found.pid] = (number, True)
            # From here on the server alone owns the message: it may never be sent again.
            self.ledger.acknowledged[self.client_id].add(number)
            self.peer.send(wire.ack(wire.PUBREL, found.pid))
        else:
            assert found.kind == (wire.PUBACK if self.qos == 1 else wire.PUBCOMP), str(found)
            del self.open[found.pid]
            self.ledger.acknowledged[self.client_id].add(number)


class Subscriber(Client):
    """Reads `prefix/#` with QoS 2 and acknowledges by the book."""

    def __init__(self, server, prefix, client_id, ledger):
        super().__init__(server, client_id, ledger)
        self.filter = f"{prefix}/#"
        self.seen = ledger.seen.setdefault(client_id, {})
        self.received = set()  # QoS 2 packet identifiers between PUBLISH and PUBREL
        self.subscribed = threading.Event()
        self.last = time.monotonic()

    def finished(self):
        return self.stopping.is_set()

    def resumed(self, present):
        if not present:
            self.received.clear()
            self.peer.subscribe(self.filter, qos=2)
            self.subscribed.set()

    def note(self, found):
        self.seen.setdefault(found.topic.rpartition("/")[2], []).append(int(found.payload))
        self.last = time.monotonic()

    def step(self):
        try:
            found = self.peer.receive(0.2)
        except Silence:
            return
        if found.kind == wire.PUBLISH and found.qos == 2:
            if found.pid not in self.received:  # [MQTT-4.3.3-10]
                self.received.add(found.pid)
                self.note(found)
            self.peer.send(wire.ack(wire.PUBREC, found.pid))
        elif found.kind == wire.PUBREL:
            self.received.discard(found.pid)
            self.peer.send(wire.ack(wire.PUBCOMP, found.pid))
        elif found.kind == wire.PUBLISH:
            self.note(found)
            if found.qos == 1:
                self.peer.send(wire.ack(wire.PUBACK, found.pid))
        elif found.kind == wire.DISCONNECT:
            raise Closed(str(found))


def run(server, how, rounds, seed, prefix="drill", publishers=2, subscribers=2, settle_seconds=40):
    """Load, `rounds` deaths of the server, a quiet end. Returns the ledger."""
    chance, ledger = random.Random(seed), Ledger()
    readers = [Subscriber(server, prefix, f"reader{number}", ledger) for number in range(subscribers)]
    for reader in readers:
        reader.start()
    for reader in readers:
        assert reader.subscribed.wait(10), reader.failure or "no SUBACK"
    writers = [Publisher(server, prefix, f"qos{qos}-{number}", qos, ledger) for qos in (1, 2) for number in range(publishers)]
    for writer in writers:
        writer.start()
    for _ in range(rounds):
        time.sleep(chance.uniform(0.2, 1.2))
        server.restart(how)
    time.sleep(0.3)
    for writer in writers:
        writer.stopping.set()
    for writer in writers:
        writer.join(settle_seconds)
        if writer.is_alive():
            ledger.broken.append(f"{writer.name}: {len(writer.open)} publishes are never acknowledged")
    deadline = time.monotonic() + settle_seconds
    while time.monotonic() < deadline:  # until everything is there and a moment has passed for what should not come
        missing = any(acknowledged - set(reader.seen.get(name, []))
                      for name, acknowledged in ledger.acknowledged.items() for reader in readers)
        quiet = time.monotonic() - max(reader.last for reader in readers)
        if quiet > (10 if missing else 1):
            break
        time.sleep(0.1)
    for reader in readers:
        reader.stopping.set()
    for reader in readers:
        reader.join(10)
    return ledger
