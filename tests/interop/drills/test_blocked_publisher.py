"""A publisher ignores connection.blocked: it reads nothing and goes on publishing while the disk takes nothing.

Its trouble stays its own: memory stays bounded, others go on, consumers drain, and when there is room again, so does it.
"""

import os
import subprocess
import threading
import time

import pytest
from amqp_wire import Silence, Wire, content, method_frame
from pika import spec

pytestmark = [pytest.mark.drill, pytest.mark.timeout(180)]

DISK_MIB = 64               # room for the server's preallocated files and some messages
BALLAST_MIB = 24            # taken away at first, given back when the disk is full
BODY = 32 * 1024
BACKLOG = 100               # messages that consumers drain during the alarm
FLOOD_SECONDS = 6           # so long the publisher pushes
RSS_GROWTH_MAX = 96 << 20   # server memory: queues, and buffers of one connection
ANSWER_SECONDS_MAX = 1.0    # round trip of others meanwhile
RECOVERY_SECONDS = 30


@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    where = tmp_path / "disk"
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "none", str(where)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


class Client(Wire):
    """A connection with channel 1 open."""

    def __init__(self, server):
        super().__init__(server.amqp)
        self.open()
        self.say(spec.Channel.Open())

    def say(self, method, expected=True):
        self.send(method_frame(1, method))
        return self.receive()[1] if expected else None

    def publish(self, queue, body, mode):
        self.send(method_frame(1, spec.Basic.Publish(exchange="", routing_key=queue)),
                  content(1, spec.BasicProperties(delivery_mode=mode), body))


def message(number):
    properties = spec.BasicProperties(delivery_mode=2)
    return (method_frame(1, spec.Basic.Publish(exchange="", routing_key="flood"))
            + content(1, properties, b"%08d" % number + b"x" * BODY))


def push(publisher, stop, sent):
    """Sends without reading a byte; `sent` is what left, in whole messages and the rest of one."""
    publisher.socket.settimeout(0.2)
    number, rest = 0, b""
    while not stop.is_set():
        if not rest:
            rest, number = message(number), number + 1
        try:
            rest = rest[publisher.socket.send(rest):]
        except TimeoutError:
            continue
    sent.extend((number, rest))


def test_a_publisher_that_ignores_blocked_troubles_nobody(kind, small_disk, tmp_path):
    (small_disk / "ballast").write_bytes(bytes(BALLAST_MIB << 20))
    server = kind(tmp_path / "server", settings='store.segment_bytes = "4MiB"', data_dir=small_disk / "data").start()
    try:
        drainer, witness, publisher = Client(server), Client(server), Client(server)
        for queue in ("backlog", "flood"):
            assert drainer.say(spec.Queue.Declare(queue=queue, durable=True)).queue == queue
        for number in range(BACKLOG):
            drainer.publish("backlog", b"%d" % number, 2)
        witness.say(spec.Queue.Declare(queue="calm", exclusive=True))
        witness.say(spec.Basic.Consume(queue="calm", consumer_tag="w", no_ack=True))
        publisher.say(spec.Confirm.Select())
        before, peak, worst = server.rss_bytes(), 0, 0.0
        stop, sent = threading.Event(), []
        thread = threading.Thread(target=push, args=(publisher, stop, sent))
        thread.start()
        try:
            end = time.monotonic() + FLOOD_SECONDS
            while time.monotonic() < end:
                begun = time.monotonic()
                witness.publish("calm", b"tick", 1)
                assert witness.receive()[1].body == b"tick"
                worst = max(worst, time.monotonic() - begun)
                peak = max(peak, server.rss_bytes())
                time.sleep(0.02)
            # What has no room to be written still has room to be taken.
            drainer.say(spec.Basic.Consume(queue="backlog", consumer_tag="d"))
            for number in range(BACKLOG):
                found = drainer.receive()[1]
                assert found.body == b"%d" % number
                drainer.send(method_frame(1, spec.Basic.Ack(found.method.delivery_tag)))
        finally:
            stop.set()
            thread.join()
        (count, rest) = sent
        print(f"pushed {count} messages, memory grew by {(peak - before) >> 20} MiB, worst round trip {worst:.3f} s")
        assert count * BODY > 8 << 20 and rest, "the publisher was never stopped"
        assert worst < ANSWER_SECONDS_MAX
        assert peak - before < RSS_GROWTH_MAX

        (small_disk / "ballast").unlink()
        # Now it reads: it was told, and what it sent is taken, every message of it once.
        # A handle of its own, because `receive` gives the other one a shorter time.
        end = publisher.socket.dup()
        end.settimeout(RECOVERY_SECONDS)
        finish = threading.Thread(target=end.sendall, args=(rest,))
        finish.start()
        confirmed, words, deadline = 0, [], time.monotonic() + RECOVERY_SECONDS
        while confirmed < count and time.monotonic() < deadline:
            try:
                method = publisher.receive(1)[1]
            except Silence:
                continue
            if method.NAME == "Basic.Ack":
                confirmed = max(confirmed, method.delivery_tag)
            else:
                words.append(method.NAME)
        finish.join()
        assert confirmed == count
        # Once or, where room came and went, several times; and at the end it may go on.
        assert words and words == ["Connection.Blocked", "Connection.Unblocked"] * (len(words) // 2), words
        assert drainer.say(spec.Queue.Declare(queue="flood", passive=True)).message_count == count
        assert server.alive()
    finally:
        server.close()
