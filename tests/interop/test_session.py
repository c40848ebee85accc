"""What outlives a connection: queued messages, unfinished handshakes, takeover, expiry, and restarts of the server."""

import signal
import time

import pytest
import wire
from wire import Closed

FOREVER = {"session_expiry_interval": 0xFFFFFFFF}


def resume(peer, server, name, version, **props):
    one = peer(server, version=version)
    found = one.connect(name, clean=False, props={**FOREVER, **props} if version == 5 else None)
    return one, found.session_present


def fill(peer, server, name, count, qos, version=4):
    one = peer(server, version=version)
    one.connect(name + "s")
    for number in range(count):
        one.publish(name, str(number), qos=qos)
    one.disconnect()


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("qos", [1, 2])
def test_offline_messages_arrive_in_order(server, peer, name, version, qos):
    one, _ = resume(peer, server, name, version)
    one.subscribe(name, qos=qos)
    one.disconnect()
    fill(peer, server, name, 100, qos, version)
    one, present = resume(peer, server, name, version)
    assert present or version == 3  # 3.1 has no such flag
    assert [int(one.message().payload) for _ in range(100)] == list(range(100))
    one.nothing_for(0.2)


def test_paho_gets_what_it_missed(server, paho, name):
    one = paho(server, version=5, client_id=name, clean=False, expiry=60)
    one.subscribe(name, 2)
    one.drop()
    sender = paho(server, version=5, client_id=name + "s")
    for number in range(50):
        sender.publish(name, str(number).encode(), 2)
    one = paho(server, version=5, client_id=name, clean=False, expiry=60)
    assert one.flags.session_present
    assert [int(one.message().payload) for _ in range(50)] == list(range(50))


@pytest.mark.parametrize("new_ports", [False, True])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_session_outlives_the_server(own_server, peer, name, how, new_ports):
    for version in (4, 5):
        one, _ = resume(peer, own_server, f"{name}{version}", version)
        one.subscribe((name, 2))
        one.disconnect()
    fill(peer, own_server, name, 60, qos=1)
    fill(peer, own_server, name, 60, qos=2)
    time.sleep(0.05)
    own_server.restart(how, new_ports)
    fill(peer, own_server, name, 10, qos=1)
    for version in (4, 5):
        one, present = resume(peer, own_server, f"{name}{version}", version)
        assert present
        found = [one.message() for _ in range(130)]
        assert [int(each.payload) for each in found] == [*range(60), *range(60), *range(10)]
        assert [each.qos for each in found] == [1] * 60 + [2] * 60 + [1] * 10


def test_subscriptions_outlive_the_server(own_server, peer, name):
    one, _ = resume(peer, own_server, name, 5)
    one.subscribe((name + "/a/+", 1 | 0x08), props={"subscription_identifier": 77})
    one.subscribe(name + "/b/#", qos=2)
    one.subscribe(name + "/gone", qos=2)
    one.unsubscribe(name + "/gone")
    time.sleep(0.05)
    for how in (signal.SIGKILL, signal.SIGTERM):
        own_server.restart(how)
        one, present = resume(peer, own_server, name, 5)
        assert present
        sender = peer(own_server)
        sender.connect(name + "s")
        for topic in ("a/1", "b/2/3", "gone"):
            sender.publish(f"{name}/{topic}", b"x", qos=2, retain=topic == "a/1")
        first, second = one.message(), one.message()
        assert (first.topic, first.qos, first.retain) == (f"{name}/a/1", 1, True)
        assert first.props == {"subscription_identifier": [77]}
        assert (second.topic, second.qos) == (f"{name}/b/2/3", 2)
        one.nothing_for(0.3)


def test_sigterm_tells_clients_and_exits_cleanly(own_server, peer, name):
    one = peer(own_server)
    one.connect(name)
    assert own_server.terminate() == 0
    assert all(found.kind == wire.DISCONNECT and found.reason == 0x8B for found in one.until_closed())


@pytest.mark.parametrize("version", [4, 5])
def test_unacknowledged_messages_come_again_marked_as_duplicates(server, peer, name, version):
    one, _ = resume(peer, server, name, version)
    one.subscribe(name, qos=1)
    fill(peer, server, name, 5, qos=1)
    first = [one.expect(wire.PUBLISH) for _ in range(5)]
    one.send(wire.ack(wire.PUBACK, first[0].pid))
    one.ping()
    one.close()
    one, present = resume(peer, server, name, version)
    assert present
    again = [one.message() for _ in range(4)]
    assert [(each.payload, each.pid) for each in again] == [(each.payload, each.pid) for each in first[1:]]  # [MQTT-4.4.0-1]
    assert all(each.dup for each in again) and not any(each.dup for each in first)
    one.nothing_for(0.2)


@pytest.mark.parametrize("version", [4, 5])
def test_qos_2_delivery_resumes_at_pubrel(server, peer, name, version):
    one, _ = resume(peer, server, name, version)
    one.subscribe(name, qos=2)
    fill(peer, server, name, 2, qos=2)
    first, second = one.expect(wire.PUBLISH), one.expect(wire.PUBLISH)
    one.send(wire.ack(wire.PUBREC, first.pid))
    assert one.expect(wire.PUBREL).pid == first.pid
    one.close()
    one, present = resume(peer, server, name, version)
    assert present
    found = {each.kind: each for each in (one.receive(), one.receive())}
    assert found[wire.PUBREL].pid == first.pid
    assert (found[wire.PUBLISH].pid, found[wire.PUBLISH].dup) == (second.pid, True)
    one.send(wire.ack(wire.PUBCOMP, first.pid) + wire.ack(wire.PUBREC, second.pid))
    assert one.expect(wire.PUBREL).pid == second.pid
    one.send(wire.ack(wire.PUBCOMP, second.pid))
    one.nothing_for(0.2)


@pytest.mark.parametrize("restart", [None, signal.SIGTERM, signal.SIGKILL], ids=["no restart", "SIGTERM", "SIGKILL"])
def test_qos_2_publish_resumes_after_a_break(own_server, peer, name, restart):
    receiver, _ = resume(peer, own_server, name + "r", 5)
    receiver.subscribe(name, qos=2)
    one, _ = resume(peer, own_server, name, 5)
    one.send(wire.publish(name, b"once", 2, 3, version=5))
    assert one.expect(wire.PUBREC).pid == 3
    one.close()
    time.sleep(0.05)
    if restart:
        own_server.restart(restart)
        receiver, present = resume(peer, own_server, name + "r", 5)
        assert present
    one, present = resume(peer, own_server, name, 5)
    assert present
    one.send(wire.publish(name, b"once", 2, 3, dup=True, version=5))  # the PUBREC was lost on its way, as it were
    assert one.await_kind(wire.PUBREC).pid == 3
    one.send(wire.ack(wire.PUBREL, 3))
    assert one.await_kind(wire.PUBCOMP).pid == 3
    found = receiver.message()
    assert found.payload == b"once"
    receiver.nothing_for(0.5)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_in_flight_messages_outlive_the_server(own_server, peer, name, how):
    one, _ = resume(peer, own_server, name, 5)
    one.subscribe(name, qos=2)
    fill(peer, own_server, name, 3, qos=2)
    first = [one.expect(wire.PUBLISH) for _ in range(3)]
    one.send(wire.ack(wire.PUBREC, first[0].pid))
    assert one.expect(wire.PUBREL).pid == first[0].pid
    time.sleep(0.05)
    own_server.restart(how)
    one, present = resume(peer, own_server, name, 5)
    assert present
    found = [one.receive() for _ in range(3)]
    assert sorted((each.kind, each.pid) for each in found) == sorted(
        [(wire.PUBREL, first[0].pid), (wire.PUBLISH, first[1].pid), (wire.PUBLISH, first[2].pid)])


def test_takeover_ends_the_older_connection_with_its_reason(server, peer, name):
    old = peer(server)
    old.connect(name)
    new = peer(server)
    new.connect(name)
    said = old.until_closed()
    assert [(each.kind, each.reason) for each in said] == [(wire.DISCONNECT, 0x8E)]  # [MQTT-3.1.4-3]
    new.ping()


def test_takeover_in_3_1_1_closes_the_older_connection(server, peer, name):
    old = peer(server, version=4)
    old.connect(name)
    new = peer(server, version=4)
    new.connect(name)
    assert old.until_closed() == []
    new.ping()


def test_takeover_inherits_session_and_unacknowledged_messages(server, peer, name):
    old, _ = resume(peer, server, name, 5)
    old.subscribe(name, qos=1)
    fill(peer, server, name, 2, qos=1)
    pids = [old.expect(wire.PUBLISH).pid for _ in range(2)]
    new, present = resume(peer, server, name, 5)
    assert present
    again = [new.message() for _ in range(2)]
    assert [each.pid for each in again] == pids and all(each.dup for each in again)


def test_who_says_goodbye_and_comes_again_at_once_is_heard_to_the_end(server, peer, name):
    listener = peer(server, version=4)
    listener.connect()
    listener.subscribe(name + "/#", qos=0)
    for number in range(50):
        one = peer(server, version=4)
        one.connect(name, will=wire.Will(name + "/will", b"gone"))
        one.send(wire.publish(name + "/said", str(number).encode()) + wire.disconnect())
        one.close()
    heard = [listener.message() for _ in range(50)]
    assert [(each.topic, int(each.payload)) for each in heard] == [(name + "/said", each) for each in range(50)]
    listener.nothing_for(0.2)


def test_takeover_storm_ends_with_one_connection(server, peer, name):
    everyone = []
    for _ in range(30):
        everyone.append(peer(server))
        everyone[-1].send(wire.connect(name, 5, clean=False, props=FOREVER))
    alive = 0
    for one in everyone:
        try:
            while one.receive(timeout=2).kind != wire.DISCONNECT:
                one.send(wire.packet(wire.PINGREQ))
                if one.receive(timeout=1).kind == wire.PINGRESP:
                    one.nothing_for(0.3)
                    alive += 1
                    break
        except (Closed, AssertionError):
            pass
    assert alive == 1


def test_session_expires_after_its_interval(server, peer, name):
    one = peer(server)
    one.connect(name, clean=False, props={"session_expiry_interval": 1})
    one.disconnect()
    time.sleep(2.5)
    assert peer(server).connect(name, clean=False).session_present is False


def test_disconnect_may_change_the_expiry(server, peer, name):
    one = peer(server)
    one.connect(name, clean=False, props={"session_expiry_interval": 600})
    one.disconnect(props={"session_expiry_interval": 0})
    assert peer(server).connect(name, clean=False).session_present is False


def test_disconnect_may_not_give_a_life_to_a_session_without_one(server, peer, name):
    one = peer(server)
    one.connect(name, clean=False)
    one.send(wire.disconnect(5, 0, {"session_expiry_interval": 60}))
    said = one.until_closed()  # [MQTT-3.14.2-2]
    assert all(each.kind == wire.DISCONNECT and each.reason == 0x82 for each in said)
    assert peer(server).connect(name, clean=False).session_present is False


def test_messages_queued_for_an_offline_session_expire(server, peer, name):
    one, _ = resume(peer, server, name, 5)
    one.subscribe(name, qos=1)
    one.disconnect()
    sender = peer(server)
    sender.connect(name + "s")
    sender.publish(name, b"short", qos=1, props={"message_expiry_interval": 1})
    sender.publish(name, b"long", qos=1, props={"message_expiry_interval": 100})
    sender.publish(name, b"forever", qos=1)
    time.sleep(2.2)
    one, _ = resume(peer, server, name, 5)
    found = one.message()
    assert found.payload == b"long"
    assert 90 <= found.props["message_expiry_interval"] <= 98  # [MQTT-3.3.2-6]
    assert one.message().payload == b"forever"


def test_clean_start_forgets_queued_messages_and_subscriptions(server, peer, name):
    one, _ = resume(peer, server, name, 5)
    one.subscribe(name, qos=1)
    one.disconnect()
    fill(peer, server, name, 3, qos=1)
    one = peer(server)
    assert one.connect(name, clean=True, props=FOREVER).session_present is False
    fill(peer, server, name, 3, qos=1)
    one.nothing_for()


def test_one_session_may_be_resumed_by_another_version(server, peer, name):
    one, _ = resume(peer, server, name, 4)
    one.subscribe(name, qos=1)
    one.disconnect()
    fill(peer, server, name, 3, qos=1)
    one, present = resume(peer, server, name, 5)
    assert present
    assert [one.message().payload for _ in range(3)] == [b"0", b"1", b"2"]
