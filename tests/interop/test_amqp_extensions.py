"""AMQP beyond the tutorials: delays, duplicates, shared subscriptions, default types, alarms, requeue at depth, with pika."""

import signal
import time

import motet
import pika
import pytest
from amqp_wire import Wire, content, method_frame
from pika import spec
from pika.exceptions import ChannelClosedByBroker
from test_definitions import EVERYTHING, Api, connect
from test_operating import change, command, eventually

pytestmark = pytest.mark.skipif("config.getoption('--server') != 'motet'", reason="Mosquitto speaks no AMQP")

PERSISTENT = pika.BasicProperties(delivery_mode=2)


def in_ms(delay, **properties):
    return pika.BasicProperties(delivery_mode=2, headers={"x-delay": delay}, **properties)


def listen(channel, queue):
    """What arrives, as a list that grows: (body, headers, seconds since now)."""
    heard, begin = [], time.monotonic()
    channel.basic_consume(queue, lambda _, method, properties, body: heard.append(
        (body, properties.headers, time.monotonic() - begin)), auto_ack=True)
    return heard


def hear(channel, heard, count, seconds=15):
    end = time.monotonic() + seconds
    while len(heard) < count:
        assert time.monotonic() < end, f"{len(heard)} of {count} messages"
        channel.connection.process_data_events(time_limit=0.05)
    return heard


@pytest.fixture
def channel(server):
    connection = connect(server)
    yield connection.channel()
    if connection.is_open:
        connection.close()


def refused(channel, code, text, declare):
    with pytest.raises(ChannelClosedByBroker) as why:
        declare(channel)
    assert (why.value.reply_code, text in why.value.reply_text) == (code, True), why.value


# -- delays


def delayed(channel, name, kind="direct"):
    channel.exchange_declare(name, "x-delayed-message", durable=True, arguments={"x-delayed-type": kind})


def test_bindings_at_the_end_of_the_delay_decide_and_the_header_is_negated(channel, name):
    delayed(channel, name)
    channel.confirm_delivery()
    for body, delay in ((b"slow", 600), (b"quick", 300)):
        # Nobody is bound: a mandatory message is taken all the same.
        channel.basic_publish(name, "k", body, in_ms(delay, content_type="text/plain"), mandatory=True)
    channel.queue_declare(name, exclusive=True)
    channel.queue_bind(name, name, "k")
    heard = hear(channel, listen(channel, name), 2)
    assert [(body, headers) for body, headers, _ in heard] == [(b"quick", {"x-delay": -300}), (b"slow", {"x-delay": -600})]


def test_without_a_delay_a_delayed_exchange_routes_at_once(channel, name):
    delayed(channel, name, "fanout")
    channel.queue_declare(name, exclusive=True)
    channel.queue_bind(name, name)
    heard = listen(channel, name)
    channel.basic_publish(name, "", b"none")
    channel.basic_publish(name, "", b"negative", in_ms(-5))
    assert [headers for _, headers, _ in hear(channel, heard, 2)] == [None, {"x-delay": -5}]


def test_time_to_live_begins_when_the_delay_is_over(channel, name):
    delayed(channel, name)
    channel.queue_declare(name, exclusive=True)
    channel.queue_bind(name, name, "k")
    channel.basic_publish(name, "k", b"x", in_ms(500, expiration="60000"))
    channel.basic_publish(name, "k", b"y", in_ms(600, expiration="60000"))
    assert [body for body, _, _ in hear(channel, listen(channel, name), 2)] == [b"x", b"y"]


def test_a_delay_outlives_the_server(own_server, name):
    channel = connect(own_server).channel()
    delayed(channel, name)
    channel.confirm_delivery()
    channel.queue_declare(name, durable=True)
    channel.queue_bind(name, name, "k")
    for body, delay in ((b"third", 3000), (b"first", 1), (b"second", 2000)):
        channel.basic_publish(name, "k", body, in_ms(delay))
    own_server.restart(signal.SIGKILL)
    channel = connect(own_server).channel()
    heard = hear(channel, listen(channel, name), 3)
    assert [(body, headers["x-delay"]) for body, headers, _ in heard] == [
        (b"first", -1), (b"second", -2000), (b"third", -3000)]


def test_mqtt_hears_what_a_delayed_exchange_sends_to_the_topics(server, channel, paho, name):
    delayed(channel, name, "topic")
    channel.exchange_bind("amq.topic", name, "#")
    listener = paho(server, version=5, client_id=name)
    listener.subscribe(f"{name}/+", 1)
    begin = time.monotonic()
    channel.basic_publish(name, f"{name}.a", b"later", in_ms(400))
    assert listener.message().payload == b"later"
    assert time.monotonic() - begin >= 0.35


def test_where_messages_wait_is_not_seen(server, channel, name):
    delayed(channel, name)
    assert all(not queue["name"].startswith("$delayed") for queue in Api(server).get("/queues"))
    refused(channel, 404, "no queue '$delayed/exchanges'", lambda c: c.queue_declare("$delayed/exchanges", passive=True))


# -- duplicates


def once(identifier, **more):
    return pika.BasicProperties(headers={"x-deduplication-header": identifier, **more})


def waiting(channel, queue):
    return channel.queue_declare(queue, passive=True).method.message_count


def test_an_exchange_lets_each_identifier_through_once(channel, name):
    channel.exchange_declare(name, "x-message-deduplication", arguments={"x-cache-size": 100, "x-cache-ttl": 60_000})
    channel.queue_declare(name, exclusive=True)
    channel.queue_bind(name, name, "ignored")
    channel.confirm_delivery()
    for identifier in ("a", "a", "b", 7, 7):
        channel.basic_publish(name, "", b"x", once(identifier))
    channel.basic_publish(name, "", b"x")
    channel.basic_publish(name, "", b"x", once("short", **{"x-cache-ttl": 1}))
    time.sleep(0.05)
    channel.basic_publish(name, "", b"x", once("short"))
    assert waiting(channel, name) == 6


def test_an_exchange_that_looks_for_duplicates_wants_a_size(server, name):
    text = "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0"
    for arguments in ({}, {"x-cache-size": 0}, {"x-cache-size": "many"}):
        channel = connect(server).channel()
        refused(channel, 406, text, lambda c, a=arguments: c.exchange_declare(name, "x-message-deduplication", arguments=a))


def test_the_exchange_is_listed_as_it_was_declared(server, channel, name):
    channel.exchange_declare(name, "x-message-deduplication", arguments={"x-cache-size": 9, "x-cache-ttl": 8})
    seen = Api(server).get(f"/exchanges/%2F/{name}")
    assert (seen["type"], seen["arguments"]) == ("x-message-deduplication", {"x-cache-size": 9, "x-cache-ttl": 8})


def test_a_queue_takes_an_identifier_again_once_its_message_is_gone(channel, name):
    channel.queue_declare(name, exclusive=True, arguments={"x-message-deduplication": True})
    channel.confirm_delivery()
    for body in (b"1", b"2"):
        channel.basic_publish("", name, body, once("id"))
    assert waiting(channel, name) == 1
    method, _, body = channel.basic_get(name)
    channel.basic_publish("", name, b"while held", once("id"))
    channel.basic_ack(method.delivery_tag)
    assert (body, waiting(channel, name)) == (b"1", 0)
    channel.basic_publish("", name, b"3", once("id"))
    assert waiting(channel, name) == 1


# -- shared subscriptions, default types, users


def test_a_shared_subscription_may_be_declared_before_anybody_joins(server, channel, peer, name):
    group = f"$share/g/{name}/#"
    channel.queue_declare(group, durable=True)
    channel.queue_declare(group, durable=True)
    sender = peer(server)
    sender.connect(name)
    sender.publish(f"{name}/a", "kept", qos=1)
    assert waiting(channel, group) == 1
    member = peer(server)
    member.connect(name + "m")
    assert member.subscribe(group, qos=1) == [1]
    assert member.message().payload == b"kept"
    heard = listen(channel, group)
    for number in range(10):
        sender.publish(f"{name}/b", str(number), qos=1)
    hear(channel, heard, 5)
    channel.queue_delete(group)


def test_a_shared_subscription_that_is_consumed_hears_and_ends_with_its_consumer(server, channel, peer, name):
    group = f"$share/g/{name}"
    heard = listen(channel, group)
    sender = peer(server)
    sender.connect(name)
    sender.publish(name, "x", qos=1)
    assert hear(channel, heard, 1)[0][0] == b"x"
    channel.cancel()
    for tag in list(channel.consumer_tags):
        channel.basic_cancel(tag)
    refused(channel, 404, "no queue", lambda c: c.queue_declare(group, passive=True))


def test_a_vhosts_default_type_is_that_of_declarations_without_one(own_server):
    api = Api(own_server)
    api.put("/vhosts/v", {"default_queue_type": "quorum"})
    api.put("/permissions/v/guest", EVERYTHING)
    channel = connect(own_server, "v").channel()
    channel.queue_declare("q", durable=True)
    channel.queue_declare("q", durable=True)
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_declare("mine", exclusive=True)
    channel.queue_declare("passing", auto_delete=True)
    api.put("/queues/v/other", {"durable": True})
    assert {queue["name"]: queue["type"] for queue in api.get("/queues/v")} == {
        "q": "quorum", "other": "quorum", "mine": "classic", "passing": "classic"}
    assert api.get("/queues/v/q")["arguments"] == {"x-queue-type": "quorum"}
    refused(channel, 406, "inequivalent arg 'x-queue-type' for queue 'q' in vhost 'v': received 'classic' but current is 'quorum'",
            lambda c: c.queue_declare("q", durable=True, arguments={"x-queue-type": "classic"}))


def test_a_new_password_over_the_api_leaves_connections_alone(own_server):
    api = Api(own_server)
    api.put("/users/ann", {"password": "old", "tags": ""})
    api.put("/permissions/%2F/ann", EVERYTHING)
    connection = connect(own_server, user="ann", password="old")
    channel = connection.channel()
    api.put("/users/ann", {"password": "new", "tags": ""})
    assert channel.queue_declare("", exclusive=True).method.queue
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        connect(own_server, user="ann", password="old")
    connect(own_server, user="ann", password="new").close()
    assert channel.queue_declare("", exclusive=True).method.queue
    api.delete("/users/ann")
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as why:
        eventually(lambda: connection.process_data_events(time_limit=0.1))
    assert (why.value.reply_code, why.value.reply_text) == (320, "CONNECTION_FORCED - user 'ann' is deleted")


# -- alarms, sizes, depth


def test_an_alarm_is_told_to_who_has_published_and_seen_of_all(tmp_path):
    server = motet.Motet(tmp_path / "server", settings='[limits]\ndisk_free_min = "1B"').start()
    try:
        api, said = Api(server), []
        publisher, listener = connect(server), connect(server)
        publisher.add_on_connection_blocked_callback(lambda _, frame: said.append(frame.method.reason))
        publisher.add_on_connection_unblocked_callback(lambda *_: said.append("go on"))
        publisher.channel().basic_publish("", "nobody", b"x")
        newcomer = listener.channel()
        states = lambda: sorted(connection["state"] for connection in api.get("/connections"))  # noqa: E731
        assert states() == ["running", "running"]
        change(server, '"1B"', '"16TiB"')
        assert command(server, "reload").returncode == 0
        # Nothing is published: the alarm alone is told.
        eventually(lambda: publisher.process_data_events(time_limit=0.1) or said)
        assert said == ["low on disk"]
        assert states() == ["blocked", "blocking"]
        late = []
        listener.add_on_connection_blocked_callback(lambda *_: late.append(True))
        newcomer.basic_publish("", "nobody", b"x")
        eventually(lambda: listener.process_data_events(time_limit=0.1) or late)
        assert states() == ["blocked", "blocked"]
        change(server, '"16TiB"', '"1B"')
        assert command(server, "reload").returncode == 0
        eventually(lambda: publisher.process_data_events(time_limit=0.1) or len(said) == 2)
        assert said[1] == "go on"
        eventually(lambda: states() == ["running", "running"])
    finally:
        server.close()


def test_a_message_may_be_as_large_as_with_rabbitmq_and_no_larger(server, channel, name):
    channel.queue_declare(name, exclusive=True)
    body = bytes(range(256)) * (20 << 12)  # 20 MiB
    channel.basic_publish("", name, body, PERSISTENT)
    assert channel.basic_get(name, auto_ack=True)[2] == body
    wire = Wire(server.amqp)
    wire.open()
    wire.send(method_frame(1, spec.Channel.Open()))
    wire.receive()
    size = (128 << 20) + 1
    wire.send(method_frame(1, spec.Basic.Publish(routing_key=name)), content(1, announced=size))
    close = wire.receive()[1]
    text = f"PRECONDITION_FAILED - message size {size} is larger than configured max size 134217728"
    assert (close.NAME, close.reply_code, close.reply_text) == ("Channel.Close", 406, text)


def test_a_closed_channel_gives_back_at_their_places_what_is_on_disk_by_now(server, name):
    count, held = 12_000, 10_000  # a queue keeps some four thousand in memory
    wire = Wire(server.amqp, 60)
    wire.open()
    for number in (1, 2):
        wire.send(method_frame(number, spec.Channel.Open()))
        wire.receive()
    wire.send(method_frame(1, spec.Queue.Declare(queue=name, durable=True)), method_frame(1, spec.Confirm.Select()))
    assert [wire.receive()[1].NAME for _ in range(2)] == ["Queue.DeclareOk", "Confirm.SelectOk"]
    publish = method_frame(1, spec.Basic.Publish(routing_key=name))
    confirmed = 0
    for first in range(0, count, 4_000):
        wire.send(*(publish + content(1, PERSISTENT, b"%d" % n) for n in range(first, first + 4_000)))
        while confirmed < first + 4_000:
            confirmed = wire.receive()[1].delivery_tag
    for tag in ("a", "b"):
        wire.send(method_frame(2, spec.Basic.Qos(prefetch_count=held // 2)),
                  method_frame(2, spec.Basic.Consume(queue=name, consumer_tag=tag)))
    heard = sum(wire.receive()[1].NAME == "Basic.Deliver" for _ in range(held + 4))
    assert heard == held
    wire.send(method_frame(2, spec.Channel.Close(0, "", 0, 0)))
    begin = time.monotonic()
    assert wire.receive()[1].NAME == "Channel.CloseOk"
    wire.send(method_frame(1, spec.Queue.Declare(queue=name, passive=True)))
    assert wire.receive()[1].message_count == count
    assert time.monotonic() - begin < 10, "it takes milliseconds"
    wire.send(method_frame(1, spec.Basic.Consume(queue=name, consumer_tag="c", no_ack=True)))
    assert wire.receive()[1].NAME == "Basic.ConsumeOk"
    for number in range(held + 10):
        found = wire.receive()[1]
        assert (int(found.body), found.method.redelivered) == (number, number < held)
    wire.close()
