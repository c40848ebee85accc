"""lapin, AMQP for Rust: the program in rust/, which panics at the first surprise. `tests/run` builds it."""

import os
import subprocess

import pytest

pytestmark = pytest.mark.skipif("config.getoption('--server') != 'motet'", reason="Mosquitto speaks no AMQP")


def test_lapin(server):
    program = os.environ.get("LAPIN_BIN", "")
    assert os.access(program, os.X_OK), "LAPIN_BIN names no program: `tests/run interop` builds and names it"
    done = subprocess.run([program], timeout=25, env={**os.environ, "AMQP_URL": "amqp://guest:guest@%s:%d/%%2f" % server.amqp},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()
    assert done.stdout.decode().count("fine") == 5
