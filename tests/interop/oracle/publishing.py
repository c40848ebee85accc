"""What becomes of a publication: routes, returns, confirms, transactions, refusals."""

from pika import spec

from .bench import scenario
from .declaring import each


@scenario
def publications_that_are_refused(s):
    each(s, lambda ch: (ch.publish(s("none"), "k"), ch.failed()),
         lambda ch: (ch.exchange(s("i"), internal=True), ch.publish(s("i"), "k"), ch.failed()),
         lambda ch: (ch.publish("", s(), immediate=True), ch.failed()),
         lambda ch: (ch.publish("", s(), user_id="somebody"), ch.failed()),
         lambda ch: (ch.publish("", s(), expiration="soon"), ch.failed()),
         lambda ch: (ch.publish("", s(), expiration="-1"), ch.failed()),
         lambda ch: (ch.publish("", s(), expiration="12345678901234"), ch.failed()),
         lambda ch: (ch.publish("", s(), expiration=""), ch.failed()),
         lambda ch: (ch.publish("", s(), headers={"CC": "text"}), ch.failed()),
         lambda ch: (ch.publish("", s(), headers={"CC": [5]}), ch.failed()),
         lambda ch: (ch.publish("", s(), headers={"BCC": "text"}), ch.failed()))


@scenario
def returns(s):
    ch = s.channel()
    ch.exchange(s("x"), "topic")
    ch.publish("", s("nobody"), b"default", mandatory=True, content_type="text/plain", headers={"h": 1})
    ch.publish(s("x"), "a.b", b"topic", mandatory=True)
    ch.publish(s("x"), "a.b", b"not mandatory")
    ch.publish(s("x"), "a.b", b"", mandatory=True)
    ch.expect(3)
    ch.confirms()
    ch.publish("", s("nobody"), b"before its confirm", mandatory=True)
    ch.confirmed(1)


@scenario
def confirms_are_numbered(s):
    ch = s.channel()
    ch.declare(s(), durable=True)
    ch.publish("", s(), b"before")
    ch.confirms()
    ch.confirms()
    for number in range(5):
        ch.publish("", s(), b"%d" % number, delivery_mode=2)
    ch.publish("", s("nobody"), b"unroutable")
    ch.confirmed(6)
    ch.publish("", s(), b"more")
    got = ch.connection.collect(1)
    s.note(f"the next number: {got[0][1].delivery_tag}")


@scenario
def confirm_and_tx_exclude_each_other(s):
    each(s, lambda ch: (ch.confirms(), ch.call(spec.Tx.Select())), lambda ch: (ch.call(spec.Tx.Select()), ch.confirms()),
         lambda ch: ch.call(spec.Tx.Commit()), lambda ch: ch.call(spec.Tx.Rollback()),
         lambda ch: (ch.call(spec.Tx.Select()), ch.call(spec.Tx.Select()), ch.call(spec.Tx.Commit())))


@scenario
def transactions(s):
    ch = s.channel()
    ch.declare(s())
    ch.call(spec.Tx.Select())
    ch.publish("", s(), b"never")
    ch.call(spec.Tx.Rollback())
    ch.publish("", s(), b"one")
    ch.publish("", s("nobody"), b"returned", mandatory=True)
    ch.quiet()
    ch.count(s())
    ch.call(spec.Tx.Commit())
    ch.expect(1)
    ch.until(s(), 1)
    ch.get(s())
    ch.ack(1)
    ch.call(spec.Tx.Rollback())
    ch.nack(1)
    ch.call(spec.Tx.Commit())
    ch.take(s())


@scenario
def a_transaction_that_fails(s):
    ch = s.channel()
    ch.declare(s())
    ch.call(spec.Tx.Select())
    ch.publish("", s(), b"one")
    ch.publish(s("none"), "k", b"two")
    ch.failed()
    s.channel().count(s())
    ch = s.channel()
    ch.call(spec.Tx.Select())
    ch.ack(7)
    ch.failed()


@scenario
def alternate_exchanges(s):
    ch = s.channel()
    ch.exchange(s("last"), "fanout")
    ch.exchange(s("second"), "direct", {"alternate-exchange": s("last")})
    ch.exchange(s("first"), "direct", {"alternate-exchange": s("second")})
    ch.declare(s("known"))
    ch.bind(s("known"), s("second"), "known")
    ch.declare(s("rest"))
    ch.bind(s("rest"), s("last"))
    ch.publish(s("first"), "known", b"1")
    ch.publish(s("first"), "unknown", b"2", mandatory=True)
    ch.take(s("known"))
    ch.take(s("rest"))
    ch.exchange(s("lonely"), "direct", {"alternate-exchange": s("not there")})
    ch.publish(s("lonely"), "k", b"3", mandatory=True)
    ch.expect(1)
    ch.exchange(s("ring"), "direct", {"alternate-exchange": s("ring")})
    ch.publish(s("ring"), "k", b"4", mandatory=True)
    ch.expect(1)


@scenario
def carbon_copies(s):
    ch = s.channel()
    for queue in "abc":
        ch.declare(s(queue))
    ch.publish("", s("a"), b"1", headers={"CC": [s("b")], "BCC": [s("c")], "other": 1})
    for queue in "abc":
        ch.take(s(queue))
    ch.publish("", s("a"), b"2", headers={"CC": [s("a"), s("a")]})
    ch.until(s("a"), 1)
    ch.take(s("a"))


@scenario
def exchanges_bound_in_a_ring(s):
    ch = s.channel()
    for name in "xyz":
        ch.exchange(s(name), "fanout")
        ch.declare(s("q" + name))
        ch.bind(s("q" + name), s(name))
    ch.bind_exchange(s("y"), s("x"))
    ch.bind_exchange(s("z"), s("y"))
    ch.bind_exchange(s("x"), s("z"))
    ch.publish(s("y"), "k", b"once")
    for name in "xyz":
        ch.until(s("q" + name), 1)
        ch.take(s("q" + name))
    ch.bind(s("qx"), s("z"))
    ch.publish(s("x"), "k", b"still once")
    ch.until(s("qx"), 1)


@scenario
def internal_exchanges(s):
    ch = s.channel()
    ch.exchange(s("in"), "fanout", internal=True)
    ch.exchange(s("out"), "fanout")
    ch.declare(s())
    ch.bind(s(), s("in"))
    ch.bind_exchange(s("in"), s("out"))
    ch.publish(s("out"), "k", b"through")
    ch.take(s())


@scenario
def headers_matching(s):
    ch = s.channel()
    ch.exchange(s("x"), "headers")
    bindings = {"all": {"x-match": "all", "a": 1, "b": "two"}, "any": {"x-match": "any", "a": 1, "b": "two"},
                "default": {"a": 1, "b": "two"}, "empty": {}, "empty-any": {"x-match": "any"},
                "void": {"x-match": "all", "a": None}, "x": {"x-match": "all", "x-special": 1, "a": 1},
                "with-x": {"x-match": "all-with-x", "x-special": 1, "a": 1},
                "any-with-x": {"x-match": "any-with-x", "x-special": 1}, "bool": {"a": True}, "text": {"a": "1"},
                "long": {"a": 2**40}}
    for name, arguments in bindings.items():
        ch.declare(s(name), exclusive=True)
        ch.bind(s(name), s("x"), "", arguments)
    for body, headers in ((b"both", {"a": 1, "b": "two"}), (b"a", {"a": 1}), (b"b", {"b": "two", "c": 3}),
                          (b"other", {"a": 2}), (b"none", None), (b"x", {"x-special": 1}), (b"ax", {"a": 1, "x-special": 1}),
                          (b"bool", {"a": True}), (b"text", {"a": "1"}), (b"long", {"a": 2**40})):
        ch.publish(s("x"), "", body, headers=headers)
    ch.sync()
    heard = {}
    for name in bindings:
        heard[name] = []
        ch.send(spec.Basic.Consume(queue=s(name), consumer_tag=name, no_ack=True, nowait=True))
    ch.sync()
    for _, one in ch.connection.collect(1000, timeout=0.5):
        heard[one.method.consumer_tag].append(one.body.decode())
    s.lines.pop()  # the silence after the last
    for name, bodies in heard.items():
        s.note(f"{name}: {bodies}")


@scenario
def topics(s):
    ch = s.channel()
    ch.exchange(s("x"), "topic")
    keys = ["a.b", "a", "", "a.b.c", ".", "a.", ".a", "a..b", "b.a.c", "#", "*", "$SYS.a"]
    patterns = ["#", "*", "a.*", "a.#", "#.c", "*.*", "#.a.#", "", "a..b", "*.a", "a.*.#", "#.#", "a.*.c"]
    for pattern in patterns:
        ch.declare(s(pattern), exclusive=True)
        ch.bind(s(pattern), s("x"), pattern)
    ch.sync()
    for key in keys:
        ch.publish(s("x"), key, key.encode())
    heard = {pattern: [] for pattern in patterns}
    for pattern in patterns:
        ch.send(spec.Basic.Consume(queue=s(pattern), consumer_tag="t" + pattern, no_ack=True, nowait=True))
    ch.sync()
    for _, one in ch.connection.collect(1000, timeout=0.5):
        heard[one.method.consumer_tag[1:]].append(one.method.routing_key)
    s.lines.pop()  # the silence after the last
    for pattern, found in heard.items():
        s.note(f"{pattern!r}: {found}")


@scenario
def direct_reply_to(s):
    asker, worker = s.channel(), s.channel()
    worker.declare(s())
    asker.consume("amq.rabbitmq.reply-to", "answers", no_ack=True)
    asker.publish("", s(), b"question", reply_to="amq.rabbitmq.reply-to", correlation_id="1")
    asker.sync()
    found = worker.get(s(), no_ack=True)
    worker.publish("", found.properties.reply_to, b"answer", correlation_id="1")
    asker.expect(1)
    worker.declare(found.properties.reply_to, passive=True)
    asker.publish("", s(), b"again", reply_to="amq.rabbitmq.reply-to")
    asker.cancel("answers")
    found = worker.get(s(), no_ack=True)
    worker.publish("", found.properties.reply_to, b"too late", mandatory=True)
    worker.expect(1)
    worker.declare(found.properties.reply_to, passive=True)


@scenario
def direct_reply_to_refuses(s):
    each(s, lambda ch: ch.consume("amq.rabbitmq.reply-to", no_ack=False),
         lambda ch: (ch.consume("amq.rabbitmq.reply-to", "a", no_ack=True), ch.consume("amq.rabbitmq.reply-to", "b", no_ack=True)),
         lambda ch: (ch.publish("", s(), b"q", reply_to="amq.rabbitmq.reply-to"), ch.failed()),
         lambda ch: ch.declare("amq.rabbitmq.reply-to", passive=True), lambda ch: ch.get("amq.rabbitmq.reply-to"),
         lambda ch: ch.declare("amq.rabbitmq.reply-to"))


@scenario
def delivery_modes(s):
    s.channel().declare(s())
    each(s, *[lambda ch, mode=mode: (ch.publish("", s(), delivery_mode=mode), ch.failed()) for mode in (0, 3, 1, 2)])
