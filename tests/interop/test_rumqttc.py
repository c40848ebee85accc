"""rumqttc, the Rust client: rust/src/main.rs, which `tests/run` builds."""

import os
import subprocess

import pytest


@pytest.mark.skipif("RUMQTTC_BIN" not in os.environ, reason="`tests/run interop` builds it and sets RUMQTTC_BIN")
@pytest.mark.timeout(90)
def test_rumqttc_speaks_3_1_1_and_5(server, name):
    host, port = server.mqtt
    done = subprocess.run([os.environ["RUMQTTC_BIN"], host, str(port), name], capture_output=True, text=True, timeout=80)
    assert done.returncode == 0, done.stdout + done.stderr
