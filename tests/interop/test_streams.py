"""A stream that was declared over AMQP, read over MQTT from every place, and on from where a reader was."""

import time
from datetime import datetime, timezone

import pytest

pika = pytest.importorskip("pika")
OFFSET = "x-stream-offset"


@pytest.fixture
def channel(server):
    connection = pika.BlockingConnection(pika.ConnectionParameters(*server.amqp, heartbeat=0, socket_timeout=20))
    channel = connection.channel()
    channel.confirm_delivery()
    yield channel
    connection.close()


@pytest.fixture
def stream(channel, name):
    channel.queue_declare(name, durable=True, arguments={"x-queue-type": "stream"})
    for number in range(5):
        channel.basic_publish("", name, f"m{number}".encode())
    yield name
    channel.queue_delete(name)


@pytest.fixture
def read(server, paho, stream):
    """Subscribes to the stream from a place: `read("first")`."""

    def read_from(start, version=5, qos=1):
        reader = paho(server, version=version)
        reader.granted = reader.subscribe(f"$stream/{stream}@{start}", qos)
        return reader

    return read_from


def hears(reader, first, end=5):
    """Everything from `first` on, each with its offset, and nothing more."""
    for number in range(first, end):
        message = reader.message()
        offsets = [value for name, value in message.properties.UserProperty if name == OFFSET]
        assert (message.payload, offsets) == (f"m{number}".encode(), [str(number)])
    reader.nothing_for(0.1)


@pytest.mark.parametrize(
    "start, first", [("first", 0), ("last", 4), ("3", 3), ("0", 0), ("1h", 0), ("1970-01-01T00:00:00Z", 0)])
def test_a_stream_is_read_from_a_place(read, start, first):
    hears(read(start), first)


def test_what_is_published_from_now_on_is_next(server, paho, channel, stream, read):
    said, unsaid = read("next"), paho(server, version=5)
    unsaid.subscribe(f"$stream/{stream}", 1)
    channel.basic_publish("", stream, b"m5")
    for reader in (said, unsaid):
        hears(reader, 5, 6)


def test_a_time_between_two_entries_is_found(channel, stream, read):
    before = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == before:  # entries carry milliseconds
        pass
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    channel.basic_publish("", stream, b"m5")
    hears(read(now), 5, 6)


def test_a_reader_goes_on_from_where_it_was(channel, stream, read):
    first = read("first")
    heard = [first.message() for _ in range(3)]
    first.close()
    channel.basic_publish("", stream, b"m5")
    offset = int(dict(heard[-1].properties.UserProperty)[OFFSET])
    hears(read(offset + 1), 3, 6)


@pytest.mark.parametrize("qos", [0, 2])
def test_every_qos_reads_and_two_is_granted_as_one(read, qos):
    reader = read("first", qos=qos)
    assert reader.granted == [min(qos, 1)]
    hears(reader, 0)


def test_old_clients_read_without_offsets(read):
    reader = read("first", version=4)
    assert [reader.message().payload for _ in range(5)] == [f"m{number}".encode() for number in range(5)]


def test_a_start_that_makes_no_sense_is_refused(read):
    for start in ["soon", "-1", "2026-13-01T00:00:00Z"]:
        assert read(start).granted == [0x8F]


def test_an_offset_that_a_publisher_tells_is_replaced(server, paho, stream, read):
    """Whoever publishes again what it has read brings the old offset along."""
    publisher = paho(server, version=5)
    publisher.publish(f"$queue/{stream}", b"m5", 1, UserProperty=[(OFFSET, "77"), ("kept", "yes")])
    reader = read(5)
    message = reader.message()
    assert message.payload == b"m5" and message.properties.UserProperty == [("kept", "yes"), (OFFSET, "5")]
