"""Deliveries and what becomes of them: acknowledgements, prefetch, order, priorities, cancellation."""

from amqp_wire import content, method_frame
from pika import spec

from .bench import scenario
from .declaring import each


def filled(s, count, arguments=None, channel=None, **flags):
    ch = channel or s.channel()
    ch.declare(s(), arguments, **flags)
    for number in range(count):
        ch.publish("", s(), b"%d" % number)
    ch.until(s(), count)
    return ch


@scenario
def get_and_get_empty(s):
    ch = filled(s, 2)
    ch.get(s())
    ch.get(s(), no_ack=True)
    ch.get(s())
    ch.reject(1)
    ch.get(s())
    each(s, lambda ch: ch.get(s("none")))


@scenario
def requeued_messages_go_to_their_places(s):
    ch = filled(s, 6)
    for _ in range(4):
        ch.get(s())
    ch.nack(2)
    ch.reject(3)
    ch.take(s(), 2)
    ch.nack(4, multiple=True)
    ch.take(s(), 4)


@scenario
def requeued_in_any_order(s):
    ch = filled(s, 5)
    for _ in range(5):
        ch.get(s())
    for tag in (4, 1, 5, 2, 3):
        ch.reject(tag)
    ch.take(s(), 5)


@scenario
def a_closed_channel_returns_its_messages(s):
    one = filled(s, 4)
    one.consume(s())
    one.expect(4)
    one.ack(2)
    one.close()
    ch = s.channel()
    ch.until(s(), 3)
    ch.take(s(), 3)


@scenario
def cancel_keeps_what_is_unacknowledged(s):
    ch = filled(s, 2)
    ch.qos(1)
    ch.consume(s())
    ch.expect()
    ch.cancel("tag")
    ch.ack(1)
    ch.get(s())
    ch.cancel("nobody")


@scenario
def recover_with_requeue(s):
    ch = filled(s, 3)
    for _ in range(3):
        ch.get(s())
    ch.ack(2)
    ch.call(spec.Basic.Recover(requeue=True))
    ch.take(s(), 2)
    ch.send(spec.Basic.RecoverAsync(requeue=True))
    ch.sync()


@scenario
def recover_without_requeue(s):
    ch = filled(s, 1)
    ch.get(s())
    ch.call(spec.Basic.Recover(requeue=False))


@scenario
def unknown_delivery_tags(s):
    filled(s, 3)
    connection = s.connect()
    for attempt in (lambda ch: ch.ack(99), lambda ch: ch.nack(99), lambda ch: ch.reject(99),
                    lambda ch: ch.ack(99, multiple=True), lambda ch: (ch.get(s()), ch.ack(1), ch.ack(1)),
                    lambda ch: ch.ack(0), lambda ch: ch.nack(0)):
        ch = connection.channel()
        attempt(ch)
        ch.failed()
    ch = connection.channel()
    ch.ack(0, multiple=True)
    ch.nack(0, multiple=True)
    ch.sync()


@scenario
def acknowledge_all_by_tag_zero(s):
    ch = filled(s, 3)
    for _ in range(3):
        ch.get(s())
    ch.ack(0, multiple=True)
    ch.sync()
    ch.close()
    s.channel().count(s())


@scenario
def consumer_tags(s):
    connection = s.connect()
    ch = filled(s, 0, channel=connection.channel())
    ch.consume(s(), "")
    ch.consume(s(), "mine")
    other = connection.channel()
    other.consume(s(), "mine")
    ch.consume(s(), "mine")


@scenario
def consume_errors(s):
    filled(s, 0)
    one = s.channel()
    one.consume(s(), "one", exclusive=True)
    each(s, lambda ch: ch.consume(s()), lambda ch: ch.consume(s(), exclusive=True), lambda ch: ch.consume(s("none")),
         lambda ch: ch.get(s()))
    one.cancel("one")
    one.consume(s(), "two")
    each(s, lambda ch: ch.consume(s(), exclusive=True), lambda ch: ch.consume(s(), arguments={"x-priority": "high"}),
         lambda ch: ch.consume(s(), arguments={"x-unknown": 1}), lambda ch: ch.consume(s(), arguments={"x-priority": -3}),
         lambda ch: ch.call(spec.Basic.Qos(1, 0, False)))


@scenario
def prefetch_per_consumer(s):
    ch = filled(s, 6)
    ch.qos(2)
    ch.consume(s(), "a")
    ch.expect(2)
    ch.qos(1)
    ch.consume(s(), "b")
    ch.expect(1)
    ch.ack(1)
    ch.expect(1)
    ch.ack(3)
    ch.expect(1)
    ch.quiet()


@scenario
def prefetch_of_a_whole_channel(s):
    ch = filled(s, 6)
    ch.qos(3, everyone=True)
    ch.consume(s(), "a")
    ch.expect(3)
    ch.consume(s(), "b")
    ch.quiet()
    ch.ack(2, multiple=True)
    ch.connection.collect(2)
    ch.quiet()
    ch.qos(0, everyone=True)
    ch.connection.collect(1)
    ch.quiet()


@scenario
def higher_consumers_first(s):
    ch = filled(s, 0)
    ch.qos(2)
    ch.consume(s(), "low", {"x-priority": -1})
    ch.consume(s(), "high", {"x-priority": 10})
    ch.consume(s(), "normal")
    for number in range(6):
        ch.publish("", s(), b"%d" % number)
        ch.expect(1)


@scenario
def messages_of_a_queue_with_priorities(s):
    ch = s.channel()
    ch.declare(s(), {"x-max-priority": 5})
    for number, priority in enumerate([0, 3, 9, 5, None, 1, 255, 3]):
        ch.publish("", s(), b"%d" % number, priority=priority)
    ch.until(s(), 8)
    ch.take(s(), 8)


@scenario
def a_single_active_consumer_hands_over(s):
    ch = filled(s, 0, {"x-single-active-consumer": True})
    other = s.channel()
    ch.qos(1)
    ch.consume(s(), "first")
    other.consume(s(), "second")
    for number in range(3):
        ch.publish("", s(), b"%d" % number)
    ch.expect(1)
    other.quiet()
    ch.count(s())
    ch.cancel("first")
    ch.nack(1)
    others = other.connection.collect(3)
    s.note(f"the second got {sorted(one.body for _, one in others)}")
    each(s, lambda ch: ch.consume(s(), "e", exclusive=True))


@scenario
def consumers_are_told_when_their_queue_goes(s):
    ch = filled(s, 1)
    ch.consume(s(), "a")
    ch.expect(1)
    ch.consume(s(), "b")
    s.channel().call(spec.Queue.Delete(queue=s()))
    ch.expect(2, sort=True)
    ch.ack(1)
    ch.sync()


@scenario
def consumers_without_the_capability_are_not_told(s):
    ch = filled(s, 0, channel=s.connect(capabilities={}).channel())
    ch.consume(s(), "a")
    s.channel().call(spec.Queue.Delete(queue=s()))
    ch.quiet()


@scenario
def own_deletion_is_told_too(s):
    ch = filled(s, 0)
    ch.consume(s(), "a")
    ch.call(spec.Queue.Delete(queue=s()))
    ch.expect(1)


@scenario
def no_local_and_properties(s):
    ch = s.channel()
    ch.declare(s())
    ch.consume(s(), "t", no_local=True, no_ack=True)
    ch.publish("", s(), b"all", content_type="text/plain", content_encoding="utf-8", delivery_mode=2, priority=7,
               correlation_id="c", reply_to="r", expiration="60000", message_id="m", type="t", app_id="a",
               user_id="guest", headers={"n": None, "b": True, "i": -7, "l": 2**40, "s": "ö", "a": [1, "x"], "t": {"k": 1}})
    ch.publish("", s(), b"none")
    ch.expect(2)


@scenario
def access_request_and_flow(s):
    ch = s.channel()
    ch.call(spec.Access.Request())
    ch.call(spec.Channel.Flow(True))
    ch.call(spec.Channel.Flow(False))


def published(ch, queue, count):
    """Publications to go out in one write with what follows them."""
    publish = method_frame(ch.number, spec.Basic.Publish(exchange="", routing_key=queue))
    return b"".join(publish + content(ch.number, None, b"%d" % number) for number in range(count))


@scenario
def published_before_a_cancel(s):
    ch = s.channel()
    ch.declare(s())
    ch.consume(s(), "high", {"x-priority": 1}, no_ack=True)
    ch.consume(s(), "low", no_ack=True)
    ch.connection.send(published(ch, s(), 10), method_frame(ch.number, spec.Basic.Cancel("high")))
    got = [frame.method.consumer_tag if frame.NAME == "Basic.Deliver" else frame.NAME
           for _, frame in ch.connection.collect(11)]
    s.note(f"high: {got.count('high')}, low: {got.count('low')}")


@scenario
def published_before_a_purge_and_a_count(s):
    ch = filled(s, 0)
    ch.consume(s())
    for method in (spec.Queue.Purge(queue=s()), spec.Queue.Declare(queue=s(), passive=True)):
        total = 0
        for _ in range(5):
            ch.connection.send(published(ch, s(), 1), method_frame(ch.number, method))
            total += sum(getattr(frame, "message_count", 0) for _, frame in ch.connection.collect(2))
        s.note(f"{method.NAME}: {total}")


@scenario
def published_before_a_fetch(s):
    ch = filled(s, 0)
    ch.consume(s())
    for _ in range(5):
        ch.connection.send(published(ch, s(), 1), method_frame(ch.number, spec.Basic.Get(queue=s(), no_ack=True)))
        s.note(str(sorted(frame.NAME for _, frame in ch.connection.collect(2))))


@scenario
def a_fetch_beside_the_prefetch_of_a_channel(s):
    ch = filled(s, 8)
    ch.qos(2, everyone=True)
    ch.consume(s())
    ch.expect(2)
    ch.get(s())
    ch.ack(1)
    ch.expect(1)
    ch.ack(2)
    ch.expect(1)


@scenario
def entries_of_streams_are_not_refused(s):
    filled(s, 1, {"x-queue-type": "stream"}, durable=True)
    for refusal in (spec.Basic.Nack(delivery_tag=1), spec.Basic.Reject(delivery_tag=1, requeue=False)):
        ch = s.channel()
        ch.qos(1)
        ch.consume(s(), "tag", {"x-stream-offset": "first"})
        ch.expect(1)
        ch.send(refusal)
        ch.failed()
