"""Transactions whose queues come, go or are full between a publication and its commit."""

import time

from pika import spec

from .bench import scenario


def begun(s):
    ch = s.channel()
    ch.call(spec.Tx.Select())
    return ch


def deleted(s, suffix=""):
    s.channel().call(spec.Queue.Delete(queue=s(suffix)))


@scenario
def commits_that_a_full_queue_refuses(s):
    ch = s.channel()
    ch.declare(s(), {"x-max-length": 1, "x-overflow": "reject-publish"})
    ch.declare(s("other"))
    ch.call(spec.Tx.Select())
    for body, queue in ((b"1", s()), (b"2", s()), (b"3", s("other"))):
        ch.publish("", queue, body)
    ch.call(spec.Tx.Commit())
    other = s.channel()
    other.until(s(), 1)
    other.until(s("other"), 1)


@scenario
def commits_after_their_queue_was_deleted(s):
    s.channel().declare(s())
    ch = begun(s)
    ch.publish("", s(), b"mandatory", mandatory=True)
    ch.publish("", s(), b"lost")
    ch.sync()
    deleted(s)
    ch.call(spec.Tx.Commit())
    ch.quiet(0.2)


@scenario
def commits_after_their_queue_was_declared(s):
    ch = begun(s)
    ch.publish("", s(), b"1", mandatory=True)
    ch.sync()
    other = s.channel()
    other.declare(s())
    ch.call(spec.Tx.Commit())
    other.until(s(), 1)


@scenario
def commits_after_their_queue_was_declared_again(s):
    s.channel().declare(s())
    ch = begun(s)
    ch.publish("", s(), b"1")
    ch.sync()
    deleted(s)
    other = s.channel()
    other.declare(s())
    ch.call(spec.Tx.Commit())
    other.until(s(), 1)


@scenario
def commits_after_other_bindings(s):
    ch = begun(s)
    ch.exchange(s("x"), "fanout")
    for queue in ("a", "b"):
        ch.declare(s(queue))
    ch.bind(s("a"), s("x"))
    ch.publish(s("x"), "", b"1")
    ch.sync()
    ch.bind(s("b"), s("x"))
    ch.call(spec.Queue.Unbind(queue=s("a"), exchange=s("x"), routing_key=""))
    ch.call(spec.Tx.Commit())
    time.sleep(0.1)
    for queue in ("a", "b"):
        s.channel().count(s(queue))
