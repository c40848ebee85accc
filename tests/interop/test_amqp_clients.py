"""AMQP 0-9-1 with other client libraries: aio-pika, kombu over py-amqp, amqplib for Node."""

import asyncio
import os
import socket
import subprocess
from pathlib import Path

import aio_pika
import kombu
import pytest

pytestmark = pytest.mark.skipif("config.getoption('--server') != 'motet'", reason="Mosquitto speaks no AMQP")
NODE = Path(__file__).parent / "node"


def url(server, scheme="amqp"):
    return f"{scheme}://guest:guest@%s:%d/" % server.amqp


def test_aio_pika_publishes_with_confirms_and_consumes(server, name):
    async def converse():
        connection = await aio_pika.connect(url(server), timeout=10)
        async with connection:
            channel = await connection.channel(publisher_confirms=True)
            await channel.set_qos(prefetch_count=10)
            exchange = await channel.declare_exchange(name, aio_pika.ExchangeType.TOPIC, durable=True)
            queue = await channel.declare_queue(name, durable=True)
            await queue.bind(exchange, "a.*")
            messages = [aio_pika.Message(b"%d" % number, delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                                         headers={"number": number}) for number in range(100)]
            await asyncio.gather(*(exchange.publish(message, "a.b") for message in messages))
            heard = []
            async with queue.iterator(timeout=10) as iterator:
                async for message in iterator:
                    async with message.process():
                        heard.append((int(message.body), message.headers["number"]))
                    if len(heard) == 100:
                        break
            await queue.delete()
            return heard

    assert asyncio.run(asyncio.wait_for(converse(), 25)) == [(number, number) for number in range(100)]


def test_aio_pika_returns_what_nobody_gets(server, name):
    async def converse():
        connection = await aio_pika.connect(url(server), timeout=10)
        async with connection:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            with pytest.raises(aio_pika.exceptions.DeliveryError):
                await channel.default_exchange.publish(aio_pika.Message(b"x"), name)

    asyncio.run(asyncio.wait_for(converse(), 20))


def test_aio_pika_transaction(server, name):
    async def converse():
        connection = await aio_pika.connect(url(server), timeout=10)
        async with connection:
            channel = await connection.channel(publisher_confirms=False)
            queue = await channel.declare_queue(name, exclusive=True)
            async with channel.transaction():
                await channel.default_exchange.publish(aio_pika.Message(b"both"), name)
                await channel.default_exchange.publish(aio_pika.Message(b"or none"), name)
            first, second = await queue.get(no_ack=True), await queue.get(no_ack=True)
            return first.body, second.body

    assert asyncio.run(asyncio.wait_for(converse(), 20)) == (b"both", b"or none")


def test_kombu_with_its_usual_settings(server, name):
    with kombu.Connection(url(server), connect_timeout=10) as connection:
        exchange = kombu.Exchange(name, "direct", durable=True)
        queue = kombu.Queue(name, exchange, routing_key="tasks", durable=True, queue_arguments={"x-max-priority": 10})
        producer = kombu.Producer(connection, exchange, "tasks", serializer="json")
        for number, priority in enumerate([0, 5, 9]):
            producer.publish({"number": number, "text": "Grüße"}, declare=[queue], priority=priority)
        heard = []

        def hear(body, message):
            heard.append((body["number"], body["text"], message.content_type))
            message.ack()

        channel = connection.channel()
        channel.basic_qos(0, 1, True)  # what celery has asked for since ever
        with kombu.Consumer(channel, [queue], callbacks=[hear]):
            while len(heard) < 3:
                connection.drain_events(timeout=10)
        assert heard == [(number, "Grüße", "application/json") for number in (2, 1, 0)]


def test_kombu_simple_queue_and_heartbeats(server, name):
    with kombu.Connection(url(server), heartbeat=4, connect_timeout=10) as connection:
        queue = connection.SimpleQueue(name)
        queue.put({"hello": "world"})
        connection.heartbeat_check()
        message = queue.get(timeout=10)
        message.ack()
        assert message.payload == {"hello": "world"}
        with pytest.raises(queue.Empty):
            queue.get_nowait()
        queue.close()


def test_kombu_consumer_is_cancelled_when_its_queue_goes(server, name):
    with kombu.Connection(url(server), connect_timeout=10) as connection:
        queue = kombu.Queue(name, auto_delete=True)
        with kombu.Consumer(connection, [queue], callbacks=[lambda body, message: message.ack()]):
            with kombu.Connection(url(server)) as other:
                other.default_channel.queue_delete(name)
            with pytest.raises((connection.recoverable_connection_errors + connection.recoverable_channel_errors +
                                (socket.timeout,))) as cancelled:
                connection.drain_events(timeout=5)
        assert not isinstance(cancelled.value, socket.timeout)


@pytest.mark.timeout(60)
def test_amqplib(server):
    assert (NODE / "node_modules/amqplib").is_dir(), "run `npm ci` in tests/interop/node, or `tests/run interop`"
    done = subprocess.run(["node", "--test", "--test-reporter=spec", "amqplib.test.js"], cwd=NODE, timeout=55,
                          env={**os.environ, "AMQP_URL": url(server)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()
