"""mqtt.js over TCP and WebSocket: node/mqttjs.test.js, once for each pair of carrier and version."""

import os
import subprocess
from pathlib import Path

import pytest

NODE = Path(__file__).parent / "node"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("carrier", ["tcp", "websocket"])
def test_mqttjs(server, carrier, version):
    assert (NODE / "node_modules/mqtt").is_dir(), "run `npm ci` in tests/interop/node, or `tests/run interop`"
    url = server.websocket_url if carrier == "websocket" else "mqtt://%s:%d" % server.mqtt
    done = subprocess.run(["node", "--test", "--test-reporter=spec", "mqttjs.test.js"], cwd=NODE, timeout=55,
                          env={**os.environ, "MQTT_URL": url, "MQTT_VERSION": str(version),
                               "LARGEST_PAYLOAD": str(server.websocket_bytes_max if carrier == "websocket" else 1_000_000)},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()
