"""AMQP 0-9-1 with pika: what the tutorials do, every error by its code and scope, and the bridge to MQTT."""

import threading
import time

import pika
import pytest
from pika.exceptions import (AMQPConnectionError, AMQPError, ChannelClosedByBroker, ConnectionClosedByBroker, NackError,
                             UnroutableError)

pytestmark = pytest.mark.skipif("config.getoption('--server') != 'motet'", reason="Mosquitto speaks no AMQP")


def parameters(server, **options):
    host, port = server.amqp
    return pika.ConnectionParameters(host, port, heartbeat=0, blocked_connection_timeout=20, socket_timeout=20, **options)


@pytest.fixture
def amqp():
    """Opens connections: `amqp(server)`."""
    opened = []

    def connect(server, **options):
        opened.append(pika.BlockingConnection(parameters(server, **options)))
        return opened[-1]

    yield connect
    for one in opened:
        try:
            one.close()
        except AMQPError:  # closed already, by the test or by the server
            pass


@pytest.fixture
def channel(server, amqp):
    return amqp(server).channel()


def collect(channel, queue, count, seconds=10, **options):
    """`count` messages of a queue as (method, properties, body)."""
    found = []
    for message in channel.consume(queue, inactivity_timeout=seconds, **options):
        if message[0] is None:
            break
        found.append(message)
        if len(found) == count:
            break
    channel.cancel()
    assert len(found) == count, f"{len(found)} of {count} messages"
    return found


# -- the tutorials


def test_hello_world(channel, name):
    channel.queue_declare(name)
    channel.basic_publish("", name, b"Hello World!")
    (method, properties, body), = collect(channel, name, 1, auto_ack=True)
    assert (method.exchange, method.routing_key, method.redelivered, body) == ("", name, False, b"Hello World!")


def test_work_queue_is_shared_fairly_and_survives_its_workers(server, amqp, name):
    one, two = amqp(server).channel(), amqp(server).channel()
    one.queue_declare(name, durable=True)
    for number in range(4):
        one.basic_publish("", name, b"%d" % number, pika.BasicProperties(delivery_mode=2))
    heard = {1: [], 2: []}
    for key, channel in ((1, one), (2, two)):
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(name, lambda ch, m, p, b, key=key: heard[key].append((m.delivery_tag, b)))
    one.connection.process_data_events(0.3)
    two.connection.process_data_events(0.3)
    assert [body for _, body in heard[1]] == [b"0"] and [body for _, body in heard[2]] == [b"1"]
    two.connection.close()  # without an acknowledgement: its message goes back to its place
    one.basic_ack(heard[1][0][0])
    deadline = time.monotonic() + 10
    while len(heard[1]) < 4 and time.monotonic() < deadline:
        one.connection.process_data_events(0.1)
        one.basic_ack(heard[1][-1][0]) if len(heard[1]) > 1 and heard[1][-1] else None
    assert [body for _, body in heard[1]] == [b"0", b"1", b"2", b"3"]


def test_publish_and_subscribe(server, amqp, name):
    channel = amqp(server).channel()
    channel.exchange_declare(name, "fanout")
    queues = [channel.queue_declare("", exclusive=True).method.queue for _ in range(3)]
    assert len(set(queues)) == 3 and all(queue.startswith("amq.gen-") for queue in queues)
    for queue in queues:
        channel.queue_bind(queue, name)
    channel.basic_publish(name, "", b"log")
    assert [collect(channel, queue, 1, auto_ack=True)[0][2] for queue in queues] == [b"log"] * 3


def test_routing(channel, name):
    channel.exchange_declare(name, "direct")
    channel.queue_declare(name, exclusive=True)
    for severity in ("error", "warning"):
        channel.queue_bind(name, name, severity)
    for severity in ("info", "warning", "error"):
        channel.basic_publish(name, severity, severity.encode())
    assert [body for _, _, body in collect(channel, name, 2, auto_ack=True)] == [b"warning", b"error"]


def test_topics(channel, name):
    channel.exchange_declare(name, "topic")
    channel.queue_declare(name, exclusive=True)
    for key in ("*.orange.*", "*.*.rabbit", "lazy.#"):
        channel.queue_bind(name, name, key)
    keys = ["quick.orange.rabbit", "lazy.orange.elephant", "quick.orange.fox", "lazy.brown.fox", "lazy.pink.rabbit",
            "quick.brown.fox", "orange", "quick.orange.new.rabbit", "lazy.orange.new.rabbit", "lazy"]
    for key in keys:
        channel.basic_publish(name, key, b"")
    heard = [method.routing_key for method, _, _ in collect(channel, name, 7, auto_ack=True)]
    assert heard == [key for key in keys if key not in ("quick.brown.fox", "orange", "quick.orange.new.rabbit")]


def test_headers_exchange(channel, name):
    channel.exchange_declare(name, "headers")
    for match in ("all", "any"):
        channel.queue_declare(name + match, exclusive=True)
        channel.queue_bind(name + match, name, "", {"x-match": match, "format": "pdf", "type": "report"})
    channel.basic_publish(name, "", b"both", pika.BasicProperties(headers={"format": "pdf", "type": "report"}))
    channel.basic_publish(name, "", b"one", pika.BasicProperties(headers={"format": "pdf", "type": "log"}))
    assert [body for _, _, body in collect(channel, name + "any", 2, auto_ack=True)] == [b"both", b"one"]
    assert [body for _, _, body in collect(channel, name + "all", 1, auto_ack=True)] == [b"both"]


@pytest.mark.parametrize("direct", [False, True])
def test_rpc(server, amqp, name, direct):
    worker, asker = amqp(server).channel(), amqp(server).channel()
    worker.queue_declare(name, exclusive=True)

    def answer(channel, method, properties, body):
        reply = pika.BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish("", properties.reply_to, b"%d" % (int(body) ** 2), reply)
        channel.basic_ack(method.delivery_tag)

    worker.basic_consume(name, answer)
    answers = []
    reply_to = "amq.rabbitmq.reply-to" if direct else asker.queue_declare("", exclusive=True).method.queue
    asker.basic_consume(reply_to, lambda ch, m, p, b: answers.append((p.correlation_id, b)), auto_ack=True)
    asker.basic_publish("", name, b"12", pika.BasicProperties(reply_to=reply_to, correlation_id="c1"))
    deadline = time.monotonic() + 10
    while not answers and time.monotonic() < deadline:
        worker.connection.process_data_events(0.05)
        asker.connection.process_data_events(0.05)
    assert answers == [("c1", b"144")]


def test_publisher_confirms(channel, name):
    channel.confirm_delivery()
    channel.queue_declare(name, durable=True)
    for number in range(20):
        channel.basic_publish("", name, b"%d" % number, pika.BasicProperties(delivery_mode=2), mandatory=True)
    assert channel.queue_declare(name, passive=True).method.message_count == 20
    with pytest.raises(UnroutableError) as unroutable:
        channel.basic_publish("", name + "-nobody", b"x", mandatory=True)
    returned, = unroutable.value.messages
    assert (returned.method.reply_code, returned.method.reply_text) == (312, "NO_ROUTE")


def test_a_full_queue_that_refuses_is_a_nack(channel, name):
    channel.confirm_delivery()
    channel.queue_declare(name, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    channel.basic_publish("", name, b"1")
    with pytest.raises(NackError):
        channel.basic_publish("", name, b"2")


# -- what is kept


def test_confirmed_messages_survive_kill(own_server, amqp, name):
    channel = amqp(own_server).channel()
    channel.confirm_delivery()
    channel.exchange_declare(name, "topic", durable=True)
    channel.queue_declare(name, durable=True)
    channel.queue_bind(name, name, "a.#")
    for number in range(50):
        channel.basic_publish(name, "a.b", b"%d" % number, pika.BasicProperties(delivery_mode=2, content_type="text/x"))
    own_server.kill()
    own_server.start()
    channel = amqp(own_server).channel()
    heard = collect(channel, name, 50, auto_ack=True)
    assert [int(body) for _, _, body in heard] == list(range(50))
    assert {(m.exchange, m.routing_key, p.content_type) for m, p, _ in heard} == {(name, "a.b", "text/x")}


@pytest.mark.parametrize("size", [0, 1, 131_063, 131_064, 131_065, 1_000_000, 8_000_000])
def test_bodies_of_any_size(channel, name, size):
    channel.queue_declare(name, exclusive=True)
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    channel.basic_publish("", name, body)
    (_, _, heard), = collect(channel, name, 1, auto_ack=True)
    assert heard == body


def test_every_property_and_header_type_comes_back(channel, name):
    channel.queue_declare(name, exclusive=True)
    headers = {"text": "Grüße ☃", "number": -7, "large": 2**40, "truth": True, "none": None,
               "list": [1, "zwei", {"drei": 3}], "table": {"nested": {"deep": "down"}}, "bytes": b"\x00\xff"}
    sent = pika.BasicProperties("text/plain", "utf-8", headers, 2, 5, "corr", "reply", "60000", "id", 1_700_000_000,
                                "type", "guest", "app")
    channel.basic_publish("", name, "Grüße".encode(), sent)
    (_, heard, body), = collect(channel, name, 1, auto_ack=True)
    assert body.decode() == "Grüße"
    for field in ("content_type", "content_encoding", "headers", "delivery_mode", "priority", "correlation_id",
                  "reply_to", "expiration", "message_id", "timestamp", "type", "user_id", "app_id"):
        assert getattr(heard, field) == getattr(sent, field), field


# -- settling


def test_requeued_messages_keep_their_order(channel, name):
    channel.queue_declare(name, exclusive=True)
    for number in range(6):
        channel.basic_publish("", name, b"%d" % number)
    tags = [channel.basic_get(name)[0].delivery_tag for _ in range(4)]
    channel.basic_nack(tags[-1], multiple=True, requeue=True)
    heard = [channel.basic_get(name) for _ in range(6)]
    assert [body for _, _, body in heard] == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert [method.redelivered for method, _, _ in heard] == [True] * 4 + [False] * 2
    assert channel.basic_get(name) == (None, None, None)


def test_prefetch_holds_back(channel, name):
    channel.queue_declare(name, exclusive=True)
    for number in range(5):
        channel.basic_publish("", name, b"%d" % number)
    channel.basic_qos(prefetch_count=2)
    heard = []
    channel.basic_consume(name, lambda ch, m, p, b: heard.append((m.delivery_tag, b)))
    channel.connection.process_data_events(0.3)
    assert [body for _, body in heard] == [b"0", b"1"]
    channel.basic_ack(heard[1][0], multiple=True)
    channel.connection.process_data_events(0.3)
    assert [body for _, body in heard] == [b"0", b"1", b"2", b"3"]


def test_dead_letters_tell_where_they_died(channel, name):
    channel.exchange_declare(name, "fanout")
    channel.queue_declare(name + "-dead", exclusive=True)
    channel.queue_bind(name + "-dead", name)
    channel.queue_declare(name, arguments={"x-dead-letter-exchange": name}, exclusive=True)
    channel.basic_publish("", name, b"poison", pika.BasicProperties(headers={"mine": 1}, expiration="60000"))
    channel.basic_reject(channel.basic_get(name)[0].delivery_tag, requeue=False)
    (method, properties, body), = collect(channel, name + "-dead", 1, auto_ack=True)
    assert (method.exchange, method.routing_key, body) == (name, name, b"poison")
    death, = properties.headers["x-death"]
    assert (death["queue"], death["reason"], death["count"], death["exchange"], death["routing-keys"],
            death["original-expiration"]) == (name, "rejected", 1, "", [name], "60000")
    assert (properties.headers["mine"], properties.headers["x-first-death-reason"], properties.expiration) == (
        1, "rejected", None)


def test_messages_expire_into_the_dead_letter_exchange(channel, name):
    channel.queue_declare(name + "-dead", exclusive=True)
    channel.queue_declare(name, exclusive=True, arguments={
        "x-message-ttl": 50, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": name + "-dead"})
    channel.basic_publish("", name, b"late")
    (_, properties, body), = collect(channel, name + "-dead", 1, auto_ack=True)
    assert (body, properties.headers["x-death"][0]["reason"]) == (b"late", "expired")


def test_transactions(channel, name):
    channel.queue_declare(name, exclusive=True)
    channel.tx_select()
    channel.basic_publish("", name, b"never")
    channel.tx_rollback()
    channel.basic_publish("", name, b"one")
    channel.basic_publish("", name, b"two")
    assert channel.queue_declare(name, passive=True).method.message_count == 0
    channel.tx_commit()
    assert channel.queue_declare(name, passive=True).method.message_count == 2
    method, _, body = channel.basic_get(name)
    channel.basic_ack(method.delivery_tag)
    channel.tx_rollback()
    channel.basic_nack(method.delivery_tag, requeue=True)
    channel.tx_commit()
    assert channel.basic_get(name)[2] == b"one"


def test_a_consumer_is_told_when_its_queue_goes(server, amqp, name):
    channel, other = amqp(server).channel(), amqp(server).channel()
    channel.queue_declare(name)
    gone = []
    channel.add_on_cancel_callback(lambda frame: gone.append(frame.method.consumer_tag))
    tag = channel.basic_consume(name, lambda *_: None)
    other.queue_delete(name)
    deadline = time.monotonic() + 10
    while not gone and time.monotonic() < deadline:
        channel.connection.process_data_events(0.1)
    assert gone == [tag]


# -- errors: code, text, scope

CHANNEL_ERRORS = {
    "passive declaration of nothing": (
        lambda ch, name: ch.queue_declare(name, passive=True), 404, "NOT_FOUND - no queue '{name}' in vhost '/'"),
    "publish to no exchange": (
        lambda ch, name: (ch.basic_publish(name, "", b""), ch.queue_declare("")), 404,
        "NOT_FOUND - no exchange '{name}' in vhost '/'"),
    "declared otherwise": (
        lambda ch, name: (ch.queue_declare(name, exclusive=True), ch.queue_declare(name, exclusive=True, auto_delete=True)),
        406, "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue '{name}' in vhost '/': received 'true' but "
             "current is 'false'"),
    "reserved name": (
        lambda ch, name: ch.queue_declare("amq." + name), 403,
        "ACCESS_REFUSED - queue name 'amq.{name}' contains reserved prefix 'amq.*'"),
    "unknown delivery tag": (
        lambda ch, name: (ch.basic_ack(99), ch.queue_declare("")), 406, "PRECONDITION_FAILED - unknown delivery tag 99"),
    "delete of a queue in use": (
        lambda ch, name: (ch.queue_declare(name, exclusive=True), ch.basic_consume(name, print),
                          ch.queue_delete(name, if_unused=True)),
        406, "PRECONDITION_FAILED - queue '{name}' in vhost '/' in use"),
    "delete of a queue with messages": (
        lambda ch, name: (ch.queue_declare(name, exclusive=True), ch.basic_publish("", name, b""),
                          ch.queue_delete(name, if_empty=True)),
        406, "PRECONDITION_FAILED - queue '{name}' in vhost '/' not empty"),
    "binding of the default exchange": (
        lambda ch, name: (ch.queue_declare(name, exclusive=True), ch.queue_bind(name, "", "k")), 403,
        "ACCESS_REFUSED - operation not permitted on the default exchange"),
    "unknown exchange type": (
        lambda ch, name: ch.exchange_declare(name, "no-such"), 406, "PRECONDITION_FAILED - unknown exchange type 'no-such'"),
}


@pytest.mark.parametrize("what", CHANNEL_ERRORS)
def test_channel_errors_end_the_channel_alone(server, amqp, name, what):
    work, code, text = CHANNEL_ERRORS[what]
    connection = amqp(server)
    other = connection.channel()
    with pytest.raises(ChannelClosedByBroker) as closed:
        work(connection.channel(), name)
    assert (closed.value.reply_code, closed.value.reply_text) == (code, text.format(name=name))
    other.queue_declare("", exclusive=True)  # the connection and its other channels go on


def test_exclusive_queues_are_locked_for_others_and_end_with_their_connection(server, amqp, name):
    owner, other = amqp(server), amqp(server)
    owner.channel().queue_declare(name, exclusive=True)
    with pytest.raises(ChannelClosedByBroker) as closed:
        other.channel().queue_declare(name, passive=True)
    assert closed.value.reply_code == 405 and closed.value.reply_text.startswith("RESOURCE_LOCKED - ")
    owner.close()
    with pytest.raises(ChannelClosedByBroker) as closed:
        other.channel().queue_declare(name, passive=True)
    assert closed.value.reply_code == 404


CONNECTION_ERRORS = {
    "immediate": (lambda ch: ch._impl._send_method(pika.spec.Basic.Publish(immediate=True), (pika.BasicProperties(), b"")),
                  540),
    "flow": (lambda ch: ch.flow(False), 540),
    "prefetch size": (lambda ch: ch.basic_qos(prefetch_size=1), 540),
    "reused tag": (lambda ch: [ch.basic_consume(ch.queue_declare("", exclusive=True).method.queue, print, consumer_tag="t"),
                               ch._impl._send_method(pika.spec.Basic.Consume(consumer_tag="t"))], 530),
    "unknown frame": (lambda ch: ch.connection._impl._output_marshaled_frames([b"\x09\0\0\0\0\0\0\xce"]), 501),
    "no channel": (lambda ch: ch.connection._impl._output_marshaled_frames([b"\x01\x07\0\0\0\0\x04\0\x5a\0\x0a\xce"]), 504),
}


@pytest.mark.parametrize("what", CONNECTION_ERRORS)
def test_connection_errors_end_the_connection(server, amqp, what):
    work, code = CONNECTION_ERRORS[what]
    channel = amqp(server).channel()
    with pytest.raises(ConnectionClosedByBroker) as closed:
        work(channel)
        for _ in range(50):
            channel.connection.process_data_events(0.1)
    assert closed.value.reply_code == code


def test_wrong_passwords_and_vhosts_are_refused(kind, tmp_path):
    server = kind(tmp_path / "server", settings='[[user]]\nname = "ada"\npassword = "lovelace"\n').start()
    try:
        good, wrong = pika.PlainCredentials("ada", "lovelace"), pika.PlainCredentials("ada", "wrong")
        pika.BlockingConnection(parameters(server, credentials=good)).close()
        with pytest.raises(AMQPConnectionError) as refused:
            pika.BlockingConnection(parameters(server, credentials=wrong))
        assert "ACCESS_REFUSED" in repr(refused.value)
        with pytest.raises(AMQPConnectionError) as refused:
            pika.BlockingConnection(parameters(server, credentials=good, virtual_host="nowhere"))
        assert "vhost nowhere not found" in repr(refused.value)
    finally:
        server.close()


def test_the_shared_port_knows_amqp(server, amqp, name):
    host, port = server.http
    connection = pika.BlockingConnection(pika.ConnectionParameters(host, port))
    connection.channel().queue_declare(name, exclusive=True)
    connection.close()


# -- the bridge: amq.topic is the topic tree


def test_mqtt_messages_reach_amqp_queues_with_their_properties(server, amqp, paho, name):
    channel = amqp(server).channel()
    channel.queue_declare(name, exclusive=True)
    channel.queue_bind(name, "amq.topic", f"{name}.*.temperature")
    device = paho(server, version=5, client_id=name)
    device.publish(f"{name}/v1.0/temperature", b"21.5", qos=1, ContentType="text/plain", CorrelationData=b"42",
                   UserProperty=[("unit", "°C")])
    (method, properties, body), = collect(channel, name, 1, auto_ack=True)
    assert (method.exchange, method.routing_key, body) == ("amq.topic", f"{name}.v1%2E0.temperature", b"21.5")
    assert (properties.content_type, properties.correlation_id, properties.delivery_mode, properties.headers) == (
        "text/plain", "42", 2, {"unit": "°C"})


def test_amqp_messages_reach_mqtt_subscribers_with_their_properties(server, channel, paho, name):
    device = paho(server, version=5, client_id=name)
    device.subscribe(f"{name}/#", qos=1)
    channel.basic_publish("amq.topic", f"{name}.command", b"on", pika.BasicProperties(
        content_type="text/plain", correlation_id="7", headers={"a": "b"}, delivery_mode=2))
    message = device.message()
    assert (message.topic, message.payload, message.qos) == (f"{name}/command", b"on", 1)
    assert (message.properties.ContentType, message.properties.CorrelationData) == ("text/plain", b"7")
    assert ("a", "b") in message.properties.UserProperty


def test_an_amqp_worker_answers_an_mqtt_device(server, amqp, paho, name):
    worker = amqp(server).channel()
    worker.queue_declare(name, exclusive=True)
    worker.queue_bind(name, "amq.topic", f"{name}.ask")

    def answer(channel, method, properties, body):
        channel.basic_publish("", properties.reply_to, body.upper(),
                              pika.BasicProperties(correlation_id=properties.correlation_id))

    worker.basic_consume(name, answer, auto_ack=True)
    device = paho(server, version=5, client_id=name)
    device.subscribe(f"{name}/answers/1.0", qos=0)
    device.publish(f"{name}/ask", b"question", qos=1, ResponseTopic=f"{name}/answers/1.0", CorrelationData=b"c9")
    worker.connection.process_data_events(1)
    message = device.message()
    assert (message.topic, message.payload, message.properties.CorrelationData) == (
        f"{name}/answers/1.0", b"QUESTION", b"c9")


# -- many at once


def test_publishers_and_consumers_in_parallel_lose_and_repeat_nothing(server, amqp, name):
    setup = amqp(server).channel()
    setup.queue_declare(name, durable=True)
    heard, lock, done = [], threading.Lock(), threading.Event()

    def produce(number):
        channel = pika.BlockingConnection(parameters(server)).channel()
        channel.confirm_delivery()
        for at in range(100):
            channel.basic_publish("", name, b"%d-%d" % (number, at), pika.BasicProperties(delivery_mode=2))
        channel.connection.close()

    def consume():
        channel = pika.BlockingConnection(parameters(server)).channel()
        channel.basic_qos(prefetch_count=20)
        for method, _, body in channel.consume(name, inactivity_timeout=0.2):
            if method is None:
                if done.is_set():
                    break
                continue
            channel.basic_ack(method.delivery_tag)
            with lock:
                heard.append(body)
                if len(heard) >= 400:
                    done.set()
        channel.cancel()
        channel.connection.close()

    threads = [threading.Thread(target=produce, args=(number,)) for number in range(4)]
    threads += [threading.Thread(target=consume) for _ in range(3)]
    for thread in threads:
        thread.start()
    done.wait(25)
    for thread in threads:
        thread.join(10)
    assert sorted(heard) == sorted(b"%d-%d" % (number, at) for number in range(4) for at in range(100))
    for number in range(4):  # each publisher's messages are handed out in its order; one consumer keeps it
        mine = [int(body.split(b"-")[1]) for body in heard if body.startswith(b"%d-" % number)]
        assert len(mine) == 100
