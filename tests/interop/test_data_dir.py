"""Data directories that a server must not take: another one's, a newer one's, one it cannot write to."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import motet
import pytest

pytestmark = pytest.mark.skipif("config.getoption('--server') != 'motet'", reason="the words are ours")

NOBODY = 65534


def refused(server):
    """What a server says that does not start."""
    with pytest.raises(RuntimeError) as refusal:
        server.start()
    assert server.process.returncode not in (0, None), "a failure for whoever watches over it"
    said = server.log
    assert "panicked" not in said, said
    return said


def test_a_second_server_on_the_same_directory_is_sent_away_and_the_first_goes_on(own_server, peer, name, tmp_path):
    with_session = peer(own_server)
    with_session.connect(name, clean=False, props={"session_expiry_interval": 100})
    with_session.subscribe(name, qos=1)
    second = motet.Motet(tmp_path / "second", data_dir=own_server.data_dir)
    said = refused(second)
    assert "is in use by another server" in said and str(own_server.data_dir) in said, said
    with_session.publish(name, b"still here", qos=1)
    assert with_session.message().payload == b"still here"
    own_server.restart()
    again = peer(own_server)
    assert again.connect(name, clean=False).session_present


def test_a_directory_of_a_newer_version_is_refused_and_left_as_it_is(own_server, peer, name):
    one = peer(own_server)
    one.connect(name)
    one.publish(name, b"kept", qos=1, retain=True)
    own_server.terminate()
    changed = [path for path in own_server.data_dir.rglob("*") if path.is_file() and path.read_bytes()[:8] == b"MOTETJN1"]
    assert changed, "the journal is there"
    for path in changed:
        with path.open("r+b") as file:
            file.seek(8)
            file.write((2).to_bytes(4, "little"))
    before = {path: path.read_bytes() for path in changed}
    said = refused(own_server)
    assert "has format version 2, this server reads 1: use the version that wrote it" in said, said
    assert before == {path: path.read_bytes() for path in changed}
    for path in changed:
        with path.open("r+b") as file:
            file.seek(8)
            file.write((1).to_bytes(4, "little"))
    own_server.start()
    another = peer(own_server)
    another.connect(name + "2")
    another.subscribe(name, qos=1)
    assert another.message().payload == b"kept"


class Unprivileged(motet.Motet):
    """Runs as nobody: the rights of files mean nothing to root."""

    def start(self):
        ask = subprocess.Popen
        if os.getuid() == 0:
            motet.subprocess.Popen = lambda *words, **options: ask(*words, user=NOBODY, group=NOBODY, **options)
        try:
            return super().start()
        finally:
            motet.subprocess.Popen = ask


@pytest.mark.parametrize("holds", ["nothing", "data"])
def test_a_directory_that_cannot_be_written_to_is_refused_with_its_name(holds):
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    server = Unprivileged(folder / "server")
    try:
        for path in (server.directory, server.data_dir):
            path.chmod(0o777)
        if holds == "data":
            server.start()
            server.terminate()
        for path in [server.data_dir, *server.data_dir.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        said = refused(server)
        assert str(server.data_dir) in said, said
        assert "ermission denied" in said or "Read-only" in said, said
    finally:
        shutil.rmtree(folder, ignore_errors=True)
