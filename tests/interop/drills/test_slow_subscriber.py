"""A subscriber stops reading while others publish to it: its trouble stays its own, and memory stays bounded."""

import threading
import time

import pytest
import wire

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

FLOOD_BYTES = 192 << 20     # what is sent to the peer that does not read
FLOOD_SECONDS = 20          # or as much as the server lets the publisher send in this time
RSS_GROWTH_MAX = 96 << 20   # server memory: its documented bound per connection, queues and buffers together
ANSWER_SECONDS_MAX = 1.0    # round trip of others during the flood


def flood(publisher, topic, stop):
    """Sends without waiting for anything, as fast as the server takes it. Returns the bytes sent."""
    publisher.socket.settimeout(1)
    batch = wire.publish(topic, b"x" * 16384, version=publisher.version) * 16
    sent, end, rest = 0, time.monotonic() + FLOOD_SECONDS, b""
    while sent < FLOOD_BYTES and time.monotonic() < end and not stop.is_set():
        rest = rest or batch
        try:
            count = publisher.socket.send(rest)
        except TimeoutError:  # back-pressure: allowed toward the one who causes it
            continue
        sent, rest = sent + count, rest[count:]
    return sent


@pytest.fixture
def bounded_server(kind, tmp_path):
    running = kind(tmp_path / "server", bounded_queues=True).start()
    yield running
    running.close()


@pytest.mark.parametrize("qos", [0, 1])
def test_slow_subscriber_disturbs_nobody(bounded_server, peer, name, qos):
    slow = peer(bounded_server, version=4, receive_buffer=8192)
    slow.connect(name + "slow", clean=True)
    slow.subscribe(name + "/flood", qos=qos)
    witness = peer(bounded_server, version=4)
    witness.connect(name + "witness")
    witness.subscribe(name + "/calm", qos=1)
    publisher = peer(bounded_server, version=4)
    publisher.connect(name + "publisher")
    before, stop, sent, peak, worst = bounded_server.rss_bytes(), threading.Event(), [], 0, 0.0
    thread = threading.Thread(target=lambda: sent.append(flood(publisher, name + "/flood", stop)))
    thread.start()
    try:
        while thread.is_alive():
            begun = time.monotonic()
            witness.publish(name + "/calm", b"tick", qos=1)
            assert witness.message().payload == b"tick"
            worst = max(worst, time.monotonic() - begun)
            peak = max(peak, bounded_server.rss_bytes())
            time.sleep(0.02)
    finally:
        stop.set()
        thread.join()
    print(f"flooded {sent[0] >> 20} MiB, memory grew by {(peak - before) >> 20} MiB, worst round trip {worst:.3f} s")
    assert sent[0] > 4 << 20, "the flood did not happen"
    assert worst < ANSWER_SECONDS_MAX
    assert peak - before < RSS_GROWTH_MAX
    publisher.close()
    witness.ping()
    assert bounded_server.alive()


def test_healthy_subscriber_of_the_same_topic_gets_everything(own_server, peer, name):
    slow = peer(own_server, version=4, receive_buffer=8192)
    slow.connect(name + "slow")
    slow.subscribe(name, qos=0)
    healthy = peer(own_server, version=4)
    healthy.connect(name + "healthy")
    healthy.subscribe(name, qos=1)
    publisher = peer(own_server, version=4)
    publisher.connect(name + "publisher")
    for number in range(1500):
        publisher.publish(name, b"%06d" % number + b"x" * 16000, qos=1)
        assert int(healthy.message().payload[:6]) == number
