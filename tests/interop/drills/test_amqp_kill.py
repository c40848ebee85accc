"""AMQP while the server dies: confirms, transactions, deliveries that were held, messages that wait for their time."""

import signal
import time

import amqp_load
import pika
import pytest
from pika.exceptions import AMQPError

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120),
              pytest.mark.skipif("config.getoption('--server') != 'motet'", reason="Mosquitto speaks no AMQP")]


def test_confirmed_messages_survive_in_order(own_server, request):
    seed, rounds = request.config.getoption("--seed"), request.config.getoption("--rounds")
    writers, found, held = amqp_load.run(own_server, signal.SIGKILL, rounds, seed)
    print(f"seed {seed}, {rounds} rounds, confirmed: {[len(writer.confirmed) for writer in writers]}")
    for writer in writers:
        mine = [number for name, number, _ in found if name == writer.name]
        assert writer.confirmed, "nothing was confirmed: the load did not run"
        lost = set(writer.confirmed) - set(mine)
        assert not lost, f"seed {seed}: {len(lost)} confirmed messages of {writer.name} are lost: {sorted(lost)[:10]}"
        first = list(dict.fromkeys(mine))
        assert first == sorted(first), f"seed {seed}: the order of {writer.name} is broken"
    came_back = [b"%s %d" % (name.encode(), number) for name, number, _ in found[:len(held)]]
    assert came_back == held, "what was held and not acknowledged is back in its place"
    assert all(redelivered for _, _, redelivered in found[:len(held)]), "and is marked as redelivered"


def test_transactions_happen_whole_or_not_at_all(own_server, request):
    """Each transaction publishes to two queues and acknowledges the one before; the server is killed in between."""
    rounds = request.config.getoption("--rounds")
    setup = amqp_load.connect(own_server).channel()
    for queue in ("left", "right"):
        setup.queue_declare(queue, durable=True)
    number, committed = 0, []
    for _ in range(rounds):
        try:
            channel = amqp_load.connect(own_server).channel()
            channel.tx_select()
            for at in range(12):
                for queue in ("left", "right", "left"):
                    channel.basic_publish("", queue, b"tx %d" % number, pika.BasicProperties(delivery_mode=2))
                number += 1
                if at == 11:  # the commit is on its way when the server dies
                    channel._impl._send_method(pika.spec.Tx.Commit())
                    channel.connection._flush_output()
                    break
                channel.tx_commit()
                committed.append(number - 1)
        except AMQPError:
            pass
        own_server.restart(signal.SIGKILL)
    left = [one[1] for one in amqp_load.drain(own_server, "left")]
    right = [one[1] for one in amqp_load.drain(own_server, "right")]
    assert set(committed) <= set(right), "a committed transaction is gone"
    assert left == [one for one in right for _ in range(2)], "a transaction was cut in two"
    assert right == sorted(right)


def test_an_acknowledgement_in_a_transaction_survives_with_what_was_published(own_server):
    channel = amqp_load.connect(own_server).channel()
    for queue in ("in", "out"):
        channel.queue_declare(queue, durable=True)
    channel.confirm_delivery()
    for number in range(4):
        channel.basic_publish("", "in", b"w %d" % number, pika.BasicProperties(delivery_mode=2))
    worker = amqp_load.connect(own_server).channel()
    worker.tx_select()
    for _ in range(2):
        method, _, body = worker.basic_get("in")
        worker.basic_publish("", "out", body, pika.BasicProperties(delivery_mode=2))
        worker.basic_ack(method.delivery_tag)
        worker.tx_commit()
    method, _, body = worker.basic_get("in")  # this one is not committed
    worker.basic_publish("", "out", body, pika.BasicProperties(delivery_mode=2))
    worker.basic_ack(method.delivery_tag)
    own_server.restart(signal.SIGKILL)
    assert [one[1] for one in amqp_load.drain(own_server, "out")] == [0, 1]
    back = amqp_load.drain(own_server, "in")
    assert [number for _, number, _ in back] == [2, 3]
    assert back[0][2], "what a consumer held is marked; after a crash the others may be, too"


def test_delayed_messages_survive_and_fire(own_server):
    channel = amqp_load.connect(own_server).channel()
    channel.exchange_declare("later", "x-delayed-message", durable=True, arguments={"x-delayed-type": "direct"})
    channel.queue_declare("due", durable=True)
    channel.queue_bind("due", "later", "k")
    channel.confirm_delivery()
    begun = time.time()
    for number, delay in enumerate((2000, 1000, 3_600_000)):
        channel.basic_publish("later", "k", b"d %d" % number, pika.BasicProperties(delivery_mode=2, headers={"x-delay": delay}))
    own_server.restart(signal.SIGKILL)
    channel = amqp_load.connect(own_server).channel()
    heard = []
    for method, _, body in channel.consume("due", inactivity_timeout=20, auto_ack=True):
        assert method is not None, f"only {heard} came"
        heard.append((body, time.time() - begun))
        if len(heard) == 2:
            break
    assert [body for body, _ in heard] == [b"d 1", b"d 0"]
    assert heard[0][1] >= 1 and heard[1][1] >= 2, "and not before their time"
