"""The management API beside RabbitMQ's: names of keys and statuses that RabbitMQ 3.10 answers with are recorded in
`oracle/management-3.10.json`, and whatever tools read there has to be here too.

Recorded anew with `--oracle HOST:PORT` (its AMQP port), and its management port in the environment variable
ORACLE_MANAGEMENT."""

import json
import os
import time
from pathlib import Path
from urllib.parse import quote

import pika
import pytest
import requests

pytestmark = pytest.mark.skipif("config.getoption('--server') != 'motet'", reason="Mosquitto has no management API")

FACTS = Path(__file__).parent / "oracle" / "management-3.10.json"
VHOST = "keys"
HISTORY = "lengths_age=60&lengths_incr=5&msg_rates_age=60&msg_rates_incr=5&data_rates_age=60&data_rates_incr=5" \
          "&node_stats_age=60&node_stats_incr=5"

# Whose keys are compared. {node}, {connection}, {channel} and {port} stand for what is there.
LOOKED_AT = """
/overview /overview?HISTORY /cluster-name /whoami /auth /extensions /feature-flags
/nodes /nodes/{node} /nodes/{node}?HISTORY /nodes/{node}/memory /nodes/{node}/memory/relative
/connections /connections/{connection} /connections/username/guest /vhosts/keys/connections
/connections/{connection}/channels /channels /channels/{channel} /vhosts/keys/channels /consumers/keys
/exchanges/keys /exchanges/keys/x /exchanges/keys/x/bindings/source /exchanges/keys/x2/bindings/destination
/queues/keys /queues/keys/q /queues/keys/q?HISTORY /queues/keys/quorum /queues/keys/stream /queues/keys/own
/queues/keys/q/bindings /queues/keys?page=1&page_size=2&sort=name /queues/keys?disable_stats=true
/queues/keys?disable_stats=true&enable_queue_totals=true
/bindings/keys /bindings/keys/e/x/q/q /bindings/keys/e/x/q/q/a.%23 /bindings/keys/e/x/e/x2
/vhosts /vhosts/keys /vhosts/keys?HISTORY /vhosts/keys/permissions /vhosts/keys/topic-permissions
/users /users/keys-mgr /users/without-permissions /users/keys-mgr/permissions /users/keys-mgr/topic-permissions
/permissions /permissions/keys/keys-mgr /topic-permissions /topic-permissions/keys/keys-mgr
/parameters /parameters/operator_policy/keys /global-parameters/keys-one
/policies/keys /policies/keys/one /operator-policies/keys /operator-policies/keys/one
/vhost-limits/keys /user-limits/keys-mgr /definitions/keys /aliveness-test/keys
/health/checks/alarms /health/checks/local-alarms /health/checks/virtual-hosts /health/checks/port-listener/{port}
/health/checks/port-listener/1 /health/checks/protocol-listener/amqp /health/checks/protocol-listener/nope
/health/checks/certificate-expiration/1/months /health/checks/node-is-quorum-critical
/health/checks/node-is-mirror-sync-critical /auth/attempts/{node} /auth/attempts/{node}/source
""".replace("HISTORY", HISTORY).split()

# What is there in RabbitMQ and not here, and why.
NOT_HERE = {
    "socket_opts.": "ports have no such options",
    "[].javascript": "there are no extensions of a page",
    "[].totals": "RabbitMQ's streams show it by mistake",
    "[].type_specific": "likewise",
    "value.": "values of parameters are whoever's who set them",
    "arguments.": "arguments are whoever's who gave them",
}

# (user, method, path, body): whose status is compared. The user is guest where none is named.
ASKED = [(user, "GET", path, None) for user in ("none", "mgr", "pol", "mon", "adm") for path in """
/overview /nodes /nodes/{node} /connections /channels /consumers/keys /exchanges/keys /queues/keys /queues/keys/q
/bindings/keys /vhosts /users /users/keys-mgr /permissions /permissions/keys/keys-mgr /topic-permissions /parameters
/global-parameters /policies/keys /policies/keys/one /operator-policies/keys /operator-policies/keys/one /definitions
/definitions/keys /vhost-limits/keys /connections/{connection} /channels/{channel} /connections/{connection}/channels
/auth/attempts/{node} /whoami /cluster-name /aliveness-test/keys /health/checks/alarms /auth /
/feature-flags /users/without-permissions /vhosts/keys/permissions
""".split()] + [(user, method, path, body) for user in ("none", "mgr", "pol", "mon", "adm") for method, path, body in [
    ("PUT", "/queues/keys/made", {}), ("DELETE", "/queues/keys/made", None),
    ("PUT", "/policies/keys/made", {"pattern": "x", "definition": {"max-length": 1}}),
    ("DELETE", "/policies/keys/made", None),
    ("PUT", "/operator-policies/keys/made", {"pattern": "x", "definition": {"max-length": 1}}),
    ("DELETE", "/operator-policies/keys/made", None),
    ("PUT", "/users/keys-made", {"password": "x", "tags": ""}), ("DELETE", "/users/keys-made", None),
    ("PUT", "/vhosts/keys-made", {}), ("DELETE", "/vhosts/keys-made", None),
    ("PUT", "/global-parameters/keys-made", {"value": 1}), ("DELETE", "/global-parameters/keys-made", None),
    ("PUT", "/vhost-limits/keys/max-queues", {"value": 1000}), ("DELETE", "/vhost-limits/keys/max-queues", None),
    ("POST", "/rebalance/queues", {}), ("POST", "/definitions", {}),
    ("POST", "/users/bulk-delete", {"users": []}), ("PUT", "/cluster-name", {"name": "choir"}),
    ("POST", "/exchanges/keys/amq.default/publish", {"properties": {}, "routing_key": "no", "payload": "",
                                                    "payload_encoding": "string"}),
    ("POST", "/queues/keys/quorum/get", {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}),
]] + [("guest", method, path, body) for method, path, body in [
    ("HEAD", "/overview", None), ("HEAD", "/queues/keys/q", None), ("HEAD", "/queues/keys/nope", None),
    ("OPTIONS", "/overview", None), ("OPTIONS", "/queues/keys/q", None), ("PATCH", "/queues/keys/q", {}),
    ("POST", "/overview", {}), ("DELETE", "/overview", None), ("GET", "/nope", None), ("GET", "/queues/nope", None),
    ("GET", "/queues/nope/q", None), ("GET", "/exchanges/keys/nope", None), ("GET", "/vhosts/nope", None),
    ("GET", "/users/nope", None), ("GET", "/policies/keys/nope", None), ("GET", "/parameters/nope", None),
    ("GET", "/global-parameters/nope", None), ("GET", "/bindings/keys/e/x/q/nope", None),
    ("GET", "/definitions/nope", None), ("GET", "/aliveness-test/nope", None), ("GET", "/user-limits/nope", None),
    ("GET", "/connections/nope", None), ("GET", "/channels/nope", None), ("GET", "/healthchecks/node/nope", None),
    ("GET", "/queues/keys?page=0", None), ("GET", "/queues/keys?page=x", None), ("GET", "/queues/keys?page=99", None),
    ("GET", "/queues/keys?page=1&page_size=501", None), ("GET", "/queues/keys?page=1&name=(&use_regex=true", None),
    ("GET", "/users?page=1", None), ("GET", "/health/checks/port-listener/x", None),
    ("GET", "/health/checks/certificate-expiration/1/foo", None), ("GET", "/auth/attempts/nope", None),
    ("PUT", "/queues/keys/bad", {"durable": "x"}), ("PUT", "/queues/keys/bad", {"arguments": {"x-max-length": "a"}}),
    ("PUT", "/queues/keys/bad", {"arguments": {"x-queue-type": "foo"}}), ("PUT", "/queues/keys/amq.x", {}),
    ("PUT", "/queues/keys/q", {"durable": True, "arguments": {"x-expires": 1000}}),
    ("PUT", "/exchanges/keys/bad", {"type": "nope"}), ("PUT", "/exchanges/keys/x", {"type": "direct", "durable": True}),
    ("PUT", "/exchanges/keys/amq.x", {}), ("DELETE", "/exchanges/keys/amq.direct", None),
    ("DELETE", "/exchanges/keys/x?if-unused=true", None), ("DELETE", "/queues/keys/own", None),
    ("DELETE", "/queues/keys/own/contents", None), ("DELETE", "/queues/keys/stream/contents", None),
    ("POST", "/queues/keys/own/get", {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}),
    ("POST", "/queues/keys/stream/get", {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}),
    ("POST", "/queues/keys/q/get", {}), ("POST", "/queues/keys/q/actions", {}),
    ("POST", "/queues/keys/nope/get", {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}),
    ("POST", "/exchanges/keys/x/publish", {}), ("POST", "/exchanges/keys/x/publish", {"routing_key": ""}),
    ("POST", "/exchanges/keys/nope/publish", {"properties": {}, "routing_key": "a", "payload": "",
                                             "payload_encoding": "string"}),
    ("POST", "/bindings/keys/e/x/q/nope", {}), ("POST", "/bindings/keys/e/nope/q/q", {}),
    ("POST", "/bindings/keys/e/amq.default/q/q", {}), ("DELETE", "/bindings/keys/e/x/q/q/nope", None),
    ("PUT", "/users/keys-bad", {}), ("PUT", "/users/keys-bad", {"password": "", "tags": ""}),
    ("PUT", "/permissions/keys/nope", {"configure": "", "write": "", "read": ""}),
    ("PUT", "/permissions/keys/keys-mgr", {"configure": ""}), ("DELETE", "/topic-permissions/keys/keys-mgr/nope", None),
    ("PUT", "/policies/keys/bad", {}), ("PUT", "/policies/keys/bad", {"pattern": "x", "definition": {"foo": 1}}),
    ("PUT", "/parameters/policy/keys/bad", {"value": {}}), ("PUT", "/parameters/nope/keys/bad", {"value": {}}),
    ("PUT", "/global-parameters/keys-bad", {}), ("PUT", "/vhost-limits/keys/foo", {"value": 1}),
    ("PUT", "/user-limits/nope/max-channels", {"value": 1}), ("PUT", "/feature-flags/nope/enable", {}),
    ("POST", "/users/bulk-delete", {}), ("DELETE", "/users/nope", None), ("DELETE", "/connections/nope", None),
    ("DELETE", "/auth/attempts/{node}", None), ("PUT", "/cluster-name", {}),
]]


class Scene:
    """The same things in one server or the other."""

    def __init__(self, base, host, port):
        self.base, self.port = base, port
        self.ask("DELETE", "/vhosts/keys")
        self.ask("PUT", "/vhosts/keys", {"description": "d", "tags": "a,b"})
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        for user, tags in (("mgr", "management"), ("pol", "policymaker"), ("mon", "monitoring"), ("none", ""),
                           ("adm", "administrator"), ("idle", "")):
            self.ask("PUT", f"/users/keys-{user}", {"password": "pw", "tags": tags})
            if user != "idle":
                self.ask("PUT", f"/permissions/keys/keys-{user}", everything)
        self.ask("PUT", "/permissions/keys/guest", everything)
        self.ask("PUT", "/topic-permissions/keys/keys-mgr", {"exchange": "amq.topic", "write": ".*", "read": ".*"})
        limit = {"pattern": "^p", "definition": {"max-length": 10}, "apply-to": "queues"}
        self.ask("PUT", "/policies/keys/one", limit)
        self.ask("PUT", "/operator-policies/keys/one", limit)
        self.ask("PUT", "/vhost-limits/keys/max-connections", {"value": 100})
        self.ask("PUT", "/user-limits/keys-mgr/max-connections", {"value": 100})
        self.ask("PUT", "/global-parameters/keys-one", {"value": 1})
        self.connection = pika.BlockingConnection(pika.ConnectionParameters(
            host, port, "keys", pika.PlainCredentials("guest", "guest"), heartbeat=0,
            client_properties={"connection_name": "keys"}))
        self.play()

    def ask(self, method, path, body=None, user=None):
        named = path.format(**self.named()) if "{" in path else path
        auth = (f"keys-{user}", "pw") if user and user != "guest" else ("guest", "guest")
        return requests.request(method, self.base + named, json=body, timeout=20, auth=auth)

    def named(self):
        if not hasattr(self, "names"):
            node = self.ask("GET", "/overview").json()["node"]
            end = time.monotonic() + 20
            while True:
                seen = self.ask("GET", "/connections").json()
                mine = [one for one in seen if one.get("user_provided_name") == "keys"]
                if mine or time.monotonic() > end:
                    break
                time.sleep(0.1)
            name = mine[0]["name"]
            self.names = {"node": node, "port": self.port, "connection": quote(name, safe=""),
                          "channel": quote(f"{name} (1)", safe="")}
        return self.names

    def play(self):
        """Messages by every way in and out."""
        channel = self.connection.channel()
        for exchange, kind in (("x", "topic"), ("x2", "fanout")):
            channel.exchange_declare(exchange, kind, durable=True)
        channel.exchange_bind("x2", "x", "#")
        for queue, options in (("q", {}), ("p", {"x-message-ttl": 600000}), ("quorum", {"x-queue-type": "quorum"}),
                               ("stream", {"x-queue-type": "stream"})):
            channel.queue_declare(queue, durable=True, arguments=options)
        channel.queue_declare("own", exclusive=True)
        channel.queue_bind("q", "x", "a.#")
        channel.queue_bind("p", "x2", "", arguments={"z": 1})
        channel.confirm_delivery()
        for _ in range(5):
            for exchange, key in (("x", "a.b"), ("", "quorum"), ("", "stream"), ("", "nowhere")):
                channel.basic_publish(exchange, key, b"hello")
        with pytest.raises(pika.exceptions.UnroutableError):
            channel.basic_publish("", "nowhere", b"hello", mandatory=True)
        channel.basic_ack(channel.basic_get("q")[0].delivery_tag)
        channel.basic_get("q", auto_ack=True)
        channel.basic_nack(channel.basic_get("q")[0].delivery_tag, requeue=True)
        channel.basic_get("own")
        taking = self.connection.channel()
        taking.basic_qos(prefetch_count=10)
        taken = []
        taking.basic_consume("q", lambda *_: taken.append(1), consumer_tag="ct")
        taking.basic_consume("p", lambda *_: taken.append(1), auto_ack=True)
        end = time.monotonic() + 20
        while len(taken) < 8 and time.monotonic() < end:
            self.connection.process_data_events(0.1)
        assert len(taken) == 8

    def keys(self, path):
        told = self.ask("GET", path).json()
        return sorted(keys_of(told, self.named()["node"]))


def keys_of(value, node, path=""):
    """Every key with the keys it is in; items of lists are alike, and nodes are called `node`."""
    found = set()
    if isinstance(value, dict):
        for key, inner in value.items():
            here = f"{path}.{'node' if key == node else key}"
            found |= {here} | keys_of(inner, node, here)
    elif isinstance(value, list):
        for inner in value:
            found |= keys_of(inner, node, path + "[]")
    return found


def title(user, method, path, body):
    told = json.dumps(body, sort_keys=True) if body is not None else ""
    return f"{user}: {method} {path} {told}".strip()


@pytest.fixture(scope="module")
def scene(kind, tmp_path_factory):
    """On a server of its own: accounts and the name of the cluster are everybody's."""
    server = kind(tmp_path_factory.mktemp("keys")).start()
    made = Scene("http://%s:%d/api" % server.management, *server.amqp)
    yield made
    made.connection.close()
    server.close()


@pytest.fixture(scope="module")
def facts(request):
    oracle = request.config.getoption("--oracle")
    if oracle:
        host, _, port = oracle.rpartition(":")
        made = Scene(f"http://{os.environ['ORACLE_MANAGEMENT']}/api", host, int(port))
        time.sleep(12)  # RabbitMQ tells what it counted some seconds later
        told = {"keys": {path: " ".join(made.keys(path)) for path in LOOKED_AT}, "statuses": {}}
        for one in ASKED:
            user, method, path, body = one
            told["statuses"][title(*one)] = made.ask(method, path, body, user).status_code
        FACTS.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")
        made.connection.close()
    return json.loads(FACTS.read_text())


@pytest.mark.parametrize("path", LOOKED_AT)
def test_whatever_rabbitmq_tells_is_told(scene, facts, path):
    wanted = {key for key in facts["keys"][path].split() if not any(part in key for part in NOT_HERE)}
    assert sorted(wanted - set(scene.keys(path))) == []


# Answered otherwise on purpose. Where RabbitMQ says 500, it fails at what the request lacks.
OTHERWISE = {}


@pytest.mark.parametrize("user", ["none", "mgr", "pol", "mon", "adm", "guest"])
def test_requests_are_answered_with_rabbitmqs_status(scene, facts, user):
    """In their order: what one makes the next one removes."""
    differing = []
    for asked in ASKED:
        if asked[0] != user:
            continue
        expected = OTHERWISE.get(title(*asked), facts["statuses"][title(*asked)])
        answer = scene.ask(*asked[1:], user)
        if expected not in (answer.status_code, 500):
            differing.append(f"{title(*asked)}: {expected}, not {answer.status_code} {answer.text[:200]}")
    assert not differing, "\n".join(differing)
