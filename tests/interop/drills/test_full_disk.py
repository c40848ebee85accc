"""The disk fills, and empties again: nothing promised is lost, what needs no disk goes on, no restart is needed."""

import os
import subprocess
import time

import pytest
import wire

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

DISK_MIB = 64        # room for the server's preallocated files and some messages
BALLAST_MIB = 24     # taken away at first, given back when the disk is full
PAYLOAD = 32 * 1024
STALL_SECONDS = 4    # no acknowledgement for so long means: it stalls


@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    where = tmp_path / "disk"
    where.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "none", str(where)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


def fill(publisher, topic):
    """Publishes with QoS 1, one at a time, until refused or stalled.

    Returns the numbers that were acknowledged, and the number left open (None when it was refused with a reason code).
    """
    done = []
    for number in range(4 * DISK_MIB * 1024 * 1024 // PAYLOAD):
        pid = publisher.pid()
        publisher.send(wire.publish(topic, b"%08d" % number + b"x" * PAYLOAD, 1, pid, version=5))
        try:
            found = publisher.expect(wire.PUBACK, STALL_SECONDS)
        except wire.Silence:
            return done, number
        if found.reason >= 0x80:
            assert found.reason in (0x97, 0x80, 0x83), str(found)  # quota exceeded is the word for it
            return done, None
        done.append(number)
    raise AssertionError("the disk never filled: nothing was written to it")


def test_full_disk_recovers_without_restart(kind, small_disk, tmp_path, peer, name):
    (small_disk / "ballast").write_bytes(bytes(BALLAST_MIB << 20))
    # Small files, so that the disk is filled by messages and not by what is reserved for them.
    settings = 'store.segment_bytes = "4MiB"' if kind.name == "motet" else None
    server = kind(tmp_path / "server", settings=settings, data_dir=small_disk / "data").start()
    try:
        keeper = peer(server)
        keeper.connect(name + "keeper", clean=False, props={"session_expiry_interval": 3600})
        keeper.subscribe(name + "/jobs", qos=1)
        keeper.disconnect()
        publisher = peer(server)
        publisher.connect(name + "publisher")
        done, waiting = fill(publisher, name + "/jobs")
        print(f"acknowledged {len(done)} before the disk was full; {'refused' if waiting is None else 'stalled'}")
        assert server.alive(), server.log

        # What needs no disk goes on.
        witness, talker = peer(server), peer(server)
        witness.connect(name + "witness")
        witness.subscribe(name + "/calm")
        talker.connect(name + "talker")
        for number in range(100):
            talker.publish(name + "/calm", str(number))
            assert witness.message().payload == str(number).encode()

        (small_disk / "ballast").unlink()
        if waiting is not None:
            assert publisher.expect(wire.PUBACK, 20).reason < 0x80  # the stalled publish is completed
            done.append(waiting)
        deadline, number = time.monotonic() + 20, 90_000_000
        while publisher.publish(name + "/jobs", b"%08d" % number + b"x" * PAYLOAD, qos=1) >= 0x80:
            assert time.monotonic() < deadline, "publishing does not resume"
            time.sleep(0.2)
        done.append(number)

        keeper = peer(server)
        assert keeper.connect(name + "keeper", clean=False, props={"session_expiry_interval": 3600}).session_present
        received = []
        while not received or received[-1] != number:
            received.append(int(keeper.message().payload[:8]))
        assert [one for one in received if one in set(done)] == done
        assert server.alive()
    finally:
        server.close()


def test_full_disk_is_emptied_by_its_subscriber(kind, small_disk, tmp_path, peer, name):
    """Nobody makes room from outside: what was stored is fetched, and that is what makes room."""
    if kind.name != "motet":
        pytest.skip("a broker without acknowledgements on disk needs no room for them")
    server = kind(tmp_path / "server", settings='store.segment_bytes = "4MiB"', data_dir=small_disk / "data").start()
    session = {"session_expiry_interval": 3600}
    try:
        keeper = peer(server)
        keeper.connect(name + "keeper", clean=False, props=session)
        keeper.subscribe(name + "/jobs", qos=1)
        keeper.disconnect()
        publisher = peer(server)
        publisher.connect(name + "publisher")
        done, waiting = fill(publisher, name + "/jobs")
        assert waiting is None, "the message that met the full disk is answered"

        server.restart()  # which needs no room either
        keeper = peer(server)
        assert keeper.connect(name + "keeper", clean=False, props=session).session_present
        received = []
        while not received or received[-1] != done[-1]:
            received.append(int(keeper.message().payload[:8]))
        assert [one for one in received if one in set(done)] == done

        publisher = peer(server)
        publisher.connect(name + "publisher")
        deadline = time.monotonic() + 30
        while publisher.publish(name + "/jobs", b"x" * PAYLOAD, qos=1) >= 0x80:
            assert time.monotonic() < deadline, "publishing does not resume"
            time.sleep(0.2)
    finally:
        server.close()
