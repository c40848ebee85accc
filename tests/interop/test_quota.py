"""Quotas of disk and memory per vhost: who publishes there is refused or waits, the others go on, and it ends by itself."""

import json
import os
import subprocess

import pika
import pytest
import requests
from test_definitions import EVERYTHING, Api, connect

pytestmark = pytest.mark.skipif("config.getoption('--server') != 'motet'", reason="Mosquitto has no vhosts")

QUOTA_EXCEEDED = 0x97
PERSISTENT = pika.BasicProperties(delivery_mode=2)


@pytest.fixture
def api(own_server):
    api = Api(own_server)
    api.put("/vhosts/v")
    api.put("/permissions/v/guest", EVERYTHING)
    return api


def limit(api, vhost, name, value):
    api.put(f"/vhost-limits/{vhost}/{name}", {"value": value})


def durable_queue(server, name, vhost="/"):
    channel = connect(server, vhost).channel()
    channel.queue_declare(name, durable=True)
    channel.confirm_delivery()
    return channel


def test_a_limit_is_told_and_taken_away(api):
    limit(api, "v", "max-disk-bytes", 1000)
    limit(api, "v", "max-memory-bytes", 2000)
    assert api.get("/vhost-limits/v") == [{"vhost": "v", "value": {"max-disk-bytes": 1000, "max-memory-bytes": 2000}}]
    assert api.get("/definitions/v")["parameters"] == [{"component": "vhost-limits", "name": "limits", "vhost": "v",
                                                       "value": {"max-disk-bytes": 1000, "max-memory-bytes": 2000}}]
    api.delete("/vhost-limits/v/max-disk-bytes")
    assert api.get("/vhost-limits/v")[0]["value"] == {"max-memory-bytes": 2000}


def test_an_mqtt_5_publisher_is_refused_and_the_next_vhost_goes_on(own_server, api, paho, peer):
    ann = paho(own_server, version=5, client_id="ann", clean=False, expiry=3600)
    assert ann.subscribe("full/#", 1) == [1]
    ann.client.disconnect()
    limit(api, "%2F", "max-disk-bytes", 5000)
    bob = peer(own_server, version=5)
    bob.connect("bob")
    codes = [bob.publish("full/1", b"x" * 1000, qos=1) for _ in range(8)]
    assert codes[0] == 0 and codes[-1] == QUOTA_EXCEEDED, codes
    assert bob.publish("nobody/listens", b"x", qos=1) == 0x10, "what no queue keeps needs no room"
    told = api.get("/vhosts/%2F")
    assert told["quotas_reached"] == ["disk"] and told["disk_bytes"] > 5000
    other = durable_queue(own_server, "q", "v")
    other.basic_publish("", "q", b"x" * 9000, PERSISTENT)
    assert api.get("/vhosts/v")["quotas_reached"] == []
    ann.connect()
    for _ in range(codes.count(0)):
        assert ann.message().payload == b"x" * 1000
    until(lambda: api.get("/vhosts/%2F")["quotas_reached"] == [])
    assert bob.publish("full/1", b"again", qos=1) == 0
    assert ann.message().payload == b"again"


def test_an_older_mqtt_client_waits_and_loses_nothing(own_server, api, paho):
    channel = durable_queue(own_server, "q")
    channel.queue_bind("q", "amq.topic", "full")
    limit(api, "%2F", "max-disk-bytes", 5000)
    bob = paho(own_server, version=4, client_id="bob")
    sent = [bob.publish("full", b"%04d" % n + b"x" * 1000, qos=1, wait=False) for n in range(30)]
    until(lambda: api.get("/vhosts/%2F")["quotas_reached"] == ["disk"])
    later = bob.publish("full", b"later", qos=1, wait=False)
    got = [channel.basic_get("q", auto_ack=True) for _ in range(30)]
    until(lambda: all(one.is_published() for one in [*sent, later]))
    while len(got) < 31 or got[-1][2] is not None:
        got.append(channel.basic_get("q", auto_ack=True))
        assert len(got) < 200
    bodies = [body for _, _, body in got if body is not None]
    assert [body[:4] for body in bodies] == [b"%04d" % n for n in range(30)] + [b"late"]
    assert bob.disconnects.empty()


def test_an_amqp_publisher_is_blocked_and_goes_on_when_there_is_room(own_server, api):
    limit(api, "v", "max-memory-bytes", 5000)
    reader = durable_queue(own_server, "q", "v")
    connection, said = connect(own_server, "v"), []
    connection.add_on_connection_blocked_callback(lambda _, frame: said.append(frame.method.reason))
    connection.add_on_connection_unblocked_callback(lambda *_: said.append("go on"))
    channel = connection.channel()
    for _ in range(10):
        channel.basic_publish("", "q", b"x" * 1000)
    until(lambda: api.get("/vhosts/v")["quotas_reached"] == ["memory"])
    channel.basic_publish("", "q", b"one too many")
    until(lambda: connection.process_data_events(time_limit=0.1) or said)
    assert said == ["the vhost's quota of memory is reached"]
    elsewhere = durable_queue(own_server, "q")
    elsewhere.basic_publish("", "q", b"x" * 9000)
    got = 0
    for method, _, _ in reader.consume("q", auto_ack=True, inactivity_timeout=1):
        connection.process_data_events(time_limit=0)
        got += method is not None
        if got == 11:
            break
    until(lambda: connection.process_data_events(time_limit=0.1) or said[-1] == "go on")
    connection.close()


def test_a_quota_of_the_configuration_is_seen_in_metrics_log_and_status(own_server, api):
    limit(api, "v", "max-disk-bytes", 10)
    channel = durable_queue(own_server, "q", "v")
    channel.basic_publish("", "q", b"x" * 100, PERSISTENT)
    host, port = own_server.http
    metrics = requests.get(f"http://{host}:{port}/metrics", timeout=20).text
    assert 'motet_core_vhost_quota_reached{vhost="v",resource="disk"} 1' in metrics
    assert "motet_core_vhosts_over_quota 1" in metrics
    ran = subprocess.run([os.environ["MOTET_BIN"], "status", "--json", "--url", f"http://{host}:{port}"],
                         capture_output=True, text=True, timeout=20, check=True)
    assert json.loads(ran.stdout)["vhosts_over_quota"] == 1
    until(lambda: "quota is reached" in own_server.log)
    own_server.restart()
    assert api.get("/vhosts/v")["quotas_reached"] == ["disk"], "what a start finds is counted"
    limit(api, "v", "max-disk-bytes", -1)
    assert api.get("/vhosts/v")["quotas_reached"] == []


def until(look, seconds=15):
    import time
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
