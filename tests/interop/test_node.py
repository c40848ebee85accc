"""mqtt.js over TCP and WebSocket: node/mqttjs.test.js once for each pair of carrier and version, mqttjs5.test.js for MQTT 5."""

import os
import subprocess
import time
from pathlib import Path

import motet
import pytest
from test_access import JWT, SECRET, token

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


@pytest.mark.timeout(60)
@pytest.mark.parametrize("carrier", ["tcp", "websocket"])
def test_mqttjs_with_what_mqtt_5_adds(server, kind, tmp_path, carrier):
    assert (NODE / "node_modules/mqtt").is_dir(), "run `npm ci` in tests/interop/node, or `tests/run interop`"
    url = server.websocket_url if carrier == "websocket" else "mqtt://%s:%d" % server.mqtt
    more, tokens = {}, None
    if kind is motet.Motet:
        (tmp_path / "secret").write_bytes(SECRET)
        tokens = kind(tmp_path / "tokens", settings=JWT.format(secret=tmp_path / "secret")).start()
        address = tokens.websocket_url if carrier == "websocket" else "mqtt://%s:%d" % tokens.mqtt
        more = {"MQTT_TOKEN_URL": address, "MQTT_TOKEN": token(sub="ann", exp=time.time() + 600)}
    try:
        done = subprocess.run(["node", "--test", "--test-reporter=spec", "mqttjs5.test.js"], cwd=NODE, timeout=55,
                              env={**os.environ, "MQTT_URL": url, **more}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    finally:
        if tokens:
            tokens.close()
    assert done.returncode == 0, done.stdout.decode()
