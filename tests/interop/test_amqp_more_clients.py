"""AMQP 0-9-1 with amqpstorm and with py-amqp by itself: what each library does in its own way."""

import threading
import time

import amqp
import amqpstorm
import pytest

pytestmark = pytest.mark.skipif("config.getoption('--server') != 'motet'", reason="Mosquitto speaks no AMQP")


@pytest.fixture
def storm(server):
    host, port = server.amqp
    with amqpstorm.Connection(host, "guest", "guest", port=port, heartbeat=0, timeout=10) as connection:
        yield connection


def test_amqpstorm_publishes_with_confirms_and_consumes_by_callback(storm, name):
    with storm.channel() as channel:
        channel.confirm_deliveries()
        channel.queue.declare(name, durable=True)
        for number in range(30):
            message = amqpstorm.Message.create(channel, f"{number}", {"headers": {"number": number}, "delivery_mode": 2})
            assert message.publish(name, mandatory=True) is True
        heard = []

        def hear(message):
            heard.append((message.body, message.properties["headers"]["number"]))
            message.ack()
            if len(heard) == 30:
                channel.basic.cancel(tag)

        channel.basic.qos(7)
        tag = channel.basic.consume(hear, name)
        deadline = time.monotonic() + 15
        while len(heard) < 30 and time.monotonic() < deadline:
            channel.process_data_events()
        assert heard == [(f"{number}", number) for number in range(30)]
        assert channel.queue.declare(name, passive=True)["message_count"] == 0
        channel.queue.delete(name)


def test_amqpstorm_hears_what_went_wrong(storm, name):
    channel = storm.channel()
    with pytest.raises(amqpstorm.AMQPChannelError) as missing:
        channel.queue.declare(name, passive=True)
    assert (missing.value.error_code, f"no queue '{name}' in vhost '/'" in str(missing.value)) == (404, True)
    channel = storm.channel()
    channel.confirm_deliveries()
    assert channel.basic.publish("x", name) is True  # nobody gets it, and nobody minds
    with pytest.raises(amqpstorm.AMQPMessageError) as returned:
        channel.basic.publish("x", name, mandatory=True)
    assert returned.value.error_code == 312


def test_amqpstorm_exchanges_transactions_and_get(storm, name):
    with storm.channel() as channel:
        channel.exchange.declare(name, "headers", auto_delete=True)
        channel.queue.declare(name, exclusive=True)
        channel.queue.bind(name, name, arguments={"x-match": "any", "kind": "a"})
        channel.tx.select()
        channel.basic.publish("x", "", name, properties={"headers": {"kind": "a"}})
        channel.tx.rollback()
        channel.basic.publish("y", "", name, properties={"headers": {"kind": "a"}})
        channel.tx.commit()
        message = channel.basic.get(name)
        assert message.body == "y"
        message.reject(requeue=True)
        channel.tx.commit()
        assert channel.basic.get(name).redelivered
        assert channel.queue.purge(name)["message_count"] == 0


def test_amqpstorm_rpc(storm, name):
    served = threading.Event()

    def serve():
        with storm.channel() as channel:
            channel.queue.declare(name, exclusive=True)
            channel.basic.consume(lambda m: m.channel.basic.publish(
                m.body.upper(), m.reply_to, properties={"correlation_id": m.correlation_id}), name, no_ack=True)
            served.set()
            deadline = time.monotonic() + 15
            while not answers and time.monotonic() < deadline:
                channel.process_data_events()
                time.sleep(0.01)

    answers = []
    thread = threading.Thread(target=serve)
    thread.start()
    assert served.wait(10)
    with storm.channel() as channel:
        channel.basic.consume(lambda m: answers.append((m.body, m.correlation_id)), "amq.rabbitmq.reply-to", no_ack=True)
        channel.basic.publish("ask", name, properties={"reply_to": "amq.rabbitmq.reply-to", "correlation_id": "1"})
        deadline = time.monotonic() + 15
        while not answers and time.monotonic() < deadline:
            channel.process_data_events()
            time.sleep(0.01)
    thread.join(20)
    assert answers == [("ASK", "1")]


@pytest.fixture
def plain(server):
    with amqp.Connection("%s:%d" % server.amqp, "guest", "guest", confirm_publish=True, heartbeat=5) as connection:
        yield connection


def test_py_amqp_publishes_with_confirms_and_consumes(plain, name):
    channel = plain.channel()
    channel.queue_declare(name, exclusive=True, auto_delete=True)
    for number in range(20):
        channel.basic_publish(amqp.Message(f"{number}", delivery_mode=2, application_headers={"n": number}), "", name)
    heard = []

    def hear(message):
        heard.append((message.body, message.headers["n"]))
        channel.basic_ack(message.delivery_tag)

    channel.basic_qos(0, 5, False)
    channel.basic_consume(name, callback=hear)
    while len(heard) < 20:
        plain.drain_events(timeout=10)
    assert heard == [(f"{number}", number) for number in range(20)]
    plain.heartbeat_tick()


def test_py_amqp_errors_and_returns(plain, name):
    channel = plain.channel()
    returned = []
    channel.events["basic_return"].add(lambda error, exchange, key, message: returned.append((error.reply_text, key, message.body)))
    channel.basic_publish(amqp.Message("lost"), "", name, mandatory=True)
    assert returned == [("NO_ROUTE", name, "lost")]
    with pytest.raises(amqp.PreconditionFailed, match="inequivalent arg 'durable' for queue"):
        channel.queue_declare(name, exclusive=True)
        channel.queue_declare(name + "-d", durable=True, auto_delete=False)
        try:
            channel.queue_declare(name + "-d", durable=False, auto_delete=False)
        finally:
            plain.channel().queue_delete(name + "-d")
    with pytest.raises(amqp.NotFound):
        plain.channel().basic_get(name + "-none")
    with pytest.raises(amqp.AccessRefused):
        plain.channel().exchange_declare("amq.mine", "direct")


def test_py_amqp_two_queues_in_one_transaction(plain, name):
    # A connection that confirms asks each channel to; transactions want one that does not.
    with amqp.Connection(plain.host, "guest", "guest") as connection:
        channel = connection.channel()
        for queue in ("-a", "-b"):
            channel.queue_declare(name + queue, exclusive=True, auto_delete=False)
        channel.tx_select()
        for queue in ("-a", "-b"):
            channel.basic_publish(amqp.Message("both"), "", name + queue)
        assert channel.basic_get(name + "-a") is None
        channel.tx_commit()
        assert [channel.basic_get(name + queue).body for queue in ("-a", "-b")] == ["both", "both"]
