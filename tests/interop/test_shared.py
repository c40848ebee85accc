"""Shared subscriptions, delayed messages, queues and figures as topics: what lies below `$`."""

import signal

import pytest
import wire


def join(peer, server, client, group, topic, qos=1, **options):
    one = peer(server)
    one.connect(client, **options)
    assert one.subscribe(f"$share/{group}/{topic}", qos=qos) == [qos]
    return one


def drain(*members):
    """What each member gets until nobody gets anything more."""
    got = [[] for _ in members]
    for member, found in zip(members, got):
        while True:
            try:
                found.append(member.message(timeout=0.4).payload)
            except wire.Silence:
                break
    return got


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_each_message_goes_to_one_member_and_all_get_their_part(server, peer, name, qos):
    members = [join(peer, server, f"{name}m{n}", "g", name, qos) for n in range(3)]
    sender = peer(server)
    sender.connect(name + "s")
    for n in range(30):
        sender.publish(name, str(n), qos=qos)
    got = drain(*members)
    assert sorted(int(one) for part in got for one in part) == list(range(30))
    assert [len(part) for part in got] == [10, 10, 10]
    for part in got:
        assert part == sorted(part, key=int)


def test_paho_members_share_and_others_get_everything(server, paho, name):
    members = [paho(server, version=5, client_id=f"{name}{n}") for n in range(2)]
    for member in members:
        assert member.subscribe(f"$share/team/{name}/#", 1) == [1]
    listener = paho(server, version=4, client_id=name + "l")
    listener.subscribe(name + "/#", 1)
    sender = paho(server, version=5, client_id=name + "s")
    for n in range(20):
        sender.publish(f"{name}/{n % 3}", str(n).encode(), 1)
    assert [int(listener.message().payload) for _ in range(20)] == list(range(20))
    shared = [int(member.message().payload) for member in members for _ in range(10)]
    assert sorted(shared) == list(range(20))
    members[0].nothing_for(0.2)


def test_what_a_vanished_member_held_comes_to_another(server, peer, name):
    lost = join(peer, server, name + "1", "g", name, props={"receive_maximum": 5})
    sender = peer(server)
    sender.connect(name + "s")
    for n in range(10):
        assert sender.publish(name, str(n), qos=1) == 0
    assert [lost.expect(wire.PUBLISH).payload for _ in range(5)] == [str(n).encode() for n in range(5)]
    heir = join(peer, server, name + "2", "g", name)
    found = [heir.message() for _ in range(5)]
    lost.close()
    found += [heir.message() for _ in range(5)]
    assert sorted(int(one.payload) for one in found) == list(range(10))
    assert not any(one.dup for one in found)


def test_a_group_of_sessions_survives_a_crash_of_the_server(own_server, peer, name):
    member = join(peer, own_server, name, "g", name, qos=2, clean=False, props={"session_expiry_interval": 300})
    member.disconnect()
    sender = peer(own_server)
    sender.connect(name + "s")
    for n in range(20):
        assert sender.publish(name, str(n), qos=2) == 0
    own_server.restart(signal.SIGKILL)
    member = peer(own_server)
    assert member.connect(name, clean=False, props={"session_expiry_interval": 300}).session_present
    assert [int(member.message().payload) for _ in range(20)] == list(range(20))
    member.nothing_for(0.2)


def test_a_qos_2_message_that_was_sent_waits_for_its_session_over_a_crash(own_server, peer, name):
    keep = {"session_expiry_interval": 300}
    first = join(peer, own_server, name + "1", "g", name, qos=2, clean=False, props=keep)
    sender = peer(own_server)
    sender.connect(name + "s")
    sender.publish(name, "mine", qos=2)
    sent = first.expect(wire.PUBLISH)
    own_server.restart(signal.SIGKILL)
    second = join(peer, own_server, name + "2", "g", name, qos=2)
    second.nothing_for(0.3)
    first = peer(own_server)
    first.connect(name + "1", clean=False, props=keep)
    again = first.message()
    assert (again.payload, again.pid, again.dup) == (b"mine", sent.pid, True)


def test_a_delayed_message_is_published_in_time_also_after_a_crash(own_server, peer, name):
    listener = peer(own_server)
    listener.connect(name + "l", clean=False, props={"session_expiry_interval": 300})
    listener.subscribe(name, qos=1)
    sender = peer(own_server)
    sender.connect(name + "s")
    assert sender.publish(f"$delayed/1/{name}", "one", qos=1) == 0
    assert sender.publish(f"$delayed/3/{name}", "three", qos=2) == 0
    assert listener.message(timeout=3).payload == b"one"
    own_server.restart(signal.SIGKILL)
    listener = peer(own_server)
    listener.connect(name + "l", clean=False, props={"session_expiry_interval": 300})
    later = listener.message(timeout=6)
    if later.payload == b"one":  # acknowledged, and the acknowledgement was not on disk yet
        assert later.dup
        later = listener.message(timeout=6)
    assert later.payload == b"three"


def test_figures_of_the_server(server, paho, name):
    dashboard = paho(server, version=5, client_id=name)
    dashboard.subscribe("$SYS/broker/#", 0)
    figures = {}
    wanted = ["uptime", "clients/connected", "messages/received", "subscriptions/count", "retained messages/count"]
    while any(f"$SYS/broker/{topic}" not in figures for topic in ["version", *wanted]):
        one = dashboard.message()
        # What is there before anybody asks; beside it figures may be renewed.
        if one.retain:
            figures[one.topic] = one.payload.decode()
    assert figures["$SYS/broker/version"].startswith("motet ")
    connected = int(figures["$SYS/broker/clients/connected"])
    while connected == 0:  # that was before this client came, and is told anew with the next tick
        one = dashboard.message(timeout=15)
        connected = int(one.payload) if one.topic == "$SYS/broker/clients/connected" else 0


def test_topic_aliases_towards_the_client(server, peer, name):
    listener = peer(server)
    listener.connect(name + "l", props={"topic_alias_maximum": 5})
    listener.subscribe(name + "/a/rather/long/topic", qos=1)
    sender = peer(server)
    sender.connect(name + "s")
    found = []
    for n in range(5):
        sender.publish(name + "/a/rather/long/topic", str(n), qos=1)
        found.append(listener.message())
    assert [int(one.payload) for one in found] == list(range(5))
    assert found[0].topic and all(one.topic == "" for one in found[1:])
    assert len({one.props["topic_alias"] for one in found}) == 1 and 1 <= found[0].props["topic_alias"] <= 5


def test_an_authentication_method_that_is_not_there_is_refused(server, peer, name):
    peer(server).connect(name, props={"authentication_method": "NONSENSE"}, expect_reason=0x8C)


def test_the_longest_topic_there_is(own_server, peer, name):
    topic = name + "/" + "x" * (65535 - len(name) - 1)
    sender = peer(own_server)
    sender.connect(name)
    assert sender.publish(topic, "kept", qos=1, retain=True) in (0, 0x10)
    own_server.restart(signal.SIGKILL)
    listener = peer(own_server)
    listener.connect(name)
    assert listener.subscribe(topic, qos=1) == [1]
    found = listener.message()
    assert (found.topic, found.payload, found.retain) == (topic, b"kept", True)
