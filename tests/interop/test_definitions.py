"""Definitions: what RabbitMQ's tools make over HTTP, in force over AMQP, moved from server to server."""

import base64
import hashlib
import json
import os
import subprocess
import time

import pika
import pytest
import requests
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker, ProbableAccessDeniedError, \
    ProbableAuthenticationError

pytestmark = pytest.mark.skipif("config.getoption('--server') != 'motet'", reason="Mosquitto has no management API")

EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}


class Api:
    """Asks as guest, and tells status and answer."""

    def __init__(self, server):
        self.base = "http://%s:%d/api" % server.management

    def ask(self, method, path, body=None, auth=("guest", "guest")):
        answer = requests.request(method, self.base + path, json=body, auth=auth, timeout=20)
        return answer.status_code, answer.json() if answer.content else None

    def get(self, path):
        status, told = self.ask("GET", path)
        assert status == 200, (path, status, told)
        return told

    def put(self, path, body=None):
        status, told = self.ask("PUT", path, body)
        assert status in (201, 204), (path, status, told)

    def delete(self, path):
        status, told = self.ask("DELETE", path)
        assert status == 204, (path, status, told)


def connect(server, vhost="/", user="guest", password="guest"):
    host, port = server.amqp
    return pika.BlockingConnection(pika.ConnectionParameters(
        host, port, vhost, pika.PlainCredentials(user, password), heartbeat=0, socket_timeout=20))


@pytest.fixture
def api(own_server):
    return Api(own_server)


@pytest.fixture
def place(api):
    """A vhost of its own, and a user with everything in it."""
    api.put("/vhosts/v")
    api.put("/users/ann", {"password": "secret", "tags": "management"})
    api.put("/permissions/v/ann", EVERYTHING)
    return "v"


def ann(server):
    return connect(server, "v", "ann", "secret")


# -- users and permissions


def test_guest_goes_on_beside_the_users_it_made(own_server, api, place):
    names = [user["name"] for user in api.get("/users")]
    assert sorted(names) == ["ann", "guest"]
    connect(own_server).close()
    own_server.restart()
    assert api.get("/whoami")["name"] == "guest"
    connect(own_server).close()


def test_a_user_is_told_as_rabbitmq_tells_it(api):
    assert api.ask("PUT", "/users/bob", {"password": "x"}) == (400, {"error": "bad_request",
                                                                    "reason": "tags_not_present"})
    assert api.ask("PUT", "/users/bob", {"password": "x", "tags": "management,foo"})[0] == 201
    assert api.ask("PUT", "/users/bob", {"password": "x", "tags": ["management", "foo"]})[0] == 204
    bob = api.get("/users/bob")
    assert (bob["name"], bob["tags"], bob["limits"]) == ("bob", ["management", "foo"], {})
    assert [user["name"] for user in api.get("/users/without-permissions")] == ["bob"]
    assert api.ask("POST", "/users/bulk-delete", {"users": ["bob"]})[0] == 204
    assert api.ask("GET", "/users/bob") == (404, {"error": "Object Not Found", "reason": "Not Found"})


def test_who_has_no_permission_does_not_get_in_and_who_has_one_may_what_it_says(own_server, api, place):
    api.put("/users/bob", {"password": "x", "tags": ""})
    with pytest.raises(ProbableAccessDeniedError, match="access to vhost 'v' refused for user 'bob'"):
        connect(own_server, "v", "bob", "x")
    api.put("/permissions/v/bob", {"configure": "^b", "write": ".*", "read": ""})
    connection = connect(own_server, "v", "bob", "x")
    channel = connection.channel()
    channel.queue_declare("b1")
    with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
        channel.queue_declare("a1")
    connection.close()
    assert api.get("/permissions/v/bob") == {"user": "bob", "vhost": "v", "configure": "^b", "write": ".*", "read": ""}
    assert api.ask("PUT", "/permissions/v/nobody", EVERYTHING)[1]["reason"] == "vhost_or_user_not_found"
    api.delete("/permissions/v/bob")
    with pytest.raises(ProbableAccessDeniedError):
        connect(own_server, "v", "bob", "x")


def test_a_removed_user_and_a_removed_vhost_end_their_connections(own_server, api, place):
    connection = ann(own_server)
    api.delete("/users/ann")
    with pytest.raises(ConnectionClosedByBroker, match="user 'ann' is deleted") as closed:
        while True:
            connection.process_data_events(time_limit=5)
    assert closed.value.reply_code == 320
    api.put("/users/ann", {"password": "secret", "tags": ""})
    api.put("/permissions/v/ann", EVERYTHING)
    connection = ann(own_server)
    api.delete("/vhosts/v")
    with pytest.raises(ConnectionClosedByBroker, match="vhost 'v' is deleted") as closed:
        while True:
            connection.process_data_events(time_limit=5)
    assert closed.value.reply_code == 320


def test_a_hash_of_rabbitmq_is_replaced_at_the_next_login(own_server, api, place):
    salt = b"abcd"
    salted = base64.b64encode(salt + hashlib.sha256(salt + b"moved").digest()).decode()
    api.put("/users/eve", {"password_hash": salted, "tags": ""})
    api.put("/permissions/v/eve", EVERYTHING)
    assert api.get("/users/eve")["hashing_algorithm"] == "rabbit_password_hashing_sha256"
    staying = connect(own_server, "v", "eve", "moved")
    end = time.monotonic() + 15
    while api.get("/users/eve")["hashing_algorithm"] != "motet":
        assert time.monotonic() < end, "it was not replaced"
        time.sleep(0.02)
    staying.channel()
    own_server.restart()
    connect(own_server, "v", "eve", "moved").close()
    with pytest.raises(ProbableAuthenticationError):
        connect(own_server, "v", "eve", "wrong")


# -- policies


def test_a_policy_is_in_force_at_once_and_told_with_the_queue(own_server, api, place):
    channel = ann(own_server).channel()
    channel.confirm_delivery()
    channel.queue_declare("abc", durable=True)
    body = {"pattern": "^a", "definition": {"max-length": 2}, "priority": 1, "apply-to": "queues"}
    assert api.ask("PUT", "/policies/v/p", body) == (201, None)
    for text in "1234":
        channel.basic_publish("", "abc", text)
    assert channel.queue_declare("abc", passive=True).method.message_count == 2
    api.put("/operator-policies/v/o", {"pattern": "a", "definition": {"max-length": 1}, "apply-to": "queues"})
    queue = api.get("/queues/v/abc")
    assert (queue["policy"], queue["operator_policy"]) == ("p", "o")
    assert queue["effective_policy_definition"] == {"max-length": 1}
    assert api.get("/policies/v/p") == {**body, "vhost": "v", "name": "p"}
    own_server.restart()
    assert api.get("/queues/v/abc")["policy"] == "p"
    api.delete("/policies/v/p")
    assert api.get("/queues/v/abc")["policy"] is None


def test_what_is_no_policy_is_refused_in_rabbitmqs_words(api, place):
    for body, reason in [
        ({"pattern": "a", "definition": {"foo": 1}},
         "Validation failed\n\n[{&lt;&lt;\"foo\"&gt;&gt;,1}] are not recognised policy settings\n"),
        ({"pattern": "a", "definition": {"max-length": -1}},
         "Validation failed\n\n-1 is not a valid maximum length\n"),
        ({"pattern": "(", "definition": {"max-length": 1}},
         "Validation failed\n\npattern should be regular expression but is invalid: {\"missing )\",1}\n"),
        ({"pattern": "a", "definition": {}}, "Validation failed\n\nno policy provided\n"),
        ({"pattern": "a"}, "[{key_missing,definition}]"),
    ]:
        assert api.ask("PUT", "/policies/v/p", body) == (400, {"error": "bad_request", "reason": reason})
    assert api.ask("PUT", "/policies/nope/p", {"pattern": "a", "definition": {"max-length": 1}}) == (
        404, {"error": "not_found", "reason": "vhost_not_found"})


# -- limits


def test_limits_are_kept_in_rabbitmqs_words(own_server, api, place):
    channel = ann(own_server).channel()
    channel.queue_declare("q1")
    api.put("/vhost-limits/v/max-queues", {"value": 1})
    with pytest.raises(ChannelClosedByBroker) as refused:
        channel.queue_declare("q2")
    assert (refused.value.reply_code, refused.value.reply_text) == (
        406, "PRECONDITION_FAILED - cannot declare queue 'q2': queue limit in vhost 'v' (1) is reached")
    api.put("/vhost-limits/v/max-connections", {"value": 1})
    text = r"access to vhost 'v' refused for user 'ann': connection limit \(1\) is reached"
    with pytest.raises(ProbableAccessDeniedError, match=text):
        ann(own_server)
    assert api.get("/vhost-limits/v") == [{"vhost": "v", "value": {"max-connections": 1, "max-queues": 1}}]
    api.delete("/vhost-limits/v/max-connections")
    api.put("/user-limits/ann/max-connections", {"value": 1})
    with pytest.raises(ProbableAccessDeniedError,
                       match=r"connection refused for user 'ann': user connection limit \(1\) is reached"):
        ann(own_server)
    api.put("/user-limits/ann/max-connections", {"value": 5})
    api.put("/user-limits/ann/max-channels", {"value": 2})
    connection = ann(own_server)
    connection.channel()
    with pytest.raises(ConnectionClosedByBroker, match=r"maximum allowed user limit of \(2\)"):
        connection.channel()
        connection.channel()


# -- the whole


def everything(api):
    told = api.get("/definitions")
    key = lambda one: json.dumps(one, sort_keys=True)  # noqa: E731
    return {name: sorted(part, key=key) for name, part in told.items() if isinstance(part, list)}


def test_what_is_exported_comes_back_on_an_empty_server(own_server, api, place, kind, tmp_path):
    channel = ann(own_server).channel()
    channel.exchange_declare("x", "topic", durable=True, arguments={"alternate-exchange": "y"})
    channel.queue_declare("q", durable=True, arguments={"x-max-length": 5, "x-queue-type": "quorum"})
    channel.queue_bind("q", "x", "a.#")
    api.put("/topic-permissions/v/ann", {"exchange": "amq.topic", "write": "^a", "read": ".*"})
    api.put("/policies/v/p", {"pattern": "^q", "definition": {"max-length": 3}})
    api.put("/operator-policies/v/o", {"pattern": "^q", "definition": {"expires": 600000}, "apply-to": "queues"})
    api.put("/vhost-limits/v/max-queues", {"value": 7})
    api.put("/user-limits/ann/max-channels", {"value": 9})
    api.put("/global-parameters/g", {"value": {"a": 1}})
    before, document = everything(api), api.get("/definitions")
    other = kind(tmp_path / "other").start()
    try:
        there = Api(other)
        assert there.ask("POST", "/definitions", document) == (204, None)
        assert everything(there) == before
        ann(other).close()
        other.restart()
        assert everything(there) == before
    finally:
        other.close()


def rabbit_hash(password):
    salt = b"\x01\x02\x03\x04"
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


RABBIT = {
    "rabbit_version": "3.10.8", "rabbitmq_version": "3.10.8", "product_name": "RabbitMQ", "product_version": "3.10.8",
    "users": [{"name": "carol", "password_hash": rabbit_hash("from-rabbit"),
               "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ["monitoring"], "limits": {}}],
    "vhosts": [{"name": "/"}, {"name": "shop"}],
    "permissions": [{"user": "carol", "vhost": "shop", **EVERYTHING}],
    "topic_permissions": [],
    "parameters": [{"value": {"max-queues": 9}, "vhost": "shop", "component": "vhost-limits", "name": "limits"}],
    "global_parameters": [{"name": "internal_cluster_id", "value": "rabbitmq-cluster-id-x"}],
    "policies": [{"vhost": "shop", "name": "ha", "pattern": "", "apply-to": "queues", "priority": 0,
                  "definition": {"ha-mode": "all", "max-length": 100}}],
    "queues": [{"name": "orders", "vhost": "shop", "durable": True, "auto_delete": False, "arguments": {}}],
    "exchanges": [{"name": "in", "vhost": "shop", "type": "direct", "durable": True, "auto_delete": False,
                   "internal": False, "arguments": {}}],
    "bindings": [{"source": "in", "vhost": "shop", "destination": "orders", "destination_type": "queue",
                  "routing_key": "k", "arguments": {}}],
}


def works_for_carol(server):
    with pytest.raises((ProbableAuthenticationError, ConnectionClosedByBroker)):
        connect(server, "shop", "carol", "wrong")
    connection = connect(server, "shop", "carol", "from-rabbit")
    channel = connection.channel()
    channel.confirm_delivery()
    channel.basic_publish("in", "k", b"m", mandatory=True)
    assert channel.queue_declare("orders", passive=True).method.message_count == 1
    connection.close()


def test_a_file_of_rabbitmq_is_taken_while_no_server_runs(own_server, tmp_path):
    own_server.terminate()
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps(RABBIT))
    command = [os.environ["MOTET_BIN"], "import", "rabbitmq", str(file)]
    tried = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, timeout=30,
                           env=own_server.environment())
    assert tried.returncode == 0 and "would take" in tried.stdout, tried
    taken = subprocess.run([*command, "--data-dir", str(own_server.data_dir)],
                           capture_output=True, text=True, timeout=30,
                           env=own_server.environment())
    assert taken.returncode == 0, taken
    assert "policy ha: ha-mode mean nothing here" in taken.stdout
    own_server.start()
    works_for_carol(own_server)


def test_a_file_of_rabbitmq_is_taken_by_a_running_server_and_at_a_start(own_server, kind, tmp_path):
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps(RABBIT))
    taken = subprocess.run([os.environ["MOTET_BIN"], "import", "rabbitmq", str(file), "--data-dir",
                            str(own_server.data_dir)],
                           capture_output=True, text=True, timeout=30,
                           env=own_server.environment())
    assert taken.returncode == 0, taken
    exported = subprocess.run([os.environ["MOTET_BIN"], "export", "definitions", "--data-dir",
                               str(own_server.data_dir)],
                           capture_output=True, text=True, timeout=30,
                           env=own_server.environment())
    assert json.loads(exported.stdout)["users"][0]["password_hash"] == RABBIT["users"][0]["password_hash"]
    works_for_carol(own_server)  # from here on the hash is ours
    other = kind(tmp_path / "other", settings=f"load_definitions = {json.dumps(str(file))}").start()
    try:
        works_for_carol(other)
    finally:
        other.close()
