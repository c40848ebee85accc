"""How messages leave a queue without having been consumed: time, length, rejection, delivery limits."""

import time

from amqp_wire import content, method_frame
from pika import spec

from .bench import scenario


def with_grave(s, arguments, **flags):
    """A queue whose dead go to `s('dead')`."""
    ch = s.channel()
    ch.exchange(s("dlx"), "fanout")
    ch.declare(s("dead"))
    ch.bind(s("dead"), s("dlx"))
    ch.declare(s(), {"x-dead-letter-exchange": s("dlx"), **arguments}, **flags)
    return ch


@scenario
def rejected_messages_die(s):
    ch = with_grave(s, {})
    ch.publish("", s(), b"1", headers={"mine": 1}, expiration="60000", content_type="text/x", delivery_mode=2)
    ch.publish("", s(), b"2")
    ch.until(s(), 2)
    ch.get(s())
    ch.reject(1, requeue=False)
    ch.take(s("dead"))
    ch.get(s())
    ch.nack(2, requeue=False)
    ch.take(s("dead"))


@scenario
def expired_messages_die(s):
    ch = with_grave(s, {"x-message-ttl": 40})
    ch.publish("", s(), b"by the queue")
    ch.publish("", s(), b"by itself", expiration="5")
    ch.take(s("dead"), 2)


@scenario
def expiry_happens_at_the_head(s):
    ch = with_grave(s, {})
    ch.publish("", s(), b"long", expiration="60000")
    ch.publish("", s(), b"short", expiration="1")
    ch.quiet()
    ch.count(s())
    ch.take(s())
    ch.take(s("dead"))


@scenario
def expiration_zero(s):
    ch = s.channel()
    ch.declare(s())
    ch.publish("", s(), b"now", expiration="0")
    ch.until(s(), 0)
    ch.consume(s(), no_ack=True)
    ch.publish("", s(), b"to a waiting consumer", expiration="0")
    ch.expect(1)


@scenario
def unused_queues_expire(s):
    ch = s.channel()
    ch.declare(s(), {"x-expires": 60})
    ch.consume(s(), "tag")
    ch.quiet(0.2)
    ch.count(s())
    ch.cancel("tag")
    ch.quiet(1.0)
    ch.count(s())


@scenario
def full_queues_drop_their_head(s):
    ch = with_grave(s, {"x-max-length": 2})
    ch.confirms()
    for number in range(4):
        ch.publish("", s(), b"%d" % number)
    ch.confirmed(4)
    ch.take(s("dead"), 2)
    ch.until(s(), 2)
    ch.take(s(), 2)


@scenario
def full_queues_by_bytes(s):
    ch = with_grave(s, {"x-max-length-bytes": 10})
    ch.publish("", s(), b"12345")
    ch.publish("", s(), b"67890")
    ch.publish("", s(), b"a")
    ch.publish("", s(), b"far too long for it")
    ch.take(s("dead"), 4)
    ch.until(s(), 0)


@scenario
def full_queues_that_reject(s):
    ch = with_grave(s, {"x-max-length": 1, "x-overflow": "reject-publish"})
    ch.confirms()
    for number in range(3):
        ch.publish("", s(), b"%d" % number)
    ch.confirmed(3)
    ch.until(s(), 1)
    ch.until(s("dead"), 0)
    ch.take(s())


@scenario
def publications_of_one_write_are_refused_one_by_one(s):
    ch = with_grave(s, {"x-max-length": 3, "x-overflow": "reject-publish"})
    ch.confirms()
    publish = method_frame(ch.number, spec.Basic.Publish(exchange="", routing_key=s()))
    ch.connection.send(b"".join(publish + content(ch.number, body=b"%d" % number) for number in range(6)))
    ch.confirmed(6)
    ch.until(s(), 3)
    ch.take(s(), 3)


@scenario
def full_queues_that_reject_and_bury(s):
    ch = with_grave(s, {"x-max-length": 1, "x-overflow": "reject-publish-dlx"})
    ch.confirms()
    for number in range(3):
        ch.publish("", s(), b"%d" % number)
    ch.confirmed(3)
    ch.take(s("dead"), 2)
    ch.take(s())


@scenario
def a_queue_of_length_zero(s):
    ch = with_grave(s, {"x-max-length": 0})
    ch.publish("", s(), b"1")
    ch.take(s("dead"))
    ch.consume(s(), no_ack=True)
    ch.publish("", s(), b"2")
    ch.expect(1)


@scenario
def one_queue_that_rejects_is_enough(s):
    ch = s.channel()
    ch.declare(s("full"), {"x-max-length": 0, "x-overflow": "reject-publish"})
    ch.declare(s("free"))
    ch.exchange(s("x"), "fanout")
    ch.bind(s("full"), s("x"))
    ch.bind(s("free"), s("x"))
    ch.confirms()
    ch.publish(s("x"), "", b"1")
    ch.confirmed(1)
    ch.until(s("free"), 1)


@scenario
def dead_letters_with_a_key(s):
    ch = s.channel()
    ch.declare(s("dead"))
    ch.declare(s(), {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": s("dead"), "x-message-ttl": 1})
    ch.publish("amq.direct", s("not bound"), b"lost")
    ch.publish("", s(), b"1", headers={"CC": [s("copy")], "BCC": [s("blind")]})
    ch.take(s("dead"))
    ch.declare(s("keys"), {"x-dead-letter-exchange": s("x"), "x-message-ttl": 1})
    ch.exchange(s("x"), "direct")
    ch.declare(s("all"))
    for key in ("keys", "copy"):
        ch.bind(s("all"), s("x"), s(key))
    ch.publish("", s("keys"), b"2", headers={"CC": [s("copy")]})
    ch.take(s("all"))


@scenario
def no_grave_no_letter(s):
    ch = s.channel()
    ch.declare(s(), {"x-dead-letter-exchange": s("not there"), "x-message-ttl": 1})
    ch.publish("", s(), b"gone")
    ch.until(s(), 0)


@scenario
def dead_letter_cycles(s):
    ch = s.channel()
    ch.declare(s("a"), {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": s("b"), "x-message-ttl": 1})
    ch.declare(s("b"), {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": s("a"), "x-message-ttl": 30})
    ch.publish("", s("a"), b"only by time: ends")
    ch.quiet(0.3)
    ch.until(s("b"), 0)
    ch.until(s("a"), 0)


@scenario
def rejection_breaks_a_cycle(s):
    ch = s.channel()
    ch.declare(s("work"), {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": s("wait")})
    ch.declare(s("wait"), {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": s("work"), "x-message-ttl": 20})
    ch.publish("", s("work"), b"again and again", headers={"a": 1})
    ch.consume(s("work"), "w")
    for tag in range(1, 4):
        ch.expect(1)
        ch.reject(tag, requeue=False)
    ch.expect(1)


@scenario
def two_graves_tell_both_deaths(s):
    ch = s.channel()
    ch.declare(s("three"))
    ch.declare(s("two"), {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": s("three"), "x-max-length": 0})
    ch.declare(s("one"), {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": s("two"), "x-message-ttl": 1})
    ch.publish("amq.fanout", "lost", b"")
    ch.publish("", s("one"), b"x", expiration="1", delivery_mode=2)
    ch.take(s("three"))


@scenario
def headers_of_death_from_outside(s):
    ch = with_grave(s, {"x-max-length": 0})
    ch.publish("", s(), b"forged", headers={"x-death": [{"queue": "q", "reason": "expired", "count": 7, "exchange": "e",
                                                         "routing-keys": ["k"]}], "x-first-death-queue": "q",
                                            "x-first-death-reason": "expired", "x-first-death-exchange": "e"})
    ch.take(s("dead"))
    ch.publish("", s(), b"not a list", headers={"x-death": "nonsense"})
    ch.take(s("dead"))


@scenario
def priorities_drop_from_the_lowest(s):
    ch = with_grave(s, {"x-max-length": 2, "x-max-priority": 3})
    for number, priority in enumerate((1, 3, 2, 0)):
        ch.publish("", s(), b"%d" % number, priority=priority)
    ch.take(s("dead"), 2)
    ch.take(s(), 2)


QUORUM = {"x-queue-type": "quorum"}


@scenario
def quorum_queues_limit_deliveries(s):
    ch = with_grave(s, {**QUORUM, "x-delivery-limit": 2}, durable=True)
    ch.publish("", s(), b"poison", headers={"mine": 1})
    ch.consume(s())
    for tag in range(1, 4):
        ch.expect(1)
        ch.nack(tag)
    ch.take(s("dead"))


@scenario
def quorum_queues_count_deliveries(s):
    ch = s.channel()
    ch.declare(s(), {**QUORUM, "x-delivery-limit": 10}, durable=True)
    ch.publish("", s(), b"1")
    ch.until(s(), 1)
    ch.get(s())
    ch.reject(1)
    ch.until(s(), 1)
    ch.get(s())
    ch.nack(2)
    ch.until(s(), 1)
    ch.close()
    other = s.channel()
    other.consume(s())
    other.expect(1)
    other.close()
    last = s.channel()
    last.take(s())


@scenario
def quorum_queues_requeue(s):
    ch = s.channel()
    ch.declare(s(), {**QUORUM, "x-delivery-limit": 10}, durable=True)
    for number in range(4):
        ch.publish("", s(), b"%d" % number)
    ch.until(s(), 4)
    ch.consume(s())
    ch.expect(4)
    ch.cancel("tag")
    ch.ack(1)
    ch.nack(3, multiple=True)
    ch.until(s(), 2)
    ch.take(s(), 2)


@scenario
def quorum_queues_and_global_prefetch(s):
    ch = s.channel()
    ch.declare(s(), QUORUM, durable=True)
    ch.qos(5, everyone=True)
    ch.consume(s())


@scenario
def streams(s):
    ch = s.channel()
    ch.declare(s(), {"x-queue-type": "stream"}, durable=True)
    ch.confirms()
    for number in range(5):
        ch.publish("", s(), b"%d" % number)
    ch.confirmed(5)
    for offset in ("first", 3):
        one = s.channel()
        one.qos(2)
        one.consume(s(), "t", {"x-stream-offset": offset})
        one.expect(2)
        one.connection.finish()
    following = s.channel()
    following.qos(10)
    following.consume(s(), "t", {"x-stream-offset": "next"})
    ch.publish("", s(), b"5")
    following.expect(1)
    for attempt in (lambda one: one.get(s()), lambda one: one.consume(s(), "u"),
                    lambda one: (one.qos(5), one.consume(s(), "u", no_ack=True)),
                    lambda one: (one.qos(5), one.consume(s(), "u", {"x-stream-offset": "middle"})),
                    lambda one: (one.qos(5), one.consume(s(), "u", {"x-stream-offset": True})),
                    lambda one: one.call(spec.Queue.Purge(queue=s())),
                    lambda one: (one.qos(5), one.consume(s(), "u", exclusive=True)),
                    lambda one: (one.qos(5, everyone=True), one.consume(s(), "u"))):
        other = s.channel()
        attempt(other)
        other.connection.finish()
    s.channel().call(spec.Queue.Delete(queue=s()))


@scenario
def requeued_messages_push_the_head_out(s):
    for suffix, arguments in (("drop", {}), ("reject", {"x-overflow": "reject-publish"})):
        ch = s.channel()
        ch.declare(s(f"dead-{suffix}"))
        ch.declare(s(suffix), {"x-max-length": 2, "x-dead-letter-exchange": "",
                               "x-dead-letter-routing-key": s(f"dead-{suffix}"), **arguments})
        for number in range(4):
            ch.publish("", s(suffix), b"%d" % number)
            if number == 1:
                ch.until(s(suffix), 2)
                ch.get(s(suffix))
                ch.get(s(suffix))
        ch.until(s(suffix), 2)
        ch.nack(2, True)
        ch.sync()
        time.sleep(0.2)
        ch.count(s(suffix))
        ch.count(s(f"dead-{suffix}"))


@scenario
def headers_of_death_choose_a_queue(s):
    ch = s.channel()
    ch.exchange(s("hx"), "headers")
    wanted = {"a": {"x-match": "all-with-x", "x-first-death-reason": "expired"},
              "b": {"x-match": "any-with-x", "x-first-death-queue": s("work"), "q": 1},
              "c": {"x-match": "all", "k": "v"},
              "d": {"x-match": "all-with-x", "x-first-death-reason": "rejected"},
              "e": {"x-match": "all-with-x", "x-death": None}}
    for queue, arguments in wanted.items():
        ch.declare(s(queue))
        ch.bind(s(queue), s("hx"), "", arguments)
    ch.declare(s("work"), {"x-dead-letter-exchange": s("hx"), "x-message-ttl": 1})
    ch.publish("", s("work"), b"1", headers={"k": "v"})
    ch.until(s("e"), 1)
    time.sleep(0.1)
    for queue in wanted:
        ch.count(s(queue))
