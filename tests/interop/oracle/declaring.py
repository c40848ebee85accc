"""Declarations, deletions and bindings: counts, differences, reserved names, what is not there."""

from pika import spec

from .bench import scenario


def each(bench, *attempts):
    """Each attempt on a channel of its own, as each may end it."""
    connection = bench.connect()
    for attempt in attempts:
        if connection.over:
            connection = bench.connect()
        attempt(connection.channel())


@scenario
def counts_in_answers(s):
    ch = s.channel()
    ch.declare(s())
    for number in range(3):
        ch.publish("", s(), b"%d" % number)
    ch.until(s(), 3)
    ch.get(s())
    ch.count(s())
    ch.consume(s(), "one", no_ack=True)
    ch.expect(2)
    ch.count(s())
    ch.call(spec.Queue.Purge(queue=s()))
    ch.cancel("one")
    ch.publish("", s(), b"x")
    ch.publish("", s(), b"y")
    ch.until(s(), 2)
    ch.call(spec.Queue.Purge(queue=s()))
    ch.publish("", s(), b"z")
    ch.until(s(), 1)
    ch.call(spec.Queue.Delete(queue=s()))


@scenario
def delete_counts_ready_messages(s):
    ch = s.channel()
    ch.declare(s())
    for number in range(3):
        ch.publish("", s(), b"%d" % number)
    ch.until(s(), 3)
    ch.get(s())
    ch.call(spec.Queue.Delete(queue=s()))
    ch.call(spec.Queue.Delete(queue=s()))
    ch.ack(1)
    ch.sync()


@scenario
def passive_declarations(s):
    each(s, lambda ch: ch.declare(s("no"), passive=True), lambda ch: ch.exchange(s("no"), passive=True),
         lambda ch: ch.declare("amq.no", passive=True), lambda ch: ch.exchange("amq.no", passive=True),
         lambda ch: ch.declare("", passive=True), lambda ch: ch.exchange("", passive=True),
         lambda ch: (ch.exchange(s(), "topic"), ch.exchange(s(), "fanout", passive=True)),
         lambda ch: ch.exchange("amq.direct", passive=True),
         lambda ch: (ch.declare(s(), durable=True), ch.declare(s(), passive=True, exclusive=True, arguments={"x-expires": 9})),
         lambda ch: (ch.declare(s("e"), exclusive=True), ch.declare("", passive=True)))


@scenario
def reserved_names(s):
    each(s, lambda ch: ch.declare("amq." + s()), lambda ch: ch.exchange("amq." + s()), lambda ch: ch.exchange(""),
         lambda ch: ch.call(spec.Exchange.Delete(exchange="amq.topic")),
         lambda ch: ch.call(spec.Exchange.Delete(exchange="amq.nothing")),
         lambda ch: ch.call(spec.Exchange.Delete(exchange="")),
         lambda ch: ch.call(spec.Exchange.Delete(exchange=s("nothing"))),
         lambda ch: ch.call(spec.Queue.Delete(queue="amq.nothing")),
         lambda ch: ch.exchange("amq.direct", "direct", durable=True),
         lambda ch: ch.exchange("amq.direct", "fanout", durable=True))


@scenario
def queues_declared_otherwise(s):
    each(s, lambda ch: ch.declare(s("d")), lambda ch: ch.declare(s("d"), durable=True),
         lambda ch: ch.declare(s("d"), auto_delete=True), lambda ch: ch.declare(s("d"), exclusive=True),
         lambda ch: ch.declare(s("d")),
         lambda ch: ch.declare(s("e"), exclusive=True), lambda ch: ch.declare(s("e")),
         lambda ch: ch.declare(s("e"), exclusive=True, durable=True))


@scenario
def arguments_declared_otherwise(s):
    cases = {"x-message-ttl": (1000, 2000), "x-expires": (60_000, 70_000), "x-max-length": (5, 6),
             "x-max-length-bytes": (500, 600), "x-max-priority": (5, 6), "x-dead-letter-exchange": ("one", "two"),
             "x-dead-letter-routing-key": ("one", "two"), "x-overflow": ("drop-head", "reject-publish"),
             "x-queue-mode": ("lazy", "default"), "x-single-active-consumer": (True, False),
             "x-queue-type": ("classic", "quorum"), "x-unknown": (1, 2)}

    def attempt(name, one, other):
        base = {"x-dead-letter-exchange": "dlx"} if name == "x-dead-letter-routing-key" else {}
        return [lambda ch: ch.declare(s(name), durable=True, arguments={**base, name: one}),
                lambda ch: ch.declare(s(name), durable=True, arguments={**base, name: other}),
                lambda ch: ch.declare(s(name), durable=True, arguments=base),
                lambda ch: ch.declare(s(name + "-none"), durable=True, arguments=base),
                lambda ch: ch.declare(s(name + "-none"), durable=True, arguments={**base, name: one})]

    each(s, *(step for name, (one, other) in cases.items() for step in attempt(name, one, other)))


@scenario
def arguments_that_make_no_sense(s):
    cases = [("x-message-ttl", -1), ("x-message-ttl", "soon"), ("x-message-ttl", 2**40), ("x-message-ttl", 0),
             ("x-expires", 0), ("x-expires", -1), ("x-expires", "x"), ("x-expires", 2**40), ("x-max-length", -1), ("x-max-length", "x"),
             ("x-max-length-bytes", -5), ("x-max-priority", -1), ("x-max-priority", 256), ("x-max-priority", "x"),
             ("x-dead-letter-exchange", 5), ("x-dead-letter-routing-key", "without"), ("x-overflow", "burst"),
             ("x-overflow", 1), ("x-queue-mode", "fast"), ("x-queue-mode", 1), ("x-queue-type", "heap"), ("x-queue-type", 1),
             ("x-single-active-consumer", "yes"), ("x-unknown", [1, {"a": 2}]), ("x-max-age", "7D"),
             ("x-delivery-limit", 3), ("x-message-ttl", True), ("x-max-in-memory-length", "a"), ("x-queue-version", 1),
             ("x-queue-master-locator", "min-masters"), ("x-queue-master-locator", "nowhere")]
    each(s, *(lambda ch, i=i, name=name, value=value: ch.declare(s(str(i)), durable=True, arguments={name: value})
              for i, (name, value) in enumerate(cases)))
    each(s, lambda ch: ch.declare(s("key"), arguments={"x-dead-letter-exchange": "a", "x-dead-letter-routing-key": 5}))


@scenario
def types_of_queues(s):
    def of(kind, flags, **arguments):
        name = s("-".join([kind, *sorted(flags), *(f"{key}-{value}" for key, value in arguments.items())]))
        return lambda ch: ch.declare(name, arguments={"x-queue-type": kind, **{
            "x-" + key.replace("_", "-"): value for key, value in arguments.items()}}, **flags)

    durable = {"durable": True}
    each(s, of("quorum", durable), of("quorum", {}), of("quorum", {"durable": True, "exclusive": True}),
         of("quorum", {"durable": True, "auto_delete": True}), of("stream", durable), of("stream", {}),
         of("stream", {"durable": True, "exclusive": True}), of("stream", {"durable": True, "auto_delete": True}),
         of("quorum", durable, max_priority=5), of("quorum", durable, queue_mode="lazy"),
         of("quorum", durable, overflow="reject-publish-dlx"), of("quorum", durable, delivery_limit=-5),
         of("quorum", durable, delivery_limit="x"), of("quorum", durable, message_ttl=1000),
         of("quorum", durable, max_age="1h"), of("classic", durable, max_age="1h"),
         of("stream", durable, max_age="1h"), of("stream", durable, max_age=5), of("stream", durable, expires=1000),
         of("stream", durable, max_length_bytes=5000), of("stream", durable, max_length=5),
         of("stream", durable, message_ttl=1000), of("stream", durable, dead_letter_exchange="x"),
         of("stream", durable, single_active_consumer=True), of("classic", durable, delivery_limit=5))
    each(s, lambda ch: ch.declare(s("swap"), durable=True),
         lambda ch: ch.declare(s("swap"), durable=True, arguments={"x-queue-type": "quorum"}),
         lambda ch: ch.declare(s("swap"), durable=True, arguments={"x-queue-type": "classic"}),
         lambda ch: ch.declare(s("swaq"), durable=True, arguments={"x-queue-type": "quorum"}),
         lambda ch: ch.declare(s("swaq"), durable=True))


@scenario
def exchanges_declared_otherwise(s):
    each(s, lambda ch: ch.exchange(s("x"), "direct"), lambda ch: ch.exchange(s("x"), "fanout"),
         lambda ch: ch.exchange(s("x"), "direct", durable=True), lambda ch: ch.exchange(s("x"), "direct", auto_delete=True),
         lambda ch: ch.exchange(s("x"), "direct", internal=True),
         lambda ch: ch.exchange(s("x"), "direct", arguments={"alternate-exchange": "ae"}),
         lambda ch: ch.exchange(s("y"), "direct", arguments={"alternate-exchange": "ae"}),
         lambda ch: ch.exchange(s("y"), "direct", arguments={"alternate-exchange": "ea"}),
         lambda ch: ch.exchange(s("y"), "direct"),
         lambda ch: ch.exchange(s("x"), "direct", arguments={"x-unheard-of": 1}),
         lambda ch: ch.exchange(s("z"), "direct", arguments={"alternate-exchange": 5}))


@scenario
def unknown_types_of_exchanges(s):
    each(s, lambda ch: ch.exchange(s("u"), "nonsense"), lambda ch: ch.exchange(s("v"), ""),
         lambda ch: ch.exchange(s("w"), "x-unheard-of"))


@scenario
def exclusive_queues_are_locked(s):
    s.channel().declare(s(), exclusive=True)
    each(s, lambda ch: ch.declare(s()), lambda ch: ch.declare(s(), passive=True), lambda ch: ch.declare(s(), exclusive=True),
         lambda ch: ch.get(s()), lambda ch: ch.consume(s()), lambda ch: ch.bind(s(), "amq.direct"),
         lambda ch: ch.call(spec.Queue.Unbind(queue=s(), exchange="amq.direct")),
         lambda ch: ch.call(spec.Queue.Purge(queue=s())), lambda ch: ch.call(spec.Queue.Delete(queue=s())))


@scenario
def exclusive_queues_end_with_their_connection(s):
    one = s.channel()
    one.declare(s(), exclusive=True, durable=True)
    one.connection.finish()
    s.channel().declare(s())


@scenario
def deletions_with_conditions(s):
    connection = s.connect()
    ch = connection.channel()
    ch.declare(s())
    ch.publish("", s(), b"1")
    ch.until(s(), 1)
    each(s, lambda ch: ch.call(spec.Queue.Delete(queue=s(), if_empty=True)))
    ch.consume(s(), no_ack=True)
    ch.expect()
    each(s, lambda ch: ch.call(spec.Queue.Delete(queue=s(), if_unused=True)),
         lambda ch: ch.call(spec.Queue.Delete(queue=s(), if_unused=True, if_empty=True)))
    ch.exchange(s("x"))
    ch.bind(s(), s("x"), "k")
    each(s, lambda ch: ch.call(spec.Exchange.Delete(exchange=s("x"), if_unused=True)))
    ch.call(spec.Queue.Delete(queue=s()))
    ch.expect()
    ch.call(spec.Exchange.Delete(exchange=s("x"), if_unused=True))


@scenario
def auto_delete(s):
    ch = s.channel()
    ch.exchange(s("x"), auto_delete=True)
    ch.declare(s("q"), auto_delete=True)
    ch.count(s("q"))
    ch.bind(s("q"), s("x"), "a")
    ch.bind(s("q"), s("x"), "b")
    ch.call(spec.Queue.Unbind(queue=s("q"), exchange=s("x"), routing_key="a"))
    ch.exchange(s("x"), passive=True)
    ch.consume(s("q"), "one")
    ch.consume(s("q"), "two")
    ch.cancel("one")
    ch.count(s("q"))
    ch.cancel("two")
    each(s, lambda ch: ch.count(s("q")), lambda ch: ch.exchange(s("x"), passive=True))


@scenario
def server_named_queues(s):
    ch = s.channel()
    first = ch.declare("", exclusive=True)
    second = ch.declare("", exclusive=True)
    s.note(f"different: {first.queue != second.queue}")
    ch.bind("", "amq.direct", "")
    ch.publish("amq.direct", second.queue, b"by the name of the queue")
    ch.take("")
    ch.declare("", exclusive=True)
    ch.bind("", "amq.direct", s("key"))
    ch.publish("amq.direct", s("key"), b"by a key")
    ch.take("")
    ch.call(spec.Queue.Purge(queue=""))
    ch.call(spec.Queue.Delete(queue=""))
    each(s, lambda ch: ch.bind("", "amq.direct", "k"), lambda ch: ch.get(""), lambda ch: ch.consume(""),
         lambda ch: ch.call(spec.Queue.Purge(queue="")), lambda ch: ch.call(spec.Queue.Delete(queue="")))


@scenario
def bindings_to_what_is_not_there(s):
    s.channel().declare(s("q"))
    each(s, lambda ch: ch.bind(s("q"), s("none"), "k"), lambda ch: ch.bind(s("none"), "amq.direct", "k"),
         lambda ch: ch.bind(s("none"), s("none"), "k"), lambda ch: ch.bind(s("q"), "", "k"),
         lambda ch: ch.bind(s("q"), "amq.direct", "k"), lambda ch: ch.bind(s("q"), "amq.direct", "k"),
         lambda ch: ch.call(spec.Queue.Unbind(queue=s("q"), exchange=s("none"), routing_key="k")),
         lambda ch: ch.call(spec.Queue.Unbind(queue=s("none"), exchange="amq.direct", routing_key="k")),
         lambda ch: ch.call(spec.Queue.Unbind(queue=s("q"), exchange="amq.direct", routing_key="other")),
         lambda ch: ch.call(spec.Queue.Unbind(queue=s("q"), exchange="", routing_key="k")),
         lambda ch: ch.bind_exchange(s("none"), "amq.direct"), lambda ch: ch.bind_exchange("amq.direct", s("none")),
         lambda ch: ch.bind_exchange("", "amq.direct"), lambda ch: ch.bind_exchange("amq.direct", ""),
         lambda ch: ch.call(spec.Exchange.Unbind(destination="amq.fanout", source="amq.direct", routing_key="no")),
         lambda ch: ch.call(spec.Exchange.Unbind(destination=s("none"), source="amq.direct", routing_key="no")),
         lambda ch: ch.bind(s("q"), "amq.headers", "", {"x-match": "some"}),
         lambda ch: ch.bind(s("q"), "amq.headers", "", {"x-match": 5}))


@scenario
def names_with_odd_bytes(s):
    each(s, lambda ch: (ch.declare(s("line\r\nend")), ch.count(s("lineend"))),
         lambda ch: (ch.declare(s("ünïcode ☃"), exclusive=True), ch.publish("", s("ünïcode ☃"), b"1"), ch.take(s("ünïcode ☃"))),
         lambda ch: ch.declare((s() + "x" * 255)[:255], exclusive=True),
         lambda ch: (ch.exchange(s("a/b.c#*")), ch.exchange(s("a/b.c#*"), passive=True)))


@scenario
def no_wait_answers_errors_only(s):
    ch = s.channel()
    ch.send(spec.Queue.Declare(queue=s(), nowait=True, exclusive=True))
    ch.send(spec.Exchange.Declare(exchange=s("x"), auto_delete=True, nowait=True))
    ch.send(spec.Queue.Bind(queue=s(), exchange=s("x"), nowait=True))
    ch.send(spec.Basic.Consume(queue=s(), consumer_tag="t", nowait=True))
    ch.send(spec.Basic.Cancel(consumer_tag="t", nowait=True))
    ch.send(spec.Queue.Purge(queue=s(), nowait=True))
    ch.send(spec.Confirm.Select(nowait=True))
    ch.count(s())
    ch.send(spec.Queue.Declare(queue=s(), nowait=True, exclusive=True, auto_delete=True))
    ch.failed()


@scenario
def arguments_of_another_type(s):
    quorum, stream = {"x-queue-type": "quorum"}, {"x-queue-type": "stream"}
    each(s, lambda ch: ch.declare(s("1"), {"x-queue-version": 3}),
         lambda ch: ch.declare(s("2"), {"x-queue-version": 2}),
         lambda ch: ch.declare(s("3"), {"x-dead-letter-strategy": "at-least-once"}),
         lambda ch: ch.declare(s("4"), {"x-queue-leader-locator": "balanced"}),
         lambda ch: ch.declare(s("5"), {**quorum, "x-dead-letter-strategy": "x"}, durable=True),
         lambda ch: ch.declare(s("6"), {**quorum, "x-dead-letter-strategy": "at-least-once"}, durable=True),
         lambda ch: ch.declare("", quorum, durable=True),
         lambda ch: ch.declare(s("7"), {**stream, "x-overflow": "drop-head"}, durable=True),
         lambda ch: ch.declare(s("8"), {**stream, "x-stream-max-segment-size-bytes": "x"}, durable=True),
         lambda ch: ch.declare(s("9"), {**stream, "x-stream-max-segment-size-bytes": 1_000_000}, durable=True))


@scenario
def a_queue_whose_messages_are_all_held_is_empty(s):
    ch = s.channel()
    ch.declare(s())
    ch.publish("", s())
    ch.until(s(), 1)
    ch.get(s())
    ch.call(spec.Queue.Delete(queue=s(), if_empty=True))
