"""The management API: field names, statuses and texts as RabbitMQ's tools know them, with pika making the objects."""

import glob
import json
import os
import subprocess
import sys
import time
from urllib.parse import quote

import pika
import pytest
import requests
from amqpstorm import management
from pika.exceptions import ConnectionClosedByBroker

pytestmark = pytest.mark.skipif("config.getoption('--server') != 'motet'", reason="Mosquitto has no management API")

RABBITMQADMIN = sorted(glob.glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/plugins/rabbitmq_management-*/priv/www/cli/"
                                 "rabbitmqadmin"))


class Api:
    """Asks as guest, and expects a status."""

    def __init__(self, server):
        self.base = "http://%s:%d/api" % server.management

    def ask(self, method, path, body=None, status=None, auth=("guest", "guest"), **options):
        answer = requests.request(method, self.base + path, json=body, auth=auth, timeout=20, **options)
        expected = status or {"GET": 200, "PUT": 201, "POST": 200, "DELETE": 204}[method]
        assert answer.status_code == expected, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def get(self, path, **options):
        return self.ask("GET", path, **options)


@pytest.fixture
def api(server):
    return Api(server)


@pytest.fixture
def amqp(server):
    opened = []

    def connect(**options):
        host, port = server.amqp
        opened.append(pika.BlockingConnection(pika.ConnectionParameters(
            host, port, heartbeat=0, blocked_connection_timeout=20, socket_timeout=20, **options)))
        return opened[-1]

    yield connect
    for one in opened:
        if one.is_open:
            one.close()


def until(look, seconds=15):
    """What `look` returns once it is true."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
    return seen


# -- who asks


def test_guest_is_an_administrator_on_loopback(api):
    assert api.get("/whoami") == {"name": "guest", "tags": ["administrator"]}
    assert api.get("/auth", auth=None)["enable_uaa"] is False


def test_a_wrong_login_is_told(api):
    assert api.get("/whoami", auth=("guest", "wrong"), status=401) == {"error": "not_authorized",
                                                                      "reason": "Login failed"}
    answer = requests.get(api.base + "/whoami", timeout=20)
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"].startswith("Basic realm=")


def test_the_api_is_on_the_web_port_too(server):
    answer = requests.get("http://%s:%d/api/overview" % server.http, auth=("guest", "guest"), timeout=20)
    assert answer.status_code == 200 and answer.json()["product_name"] == "Motet"


def test_what_is_not_there(api):
    not_found = {"error": "Object Not Found", "reason": "Not Found"}
    for path in ("/nope", "/queues/%2F/nope", "/queues/nope", "/exchanges/%2F/nope", "/channels/nope",
                 "/connections/nope", "/aliveness-test/nope"):
        assert api.get(path, status=404) == not_found, path
    assert api.ask("DELETE", "/queues", status=405) is None


# -- queues


def test_a_queue_lives_and_dies(api, name):
    path = f"/queues/%2F/{name}"
    body = {"durable": True, "arguments": {"x-max-length": 5}}
    api.ask("PUT", path, body)
    api.ask("PUT", path, body, status=204)
    mismatch = api.ask("PUT", path, {"durable": False}, status=400)
    assert mismatch == {"error": "bad_request", "reason": f"inequivalent arg 'durable' for queue '{name}' in vhost '/': "
                                                          "received 'false' but current is 'true'"}
    queue = api.get(path)
    assert (queue["name"], queue["vhost"], queue["durable"], queue["auto_delete"]) == (name, "/", True, False)
    assert (queue["type"], queue["state"], queue["arguments"]) == ("classic", "running", {"x-max-length": 5})
    assert api.get(path + "/bindings") == [{
        "source": "", "vhost": "/", "destination": name, "destination_type": "queue", "routing_key": name,
        "arguments": {}, "properties_key": name}]
    api.ask("DELETE", path + "?if-empty=true&if-unused=true")
    api.ask("DELETE", path, status=404)


def test_queues_are_told_what_pika_did(api, amqp, name):
    channel = amqp().channel()
    channel.queue_declare(name)
    for _ in range(3):
        channel.basic_publish("", name, b"x" * 10)
    queue = until(lambda: (seen := api.get(f"/queues/%2F/{name}"))["messages"] == 3 and seen)
    assert (queue["messages_ready"], queue["messages_unacknowledged"], queue["consumers"]) == (3, 0, 0)
    assert queue["message_stats"]["publish"] == 3
    channel.basic_get(name)
    queue = until(lambda: (seen := api.get(f"/queues/%2F/{name}"))["messages_unacknowledged"] == 1 and seen)
    assert (queue["messages"], queue["messages_ready"]) == (3, 2)
    api.ask("DELETE", f"/queues/%2F/{name}/contents")
    assert api.get(f"/queues/%2F/{name}")["messages_ready"] == 0


def test_a_page_of_queues(api, name):
    for at in range(3):
        api.ask("PUT", f"/queues/%2F/{name}-{at}", {})
    page = api.get(f"/queues?page=2&page_size=2&name={name}&use_regex=false&sort=name")
    assert [queue["name"] for queue in page["items"]] == [f"{name}-2"]
    assert (page["page"], page["page_size"], page["page_count"]) == (2, 2, 2)
    assert (page["filtered_count"], page["item_count"]) == (3, 1) and page["total_count"] >= 3
    picked = api.get(f"/queues/%2F?name=%5E{name}-[01]%24&use_regex=true&columns=name&page=1&sort=name&sort_reverse=true")
    assert picked["items"] == [{"name": f"{name}-1"}, {"name": f"{name}-0"}]
    assert api.get("/queues?page=900&page_size=500", status=400)["error"] == "page_out_of_range"
    for at in range(3):
        api.ask("DELETE", f"/queues/%2F/{name}-{at}")


def test_a_message_is_published_and_looked_at(api, amqp, name):
    api.ask("PUT", f"/queues/%2F/{name}", {})
    message = {"properties": {"delivery_mode": 2, "headers": {"a": 1}, "type": "t"}, "routing_key": name,
               "payload": "hello", "payload_encoding": "string"}
    assert api.ask("POST", "/exchanges/%2F/amq.default/publish", message) == {"routed": True}
    assert api.ask("POST", "/exchanges/%2F/amq.default/publish", {**message, "routing_key": name + "-no"}) == {
        "routed": False}
    look = {"count": 5, "ackmode": "ack_requeue_true", "encoding": "auto"}
    assert api.ask("POST", f"/queues/%2F/{name}/get", look) == [{
        "payload_bytes": 5, "redelivered": False, "exchange": "", "routing_key": name, "message_count": 0,
        "properties": {"delivery_mode": 2, "headers": {"a": 1}, "type": "t"}, "payload": "hello",
        "payload_encoding": "string"}]
    method, properties, body = amqp().channel().basic_get(name, auto_ack=True)
    assert method.redelivered and body == b"hello"
    assert (properties.delivery_mode, properties.headers, properties.type) == (2, {"a": 1}, "t")
    assert api.ask("POST", f"/queues/%2F/{name}/get", {**look, "ackmode": "ack_requeue_false"}) == []
    missing = api.ask("POST", f"/queues/%2F/{name}/get", {}, status=400)
    assert missing["reason"] == "[{key_missing,ackmode},{key_missing,count},{key_missing,encoding}]"
    api.ask("DELETE", f"/queues/%2F/{name}")


def test_a_rejected_look_dead_letters(api, name):
    api.ask("PUT", f"/queues/%2F/{name}-dead", {})
    api.ask("PUT", f"/queues/%2F/{name}", {"arguments": {"x-dead-letter-exchange": "",
                                                        "x-dead-letter-routing-key": name + "-dead"}})
    message = {"properties": {}, "routing_key": name, "payload": "/w==", "payload_encoding": "base64"}
    api.ask("POST", "/exchanges/%2F/amq.default/publish", message)
    look = {"count": 1, "ackmode": "reject_requeue_false", "encoding": "auto"}
    assert api.ask("POST", f"/queues/%2F/{name}/get", look)[0]["payload_encoding"] == "base64"
    dead = until(lambda: api.ask("POST", f"/queues/%2F/{name}-dead/get", look))
    assert dead[0]["properties"]["headers"]["x-death"][0]["reason"] == "rejected"
    for queue in (name, name + "-dead"):
        api.ask("DELETE", f"/queues/%2F/{queue}")


# -- exchanges and bindings


def test_exchanges_and_bindings(api, name):
    api.ask("PUT", f"/exchanges/%2F/{name}", {"type": "topic", "durable": True})
    api.ask("PUT", f"/queues/%2F/{name}", {})
    exchange = api.get(f"/exchanges/%2F/{name}")
    assert (exchange["type"], exchange["durable"], exchange["internal"]) == ("topic", True, False)
    answer = requests.post(f"{api.base}/bindings/%2F/e/{name}/q/{name}", auth=("guest", "guest"), timeout=20,
                           json={"routing_key": "a.*", "arguments": {"x": 1}})
    assert answer.status_code == 201
    location = answer.headers["Location"]
    assert location.startswith(f"{name}/a.%252A~")
    binding = api.get(f"/bindings/%2F/e/{name}/q/{location}")
    assert (binding["routing_key"], binding["arguments"]) == ("a.*", {"x": 1})
    assert api.get(f"/bindings/%2F/e/{name}/q/{name}") == [binding]
    assert api.get(f"/exchanges/%2F/{name}/bindings/source") == [binding]
    api.ask("DELETE", f"/exchanges/%2F/{name}?if-unused=true", status=400)
    api.ask("DELETE", f"/bindings/%2F/e/{name}/q/{location}")
    api.ask("DELETE", f"/bindings/%2F/e/{name}/q/{location}", status=404)
    api.ask("DELETE", f"/exchanges/%2F/{name}?if-unused=true")
    api.ask("DELETE", f"/queues/%2F/{name}")


# -- who is connected


def test_connections_channels_and_consumers(api, amqp, name):
    connection = amqp(client_properties={"connection_name": name})
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare(name)
    channel.basic_qos(prefetch_count=7)
    channel.basic_consume(name, lambda *_: None, consumer_tag="ct")
    channel.basic_publish("", name, b"x")
    connection.process_data_events(0.1)
    seen = next(one for one in api.get("/connections") if one.get("user_provided_name") == name)
    assert (seen["user"], seen["vhost"], seen["protocol"], seen["state"]) == ("guest", "/", "AMQP 0-9-1", "running")
    assert seen["client_properties"]["product"] == "Pika Python Client Library" and seen["channels"] == 1
    assert seen["name"] == f"{seen['peer_host']}:{seen['peer_port']} -> {seen['host']}:{seen['port']}"
    path = "/connections/" + quote(seen["name"], safe="")
    one = until(lambda: (ones := api.get(path + "/channels"))[0]["messages_unacknowledged"] == 1 and ones[0])
    assert (one["number"], one["confirm"], one["prefetch_count"], one["consumer_count"]) == (1, True, 7, 1)
    assert one["message_stats"]["publish"] == 1 and one["message_stats"]["confirm"] == 1
    assert one["connection_details"]["name"] == seen["name"]
    full = api.get("/channels/" + quote(one["name"], safe=""))
    consumer = full["consumer_details"][0]
    assert (consumer["consumer_tag"], consumer["ack_required"], consumer["prefetch_count"]) == ("ct", True, 7)
    assert consumer["queue"] == {"name": name, "vhost": "/"} and consumer["activity_status"] == "up"
    assert consumer in api.get("/consumers/%2F")
    assert api.get(f"/queues/%2F/{name}")["consumer_details"] == [consumer]
    api.ask("DELETE", path, headers={"X-Reason": "because"})
    with pytest.raises(ConnectionClosedByBroker) as closed:
        connection.process_data_events(10)
    assert (closed.value.reply_code, closed.value.reply_text) == (320, "CONNECTION_FORCED - because")
    until(lambda: all(one["name"] != seen["name"] for one in api.get("/connections")))


def test_mqtt_connections_are_listed_too(api, server, paho, name):
    paho(server, version=4, client_id=name)
    paho(server, version=5, client_id=name + "-5")
    seen = {one["variable_map"]["client_id"]: one for one in api.get("/connections") if "variable_map" in one}
    assert seen[name]["protocol"] == "MQTT 3.1.1" and seen[name + "-5"]["protocol"] == "MQTT 5.0"
    api.ask("DELETE", "/connections/" + quote(seen[name]["name"], safe=""))
    until(lambda: all(one["name"] != seen[name]["name"] for one in api.get("/connections")))


# -- the node


def test_overview_and_nodes(api, server):
    overview = api.get("/overview")
    assert set(overview["object_totals"]) == {"channels", "connections", "consumers", "exchanges", "queues"}
    ports = {(one["protocol"], one["port"]) for one in overview["listeners"]}
    assert {("amqp", server.amqp[1]), ("mqtt", server.mqtt[1]), ("http", server.management[1])} <= ports
    node = api.get("/nodes")[0]
    assert node["name"] == overview["node"] and node["running"] and node["mem_used"] > 0 and node["fd_used"] > 0
    assert api.get(f"/nodes/{node['name']}")["uptime"] > 0
    assert api.get("/cluster-name") == {"name": node["name"]}


def test_health_checks(api, server):
    assert api.get("/aliveness-test/%2F") == {"status": "ok"}
    for check in ("alarms", "local-alarms", "virtual-hosts", "node-is-quorum-critical", "ready-to-serve-clients"):
        assert api.get(f"/health/checks/{check}")["status"] == "ok", check
    port = server.amqp[1]
    assert api.get(f"/health/checks/port-listener/{port}") == {"status": "ok", "port": port}
    assert api.get("/health/checks/protocol-listener/amqp") == {"status": "ok", "protocol": "amqp"}
    assert api.get("/health/checks/port-listener/1", status=503)["reason"] == "No active listener"


# -- figures


def test_every_way_of_a_message_has_its_figure(api, amqp, name):
    connection = amqp(client_properties={"connection_name": name})
    channel = connection.channel()
    channel.confirm_delivery()
    channel.exchange_declare(name, "fanout")
    for queue in (name, name + "-2"):
        channel.queue_declare(queue)
        channel.queue_bind(queue, name)
    for _ in range(6):
        channel.basic_publish(name, "k", b"x")
    channel.basic_publish("", name + "-nobody", b"x")
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish("", name + "-nobody", b"x", mandatory=True)
    channel.basic_ack(channel.basic_get(name)[0].delivery_tag)
    channel.basic_nack(channel.basic_get(name)[0].delivery_tag)
    channel.basic_get(name, auto_ack=True)
    taken = []
    channel.basic_qos(prefetch_count=2)
    channel.basic_consume(name, lambda *_: taken.append(1))
    channel.basic_consume(name + "-2", lambda *_: taken.append(1), auto_ack=True)
    until(lambda: connection.process_data_events(0.1) or len(taken) == 8)
    channel.queue_declare(name + "-3")
    channel.basic_get(name + "-3")

    def of_queue(queue):
        stats = api.get(f"/queues/%2F/{queue}")["message_stats"]
        assert all(f"{key}_details" in stats for key in stats if not key.endswith("_details"))
        return {key: figure for key, figure in stats.items() if not key.endswith("_details") and figure}

    assert of_queue(name) == {"publish": 6, "deliver": 2, "get": 2, "get_no_ack": 1, "deliver_get": 5, "redeliver": 1,
                              "ack": 1}
    assert of_queue(name + "-2") == {"publish": 6, "deliver_no_ack": 6, "deliver_get": 6}
    assert of_queue(name + "-3") == {"get_empty": 1}
    exchange = api.get(f"/exchanges/%2F/{name}")["message_stats"]
    assert (exchange["publish_in"], exchange["publish_out"]) == (6, 12)
    own = next(one["name"] for one in api.get("/connections") if one.get("user_provided_name") == name)
    path = "/channels/" + quote(own + " (1)", safe="")
    stats = until(lambda: (seen := api.get(path)["message_stats"])["confirm"] == 8 and seen)
    wanted = {"publish": 8, "confirm": 8, "drop_unroutable": 1, "return_unroutable": 1, "deliver": 2,
              "deliver_no_ack": 6, "get": 2, "get_no_ack": 1, "get_empty": 1, "deliver_get": 11, "redeliver": 1, "ack": 1}
    assert {key: stats[key] for key in wanted} == wanted
    before = api.get("/vhosts/%2F")["message_stats"]
    connection.close()
    for queue in (name, name + "-2", name + "-3"):
        api.ask("DELETE", f"/queues/%2F/{queue}")
    api.ask("DELETE", f"/exchanges/%2F/{name}")
    after = api.get("/vhosts/%2F")["message_stats"]
    assert all(after[key] >= before[key] for key in wanted), "what is gone still counts"


def test_a_transaction_counts_at_its_commit(api, amqp, name):
    connection = amqp(client_properties={"connection_name": name})
    channel = connection.channel()
    channel.queue_declare(name)
    channel.basic_publish("", name, b"0")
    channel.tx_select()
    got = channel.basic_get(name)[0]
    channel.basic_publish("", name, b"1")
    channel.basic_publish("", name + "-nobody", b"2")
    channel.basic_ack(got.delivery_tag)
    own = next(one["name"] for one in api.get("/connections") if one.get("user_provided_name") == name)
    path = "/channels/" + quote(own + " (1)", safe="")
    open_ = until(lambda: (seen := api.get(path))["acks_uncommitted"] == 1 and seen)
    assert (open_["transactional"], open_["messages_uncommitted"], open_["message_stats"]["publish"]) == (True, 2, 1)
    channel.tx_commit()
    done = api.get(path)
    stats = done["message_stats"]
    assert (done["messages_uncommitted"], done["acks_uncommitted"]) == (0, 0)
    assert (stats["publish"], stats["ack"], stats["drop_unroutable"]) == (3, 1, 1)
    api.ask("DELETE", f"/queues/%2F/{name}")


def test_history_comes_to_those_who_ask(api, amqp, name):
    channel = amqp().channel()
    channel.queue_declare(name)
    for _ in range(4):
        channel.basic_publish("", name, b"x")
    query = "lengths_age=60&lengths_incr=5&msg_rates_age=60&msg_rates_incr=5"
    path = f"/queues/%2F/{name}"
    assert "samples" not in api.get(path)["messages_details"]
    details = until(lambda: (seen := api.get(f"{path}?{query}")["messages_details"])["samples"][0]["sample"] == 4 and seen)
    assert set(details) == {"avg", "avg_rate", "rate", "samples"} and len(details["samples"]) == 13
    times = [one["timestamp"] for one in details["samples"]]
    assert times == sorted(times, reverse=True) and times[0] - times[-1] == 60_000 and times[0] % 5_000 == 0
    assert details["avg_rate"] == pytest.approx(4 / 60) and 0 < details["avg"] <= 4
    assert api.get(f"{path}?{query}")["message_stats"]["publish_details"]["samples"][0]["sample"] == 4
    for where, key in ((f"/vhosts/%2F?{query}", "messages_details"), (f"/queues/%2F?{query}&columns=messages_details", 0)):
        told = api.get(where)
        assert (told[key] if key else told[0]["messages_details"])["samples"], where
    api.ask("DELETE", path)


# -- clients of RabbitMQ


def test_pages_are_for_those_lists_that_have_them(api, name):
    api.ask("PUT", f"/queues/%2F/{name}", {})
    for path in ("users", "bindings", "policies", "permissions", "consumers", "parameters", "nodes"):
        assert isinstance(api.get(f"/{path}?page=1&page_size=5"), list), path
    for path in ("queues", "exchanges", "connections", "channels", "vhosts"):
        page = api.get(f"/{path}?page=1&page_size=5")
        assert set(page) == {"filtered_count", "item_count", "items", "page", "page_count", "page_size", "total_count"}
    assert api.get(f"/queues?name={name}-nobody&columns=name")
    page = api.get(f"/queues?page=1&name={name}-nobody")
    assert (page["items"], page["page_count"], page["filtered_count"]) == ([], 0, 0) and page["total_count"] >= 1
    for odd in ("page=x", "page=1&name=(&use_regex=true"):
        assert api.get(f"/queues?{odd}", status=400) == {"error": "bad_request",
                                                         "reason": "Pagination parameters are invalid"}
    api.ask("DELETE", f"/queues/%2F/{name}")


def test_definitions_come_as_a_browsers_form(api, name):
    document = json.dumps({"queues": [{"name": name, "vhost": "/", "durable": True, "auto_delete": False,
                                       "arguments": {}}]})
    answer = requests.post(api.base + "/definitions?auth=Z3Vlc3Q6Z3Vlc3Q=", timeout=20, allow_redirects=False,
                           files={"file": ("d.json", document, "application/json")},
                           data={"redirect": "../#/import-succeeded"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "../#/import-succeeded")
    assert api.get(f"/queues/%2F/{name}")["durable"]
    told = requests.get(api.base + "/definitions?download=all.json&auth=Z3Vlc3Q6Z3Vlc3Q=", timeout=20)
    assert told.headers["Content-Disposition"] == 'attachment; filename="all.json"'
    assert name in [one["name"] for one in told.json()["queues"]]
    api.ask("DELETE", f"/queues/%2F/{name}")


def test_logins_are_counted(api):
    node = api.get("/overview")["node"]
    api.get("/whoami", auth=("guest", "wrong"), status=401)
    http = next(one for one in api.get(f"/auth/attempts/{node}") if one["protocol"] == "http")
    assert http["auth_attempts_failed"] >= 1
    assert http["auth_attempts"] == http["auth_attempts_failed"] + http["auth_attempts_succeeded"]
    assert api.get(f"/auth/attempts/{node}/source") == []


def test_methods_are_told(api):
    options = requests.options(api.base + "/queues/%2F/q", timeout=20)
    assert (options.status_code, options.headers["Allow"]) == (200, "HEAD, GET, PUT, DELETE, OPTIONS")
    patch = requests.patch(api.base + "/overview", auth=("guest", "guest"), timeout=20)
    assert (patch.status_code, patch.headers["Allow"]) == (405, "HEAD, GET, OPTIONS")
    head = requests.head(api.base + "/overview", auth=("guest", "guest"), timeout=20)
    assert (head.status_code, head.text) == (200, "") and head.headers["Content-Type"] == "application/json"
    page = requests.get(api.base + "/", timeout=20)
    assert page.status_code == 200 and "/api/queues/{vhost}/{name}" in page.text


def test_amqpstorm(server, amqp, name):
    api = management.ManagementApi("http://%s:%d" % server.management, "guest", "guest")
    assert api.aliveness_test("/") == {"status": "ok"}
    assert api.whoami()["name"] == "guest" and api.overview()["node"] and api.nodes()
    api.exchange.declare(name, exchange_type="topic")
    api.queue.declare(name, durable=True)
    api.queue.bind(queue=name, exchange=name, routing_key="a.*")
    assert [one["routing_key"] for one in api.queue.bindings(name)] == [name, "a.*"]
    assert api.basic.publish("hello", routing_key="a.b", exchange=name) == {"routed": True}
    got = api.basic.get(name, requeue=True)
    assert [one.body for one in got] == ["hello"]
    assert api.queue.get(name)["durable"] and name in [one["name"] for one in api.queue.list()]
    api.queue.purge(name)
    api.queue.unbind(queue=name, exchange=name, routing_key="a.*")
    api.queue.delete(name)
    api.exchange.delete(name)
    connection = amqp()
    connection.channel()
    assert api.connection.list() and api.channel.list()
    with pytest.raises(management.ApiError):
        api.queue.get(name)


@pytest.mark.skipif(not RABBITMQADMIN, reason="Debian's rabbitmq-server is not installed")
def test_rabbitmqadmin(server, name, tmp_path):
    host, port = server.management

    def run(*arguments):
        command = [sys.executable, RABBITMQADMIN[-1], "-H", host, "-P", str(port), *arguments]
        done = subprocess.run(command, capture_output=True, timeout=30, text=True, cwd=tmp_path)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    assert run("declare", "queue", f"name={name}", "durable=true") == "queue declared\n"
    assert run("declare", "exchange", f"name={name}", "type=fanout") == "exchange declared\n"
    assert run("declare", "binding", f"source={name}", f"destination={name}") == "binding declared\n"
    assert "Message published" in run("publish", "routing_key=", f"exchange={name}", "payload=hello")
    assert "hello" in run("get", f"queue={name}", "ackmode=ack_requeue_false")
    for what in ("queues", "exchanges", "bindings", "connections", "channels", "consumers", "nodes"):
        run("list", what)
    queues = json.loads(run("-f", "raw_json", "list", "queues", "name"))
    assert {"name": name} in queues
    run("show", "overview")
    assert run("purge", "queue", f"name={name}") == "queue purged\n"
    run("delete", "binding", f"source={name}", "destination_type=queue", f"destination={name}", "properties_key=~")
    run("delete", "queue", f"name={name}")
    run("delete", "exchange", f"name={name}")


# -- our own command


def test_motet_queues(server, api, name):
    def run(*arguments, code=0):
        command = [os.path.abspath(os.environ["MOTET_BIN"]), *arguments, "--data-dir", str(server.data_dir)]
        done = subprocess.run(command, capture_output=True, timeout=15, text=True, cwd=server.directory,
                              env=server.environment())
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    api.ask("PUT", f"/queues/%2F/{name}", {})
    message = {"properties": {}, "routing_key": name, "payload": "x", "payload_encoding": "string"}
    api.ask("POST", "/exchanges/%2F/amq.default/publish", message)
    told = json.loads(run("queues", "list", "--filter", name, "--json"))
    assert [(one["name"], one["messages"]) for one in told["items"]] == [(name, 1)]
    assert name in run("queues", "list", "--vhost", "/", "--filter", name)
    assert "amq.topic" in run("exchanges", "list") and name in run("bindings", "list", "--vhost", "/", "--limit", "500")
    assert "channel" in run("channels", "list")
    assert "nothing waits" in run("queues", "purge", name)
    assert "is gone" in run("queues", "delete", name)
    assert "404" in run("queues", "show", name, code=1)
