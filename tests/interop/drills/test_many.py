"""Many at once: everybody comes back at the same moment with a password, and many sessions wait over a restart."""

import os
import resource
import selectors
import socket
import time

import pytest
import wire

pytestmark = [pytest.mark.drill, pytest.mark.timeout(180)]

CLIENTS = 5000
SESSIONS = int(os.environ.get("MOTET_DRILL_SESSIONS", "100000"))
BACK_SECONDS_MAX = 60


def room_for(files):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < files:
        pytest.skip(f"this machine allows {hard} open files, and {files} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, files), hard))


def all_at_once(address, packets):
    """Connects with all the packets, and reads each answer; returns how often each reason came."""
    with selectors.DefaultSelector() as waiting:
        for first in packets:
            stream = socket.socket()
            stream.setblocking(False)
            stream.connect_ex(address)
            waiting.register(stream, selectors.EVENT_WRITE, first)
        reasons, kept, deadline = {}, [], time.monotonic() + BACK_SECONDS_MAX
        while waiting.get_map():
            assert time.monotonic() < deadline, f"{len(waiting.get_map())} were not answered; so far {reasons}"
            for key, events in waiting.select(1):
                stream, first = key.fileobj, key.data
                if events & selectors.EVENT_WRITE:
                    assert stream.send(first) == len(first)
                    waiting.modify(stream, selectors.EVENT_READ, b"")
                    continue
                got = first + stream.recv(64)
                if len(got) < 4 or len(got) < 2 + got[1]:
                    waiting.modify(stream, selectors.EVENT_READ, got)
                    continue
                waiting.unregister(stream)
                reasons[got[3]] = reasons.get(got[3], 0) + 1
                kept.append(stream)
    return reasons, kept


def test_five_thousand_with_passwords_come_back_at_once(kind, tmp_path):
    room_for(2 * CLIENTS + 200)
    users = "".join(f'[[user]]\nname = "user{number}"\npassword = "secret{number}"\n' for number in range(10))
    server = kind(tmp_path / "server", settings='[access]\nanonymous = "never"\n' + users).start()
    try:
        packets = [wire.connect(f"c{number}", 5, username=f"user{number % 10}", password=f"secret{number % 10}")
                   for number in range(CLIENTS)]
        begun = time.monotonic()
        for _ in range(2):  # the second time they come back after a break of all
            reasons, streams = all_at_once(server.mqtt, packets)
            assert reasons == {0: CLIENTS}
            for stream in streams:
                stream.close()
        print(f"2 x {CLIENTS} logins in {time.monotonic() - begun:.1f} s")
    finally:
        server.close()


def test_many_sessions_wait_over_a_restart(kind, tmp_path):
    server = kind(tmp_path / "server").start()
    try:
        begun = time.monotonic()
        for first in range(0, SESSIONS, 500):
            streams = []
            for number in range(first, min(first + 500, SESSIONS)):
                stream = socket.create_connection(server.mqtt, timeout=30)
                stream.sendall(wire.connect(f"s{number}", 4, clean=False) + wire.subscribe(1, [(f"many/{number}", 1)], 4)
                               + wire.disconnect(4))
                streams.append(stream)
            for stream in streams:
                assert stream.recv(16, socket.MSG_WAITALL)[:4] == b"\x20\x02\x00\x00"
                stream.close()
        made = time.monotonic() - begun
        with wire.Peer(server.mqtt, 4) as publisher:
            publisher.connect("publisher")
            for number in (0, SESSIONS // 2, SESSIONS - 1):
                publisher.publish(f"many/{number}", b"waits", qos=1)
        server.restart()
        for number in (0, SESSIONS // 2, SESSIONS - 1):
            with wire.Peer(server.mqtt, 4) as one:
                assert one.connect(f"s{number}", clean=False).session_present
                assert one.message().payload == b"waits"
        print(f"{SESSIONS} sessions in {made:.1f} s")
    finally:
        server.close()
