"""Clients of MQTT and AMQP on the same topics, accounting for every promise while the server dies under them.

paho publishes with QoS 1 and 2, pika with confirms and in transactions, all to `PREFIX/own name`. Two MQTT sessions hear
all of it, so does a queue bound to `amq.topic` that a worker takes from with acknowledgements of its own, and so does a
group that an MQTT session and an AMQP consumer share. Each number is published once, unless paho repeats it itself.
"""

import random
import threading
import time
from collections import Counter

import load
import paho.mqtt.client as mqtt
import pika
from amqp_load import PERSISTENT, connect
from pika.exceptions import AMQPError

PREFIX = "mixed"
WINDOW = 16        # publishes that paho has open at once
UNIT = 3           # messages of one transaction
PREFETCH = 10
HALL = "hall"
GROUP = f"$share/g/{PREFIX}/#"


class PahoPublisher(threading.Thread):
    """Leaves it to paho to repeat what was not acknowledged."""

    def __init__(self, server, name, qos, ledger):
        super().__init__(name=name, daemon=True)
        self.server, self.qos, self.ledger = server, qos, ledger
        self.stopping, self.failure, self.open = threading.Event(), None, {}
        ledger.acknowledged[name], ledger.published[name] = set(), -1

    def run(self):
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=self.name, clean_session=False)
        client.max_inflight_messages_set(WINDOW)
        client.on_publish = lambda _client, _data, mid, _reason, _props: self.answered.append(mid)
        self.answered, number = [], 0
        try:
            client.connect(*self.server.mqtt)
            while self.open or not self.stopping.is_set():
                # What is repeated goes first: that happens when CONNACK comes.
                while client.is_connected() and len(self.open) < WINDOW and not self.stopping.is_set():
                    self.ledger.published[self.name] = number
                    self.open[client.publish(f"{PREFIX}/{self.name}", b"%d" % number, self.qos).mid] = number
                    number += 1
                if client.loop(0.05) != mqtt.MQTT_ERR_SUCCESS:
                    self.reconnect(client)
                for mid in self.answered:
                    self.ledger.acknowledged[self.name].add(self.open.pop(mid))
                self.answered.clear()
        except Exception as why:  # a finding, or a mistake of this bench
            self.failure = why
        client.disconnect()

    def reconnect(self, client):
        deadline = time.monotonic() + 15
        while True:
            # A connection that ends before CONNACK makes paho 2.1 forget that PUBREC has come: it would publish again
            # what it was about to release.
            for message in client._out_messages.values():
                if message.state == mqtt.mqtt_ms_resend_pubrel:
                    message.state = mqtt.mqtt_ms_wait_for_pubcomp
            try:
                return client.reconnect()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


class AmqpPublisher(threading.Thread):
    """Publishes one message and waits for its confirm, or several and waits for their commit. What was not answered
    may have happened or not; it is never sent again."""

    def __init__(self, server, name, unit, ledger):
        super().__init__(name=name, daemon=True)
        self.server, self.unit, self.ledger = server, unit, ledger
        self.stopping, self.failure, self.open = threading.Event(), None, {}
        ledger.acknowledged[name], ledger.published[name] = set(), -1

    def run(self):
        number = 0
        try:
            while not self.stopping.is_set():
                try:
                    connection = connect(self.server)
                    channel = connection.channel()
                    channel.confirm_delivery() if self.unit == 1 else channel.tx_select()
                    while not self.stopping.is_set():
                        mine = range(number, number + self.unit)
                        number += self.unit
                        self.ledger.published[self.name] = mine[-1]
                        for one in mine:
                            channel.basic_publish("amq.topic", f"{PREFIX}.{self.name}", b"%d" % one,
                                                  pika.BasicProperties(delivery_mode=PERSISTENT))
                        if self.unit > 1:
                            channel.tx_commit()
                        self.ledger.acknowledged[self.name].update(mine)
                    connection.close()
                except (AMQPError, OSError):
                    time.sleep(0.01)
        except Exception as why:
            self.failure = why


class Worker(threading.Thread):
    """Takes from a queue, acknowledges most of it and puts the rest back. `seen` has what came, once each."""

    def __init__(self, server, name, source, seed, setup=lambda channel: None):
        super().__init__(name=name, daemon=True)
        self.server, self.source, self.setup, self.chance = server, source, setup, random.Random(seed)
        self.stopping, self.ready, self.failure = threading.Event(), threading.Event(), None
        self.seen, self.unmarked, self.last = {}, Counter(), time.monotonic()

    def run(self):
        try:
            while not self.stopping.is_set():
                try:
                    connection = connect(self.server)
                    channel = connection.channel()
                    self.setup(channel)
                    channel.basic_qos(prefetch_count=PREFETCH)
                    self.ready.set()
                    for method, _, body in channel.consume(self.source, inactivity_timeout=0.2):
                        if self.stopping.is_set():
                            break
                        if method is not None:
                            self.note(channel, method, int(body))
                    connection.close()
                except (AMQPError, OSError):
                    time.sleep(0.01)
        except Exception as why:
            self.failure = why

    def note(self, channel, method, number):
        publisher = method.routing_key.rpartition(".")[2]
        came = self.seen.setdefault(publisher, [])
        if number not in came[-4 * PREFETCH:] and number not in came:
            came.append(number)
        if not method.redelivered:
            self.unmarked[publisher, number] += 1
        self.last = time.monotonic()
        if self.chance.random() < 0.1:
            channel.basic_nack(method.delivery_tag, requeue=True)
        else:
            channel.basic_ack(method.delivery_tag)


class Member(load.Subscriber):
    """The session in the shared group."""

    def __init__(self, server, client_id, ledger):
        super().__init__(server, PREFIX, client_id, ledger)
        self.filter = GROUP
        self.seen = ledger.seen.pop(client_id)  # it gets a part, which says nothing about loss


def verdict(ledger, group):
    """Every broken promise as a sentence; see also `load.Ledger.verdict`, which judges who hears everything."""
    wrong = ledger.verdict()
    for publisher, acknowledged in ledger.acknowledged.items():
        if lost := sorted(acknowledged - set().union(*(one.seen.get(publisher, []) for one in group))):
            wrong.append(f"{publisher} to the group: {len(lost)} acknowledged messages are lost: {lost[:10]}")
    for reader, seen in ledger.seen.items():
        for publisher in (name for name in seen if name.endswith("-units")):
            counts = Counter(number // UNIT for number in set(seen[publisher]))
            if halves := sorted(unit for unit, count in counts.items() if count != UNIT):
                wrong.append(f"{publisher} to {reader}: transactions cut in two: {halves[:10]}")
    return wrong


def unmarked_twice(worker):
    """What came a second time without a mark. paho's own repetitions are no redeliveries."""
    return [f"{publisher} {number} came to {worker.name} {count} times, not marked as redelivered"
            for (publisher, number), count in worker.unmarked.items() if count > 1 and "-amqp" in publisher]


def run(server, how, rounds, seed, settle_seconds=40):
    """Load, `rounds` deaths of the server, a quiet end. Returns the ledger and every broken promise."""
    chance, ledger = random.Random(seed), load.Ledger()

    def bind(channel):
        channel.queue_declare(HALL, durable=True)
        channel.queue_bind(HALL, "amq.topic", f"{PREFIX}.#")

    readers = [load.Subscriber(server, PREFIX, f"reader{number}", ledger) for number in range(2)]
    member = Member(server, "member", ledger)
    for reader in (*readers, member):
        reader.start()
        assert reader.subscribed.wait(10), reader.failure or "no SUBACK"
    hall, partner = Worker(server, HALL, HALL, seed, bind), Worker(server, "partner", GROUP, seed + 1)
    for worker in (hall, partner):
        worker.start()
        assert worker.ready.wait(10), worker.failure or "no channel"
    ledger.seen[HALL] = hall.seen
    writers = [PahoPublisher(server, "qos1-paho", 1, ledger), PahoPublisher(server, "qos2-paho", 2, ledger),
               AmqpPublisher(server, "qos2-amqp", 1, ledger), AmqpPublisher(server, "qos2-amqp-units", UNIT, ledger)]
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
        if writer.is_alive() or writer.failure:
            ledger.broken.append(f"{writer.name}: {writer.failure or f'{len(writer.open)} publishes are never acknowledged'}")
    listeners, deadline = (*readers, member, hall, partner), time.monotonic() + settle_seconds
    while time.monotonic() < deadline:  # until everything is there and a moment has passed for what should not come
        quiet = time.monotonic() - max(listener.last for listener in listeners)
        if quiet > (10 if verdict(ledger, (member, partner)) else 1):
            break
        time.sleep(0.1)
    for listener in listeners:
        listener.stopping.set()
    for listener in listeners:
        listener.join(10)
        if listener.failure:
            ledger.broken.append(f"{listener.name}: {listener.failure!r}")
    return ledger, verdict(ledger, (member, partner)) + unmarked_twice(hall)
