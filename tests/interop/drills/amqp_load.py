"""AMQP publishers and a consumer that account for every confirm while the server dies under them."""

import random
import threading
import time

import pika
from pika.exceptions import AMQPError

PERSISTENT = 2


def connect(server, seconds=15):
    """A connection, as soon as there is a server."""
    host, port = server.amqp
    deadline = time.monotonic() + seconds
    while True:
        try:
            return pika.BlockingConnection(pika.ConnectionParameters(
                host, port, heartbeat=0, socket_timeout=10, blocked_connection_timeout=10))
        except (AMQPError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


class Publisher(threading.Thread):
    """Publishes its numbers in order, each until it is confirmed; one that may have been taken may come twice."""

    def __init__(self, server, queue, name):
        super().__init__(name=name, daemon=True)
        self.server, self.queue = server, queue
        self.stopping, self.confirmed, self.failure = threading.Event(), [], None

    def run(self):
        number = 0
        try:
            while not self.stopping.is_set():
                try:
                    connection = connect(self.server)
                    channel = connection.channel()
                    channel.confirm_delivery()
                    while not self.stopping.is_set():
                        channel.basic_publish("", self.queue, b"%s %d" % (self.name.encode(), number),
                                              pika.BasicProperties(delivery_mode=PERSISTENT), mandatory=True)
                        self.confirmed.append(number)
                        number += 1
                    connection.close()
                except (AMQPError, OSError):
                    time.sleep(0.01)
        except Exception as why:  # a finding, or a mistake of this bench
            self.failure = why


class Holder:
    """Takes messages and never acknowledges them: they must come back, marked."""

    def __init__(self, server, queue, count):
        self.connection = connect(server)
        self.channel = self.connection.channel()
        self.held = [self.channel.basic_get(queue)[2] for _ in range(count)]


def drain(server, queue):
    """Everything in the queue as (publisher, number, redelivered)."""
    connection = connect(server)
    channel, found = connection.channel(), []
    while True:
        method, _, body = channel.basic_get(queue)
        if method is None:
            break
        name, number = body.split()
        found.append((name.decode(), int(number), method.redelivered))
        channel.basic_ack(method.delivery_tag)
    connection.close()
    return found


def run(server, how, rounds, seed, publishers=3):
    """Load and `rounds` deaths. Returns the publishers' own books, what is in the queue, and what was held before the last death."""
    chance = random.Random(seed)
    connect(server).channel().queue_declare("drill", durable=True)
    writers = [Publisher(server, "drill", f"writer{number}") for number in range(publishers)]
    for writer in writers:
        writer.start()
    for _ in range(rounds):
        time.sleep(chance.uniform(0.2, 0.8))
        server.restart(how)
    for writer in writers:
        writer.stopping.set()
    for writer in writers:
        writer.join(30)
        assert not writer.is_alive() and writer.failure is None, writer.failure
    held = Holder(server, "drill", 5).held
    server.restart(how)
    return writers, drain(server, "drill"), held
