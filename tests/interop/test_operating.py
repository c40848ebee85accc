"""What an operator does: reload, PROXY protocol, rates, storms of connections, quotas, audit, traces."""

import http.client
import http.server
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import motet
import pytest
from wire import Peer

pytestmark = pytest.mark.skipif("config.getoption('--server') != 'motet'", reason="what our operators do")

WAIT_SECONDS = 20


@pytest.fixture
def serve(tmp_path):
    """Starts servers with settings: `serve("[limits]\\nconnections = 5")`."""
    running = []

    def start(settings="", **options):
        running.append(motet.Motet(tmp_path / f"server-{len(running)}", settings=settings, **options).start())
        return running[-1]

    yield start
    for one in running:
        one.close()


def eventually(what, message="it did not happen"):
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(message)


def metric(server, name):
    connection = http.client.HTTPConnection(*server.http, timeout=5)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    lines = [line for line in text.splitlines() if line.startswith((name + " ", name + "{"))]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def command(server, *words):
    binary = os.path.abspath(os.environ["MOTET_BIN"])
    words = [binary, *words, "--config", str(server.directory / "motet.toml")]
    return subprocess.run(words, capture_output=True, text=True, timeout=30, env=server.environment())


def change(server, old, new):
    config = server.directory / "motet.toml"
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))


# -- reload


def test_reload_takes_what_can_change_and_names_what_cannot(serve, peer):
    server = serve("[limits]\nconnections = 100\nsessions = 500")
    before = peer(server)
    before.connect("before")
    change(server, "connections = 100\nsessions = 500", "connections = 2\nsessions = 501")
    said = command(server, "reload")
    assert said.returncode == 1, "a key wants a restart"
    assert "taken: limits.connections" in said.stdout and "needs a restart: limits.sessions" in said.stdout
    peer(server).connect("second")
    peer(server).connect("one too many", expect_reason=0x97)  # quota exceeded
    before.ping()


def test_a_broken_file_keeps_the_old_configuration(serve, peer):
    server = serve("[limits]\nconnections = 100")
    change(server, "connections = 100", "conections = 1")
    said = command(server, "reload")
    # The command reads the same file to find the server, and says what is wrong itself.
    assert said.returncode == 1 and "did you mean" in said.stderr
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: "was not read again" in server.log)
    peer(server).connect("still in")
    peer(server).connect("and another")


# -- PROXY protocol

V2 = b"\r\n\r\n\0\r\nQUIT\n"


def v1(source):
    return f"PROXY TCP4 {source} 192.0.2.99 40000 1883\r\n".encode()


def v2(source):
    block = socket.inet_aton(source) + socket.inet_aton("192.0.2.99") + struct.pack("!HH", 40000, 1883)
    extension = b"\x04" + struct.pack("!H", 20) + bytes(20)  # PP2_TYPE_NOOP
    return V2 + b"\x21\x11" + struct.pack("!H", len(block + extension)) + block + extension


class Relay:
    """A stand-in for a load balancer: passes connections on, behind a header."""

    def __init__(self, target, header):
        self.target, self.header = target, header
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.sockets = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.target)
            server.sendall(self.header)
            self.sockets += [client, server]
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self.copy, args=(one, other), daemon=True).start()

    @staticmethod
    def copy(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        for one in [self.listener, *self.sockets]:
            one.close()


@pytest.fixture
def relay():
    made = []

    def make(target, header):
        made.append(Relay(target, header))
        return made[-1]

    yield make
    for one in made:
        one.close()


PROXIED = """
access.anonymous = "always"
[audit]
file = "audit.jsonl"
[[listener]]
address = "127.0.0.1:0"
protocol = "ws"
proxy_protocol = "required"
[[listener]]
address = "127.0.0.1:0"
protocol = "https"
proxy_protocol = "required"
"""


@pytest.mark.parametrize("header", [v1, v2])
@pytest.mark.parametrize("protocol", ["ws", "https"])
def test_the_peer_is_who_the_proxy_says(serve, relay, header, protocol):
    import ssl

    server = serve(PROXIED)
    through = relay(("127.0.0.1", server.ports[protocol]), header("192.0.2.7"))
    if protocol == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        plain = socket.create_connection(through.address)
        raw = context.wrap_socket(plain, server_hostname="localhost")
        raw.sendall(bytes([0x10, 13, 0, 4]) + b"MQTT" + bytes([4, 2, 0, 0, 0, 1]) + b"a")
        assert raw.recv(4) == bytes([0x20, 2, 0, 0])
        raw.close()
    else:
        import paho.mqtt.client as mqtt

        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, transport="websockets")
        client.connect(*through.address)
        client.loop_start()
        eventually(client.is_connected)
        client.disconnect()
        client.loop_stop()
    log = server.data_dir / "audit.jsonl"
    entries = eventually(lambda: [json.loads(line) for line in log.read_text().splitlines() if '"login"' in line])
    assert entries[0]["peer"] == "192.0.2.7:40000" and entries[0]["outcome"] == "accepted"


def test_without_a_header_nobody_comes_in_and_elsewhere_a_header_is_none(serve):
    server = serve(PROXIED)
    with socket.create_connection(("127.0.0.1", server.ports["ws"])) as direct:
        direct.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        direct.settimeout(WAIT_SECONDS)
        assert closed(direct)
    for address in (server.mqtt, server.http):
        with socket.create_connection(address) as proxied:
            # More than the packet that MQTT could take it for.
            proxied.sendall(v1("192.0.2.7") * 3)
            proxied.settimeout(WAIT_SECONDS)
            assert closed(proxied)
    assert metric(server, "motet_server_proxy_refused_total") == 1


def closed(connection):
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


# -- rates


def test_who_publishes_too_fast_is_slowed_and_loses_nothing(serve, paho, name):
    server = serve("[limits]\nrate_connection_messages = 200\nrate_burst = \"100ms\"")
    subscriber = paho(server, client_id=name + "-s")
    subscriber.subscribe(name, 1)
    publisher = paho(server, client_id=name + "-p")
    start = time.monotonic()
    for n in range(300):
        publisher.publish(name, str(n), qos=1, wait=False)
    got = [subscriber.message(WAIT_SECONDS) for _ in range(300)]
    assert [message.payload for message in got] == [str(n).encode() for n in range(300)]
    assert time.monotonic() - start > 0.9, "280 beyond the burst are 1.4 s at this rate"
    assert metric(server, "motet_server_rate_pauses_total") > 0


def test_two_connections_from_one_address_share_its_rate(serve, paho, name):
    server = serve("[limits]\nrate_address_bytes = \"10KiB\"\nrate_burst = \"100ms\"")
    for n in range(2):
        publisher = paho(server, client_id=f"{name}-{n}")
        publisher.publish(name, bytes(4000), qos=1)
    eventually(lambda: metric(server, 'motet_server_rate_pauses_total') > 0)


# -- storms


def storm(server, clients, version, first=0):
    """Opens so many connections at once and tells how each was answered."""
    name = b"c%05d"
    variable = b"\x00\x04MQTT" + bytes([version, 2, 0, 0]) + (b"\x00" if version == 5 else b"")
    connections = []
    for n in range(first, first + clients):
        connection = socket.create_connection(server.mqtt, timeout=WAIT_SECONDS)
        identifier = name % n
        body = variable + struct.pack("!H", len(identifier)) + identifier
        connection.sendall(bytes([0x10, len(body)]) + body)
        connections.append(connection)
    codes = []
    for connection in connections:
        answer = connection.recv(4)
        codes.append(answer[3] if len(answer) == 4 else None)
    return connections, codes


@pytest.mark.parametrize("version, later", [(4, 3), (5, 0x9F)])
def test_a_storm_is_told_to_come_back_later(serve, version, later):
    server = serve("[limits]\nlogins_per_second = 20")
    connections, codes = storm(server, 100, version)
    assert set(codes) == {0, later}
    assert 20 <= codes.count(0) < 100
    assert metric(server, "motet_server_logins_refused_total") == codes.count(later)
    for connection in connections:
        connection.close()
    # Whoever comes back later gets in.
    eventually(lambda: storm(server, 1, version)[1] == [0])


@pytest.mark.timeout(120)
def test_five_thousand_at_once_get_in(serve):
    import resource

    connections = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 12_000:
        pytest.skip("too few open files allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 12_000), hard))
    try:
        server = serve("[limits]\nlogins_in_progress = 100\naccepts_per_second = 20_000")
        codes = []
        for first in range(0, 5000, 1000):
            opened, answered = storm(server, 1000, 4, first)
            connections += opened
            codes += answered
        assert codes == [0] * 5000
        assert metric(server, "motet_server_connections") >= 5000
    finally:
        for connection in connections:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_http_says_503_at_the_bound(serve, peer):
    server = serve("[limits]\nconnections = 1")
    peer(server).connect("the only one")
    connection = http.client.HTTPConnection(*server.http, timeout=5)
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    assert answer.status == 503 and answer.getheader("Retry-After")


# -- quotas


def test_publishers_wait_while_there_is_too_little_disk_and_lose_nothing(serve, paho, name):
    server = serve('[limits]\ndisk_free_min = "1B"')
    subscriber = paho(server, client_id=name + "-s")
    subscriber.subscribe(name, 1)
    publisher = paho(server, client_id=name + "-p")
    publisher.publish(name, b"before", qos=1)
    assert subscriber.message().payload == b"before"
    change(server, '"1B"', '"16TiB"')
    assert command(server, "reload").returncode == 0
    eventually(lambda: metric(server, "motet_server_alarm") == 1)
    waiting = publisher.publish(name, b"during", qos=1, wait=False)
    ready = command(server, "status", "--url", "http://%s:%d" % server.http)
    assert ready.returncode == 1 and "not ready" in ready.stdout
    assert not waiting.is_published()
    change(server, '"16TiB"', '"1B"')
    assert command(server, "reload").returncode == 0
    assert subscriber.message(WAIT_SECONDS).payload == b"during"


# -- audit


def test_logins_and_operators_are_in_the_audit_log_and_passwords_are_not(serve, peer):
    server = serve('[audit]\nfile = "audit.jsonl"\n[[user]]\nname = "ann"\npassword = "swordfish"')
    peer(server).connect("a", username="ann", password="swordfish")
    peer(server).connect("b", username="ann", password="sesame", expect_reason=0x86)
    command(server, "reload")
    log = server.data_dir / "audit.jsonl"
    eventually(lambda: "operator" in log.read_text())
    assert server.terminate() == 0
    text = log.read_text()
    assert "swordfish" not in text and "sesame" not in text
    entries = [json.loads(line) for line in text.splitlines()]
    logins = [(one["user"], one["outcome"]) for one in entries if one["event"] == "login"]
    assert sorted(logins) == [("ann", "accepted"), ("ann", "refused")]
    assert [one["action"] for one in entries if one["event"] == "operator"] == ["reload"]
    assert [one["action"] for one in entries if one["event"] == "server"] == ["started", "stopped"]
    assert log.stat().st_mode & 0o777 == 0o600


def test_declarations_over_amqp_and_over_http_are_in_the_audit_log(serve):
    pika = pytest.importorskip("pika")
    server = serve('[audit]\nfile = "audit.jsonl"')
    connection = pika.BlockingConnection(pika.ConnectionParameters(*server.amqp, heartbeat=0, socket_timeout=20))
    channel = connection.channel()
    for _ in range(2):  # the second time nothing changes
        channel.exchange_declare("x", "topic")
        channel.queue_declare("q")
        channel.queue_bind("q", "x", "a.*")
    channel.queue_purge("q")
    channel.queue_unbind("q", "x", "a.*")
    channel.queue_delete("q")
    connection.close()
    asked = http.client.HTTPConnection(*server.management, timeout=20)
    asked.request("PUT", "/api/vhosts/v", headers={"Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q="})
    assert asked.getresponse().status == 201
    log = server.data_dir / "audit.jsonl"
    eventually(lambda: "manage" in log.read_text())
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    declared = [one for one in entries if one["event"] == "declaration"]
    assert [(one["action"], one["what"]) for one in declared] == [
        ("exchange.declare", "x"), ("queue.declare", "q"), ("queue.bind", "x -> q (a.*)"), ("queue.purge", "q"),
        ("queue.unbind", "x -> q (a.*)"), ("queue.delete", "q")]
    assert all((one["user"], one["vhost"], one["outcome"]) == ("guest", "/", "done") for one in declared)
    assert all(one["peer"].startswith("127.0.0.1:") for one in declared)
    managed = [one for one in entries if one.get("action") == "manage"]
    assert [(one["user"], one["outcome"], one["about"]) for one in managed] == [("guest", "done", "PUT /api/vhosts/v")]


def test_changes_of_accounts_and_rights_say_whom_they_are_about(serve):
    boss = '[[user]]\nname = "boss"\npassword = "swordfish"\ntags = ["administrator"]'
    server = serve(f'[audit]\nfile = "audit.jsonl"\n{boss}')
    secret = "Basic Ym9zczpzd29yZGZpc2g="

    def ask(method, path, body=None, authorization=secret):
        asked = http.client.HTTPConnection(*server.management, timeout=20)
        asked.request(method, path, body and json.dumps(body), {"Authorization": authorization})
        return asked.getresponse().status

    token = "Bearer " + (server.data_dir / "admin-token").read_text()
    add = {"do": "add", "name": "bob", "password": "swordfish"}
    web = http.client.HTTPConnection(*server.http, timeout=20)
    web.request("POST", "/api/motet/users", json.dumps(add), {"Authorization": token})
    assert web.getresponse().status == 200
    assert ask("PUT", "/api/users/ann", {"password": "swordfish", "tags": ""}) == 201
    assert ask("PUT", "/api/permissions/%2F/ann", {"configure": "", "write": "", "read": ""}) == 201
    assert ask("PUT", "/api/policies/%2F/short", {"pattern": "q", "definition": {"max-length": 5}}) == 201
    assert ask("PUT", "/api/users/eve", {"password": "x", "tags": ""}, "Basic YW5uOnN3b3JkZmlzaA==") == 401
    assert ask("POST", "/api/users/bulk-delete", {"users": ["ann", "bob"]}) == 204
    log = server.data_dir / "audit.jsonl"
    eventually(lambda: "bulk-delete" in log.read_text())
    text = log.read_text()
    assert "swordfish" not in text
    entries = [one for one in map(json.loads, text.splitlines()) if one["event"] == "operator"]
    assert [(one["action"], one.get("user"), one["outcome"], one["about"]) for one in entries] == [
        ("users", None, "done", "add bob"),
        ("manage", "boss", "done", "PUT /api/users/ann"),
        ("manage", "boss", "done", "PUT /api/permissions/%2F/ann"),
        ("manage", "boss", "done", "PUT /api/policies/%2F/short"),
        ("manage", "ann", "refused", "PUT /api/users/eve"),
        ("manage", "boss", "done", 'POST /api/users/bulk-delete {"users": ["ann", "bob"]}')]
    assert all(one["peer"].startswith("127.0.0.1:") for one in entries)


# -- bans


def test_an_address_that_was_banned_is_listed_and_let_go(serve, relay):
    import paho.mqtt.client as mqtt

    server = serve(PROXIED.replace('access.anonymous = "always"', """
[login]
failures_before_ban = 3
[[user]]
name = "ann"
password = "secret"
""", 1))

    def login(password):
        through = relay(("127.0.0.1", server.ports["ws"]), v1("192.0.2.7"))
        client, said = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, transport="websockets"), []
        client.username_pw_set("ann", password)
        client.on_connect = lambda _client, _data, _flags, reason, _props: said.append(reason.is_failure)
        client.connect(*through.address)
        client.loop_start()
        eventually(lambda: said)
        client.disconnect()
        client.loop_stop()
        return not said[0]

    assert not any(login(wrong) for wrong in "abc")
    assert not login("secret"), "the address is banned"
    listed = json.loads(command(server, "bans", "list", "--json").stdout)["bans"]
    assert [(one["address"], one["banned"], one["failures"]) for one in listed] == [("192.0.2.7", True, 3)]
    assert 0 < listed[0]["seconds_left"] <= 600
    assert "192.0.2.7" in command(server, "bans", "list").stdout
    assert command(server, "bans", "lift", "192.0.2.7").returncode == 0
    assert login("secret")
    assert json.loads(command(server, "bans", "list", "--json").stdout) == {"bans": []}
    assert "404" in command(server, "bans", "lift", "192.0.2.7").stderr
    lifted = [json.loads(line) for line in (server.data_dir / "audit.jsonl").read_text().splitlines() if '"lift"' in line]
    assert [(one["outcome"], one["about"]) for one in lifted][0] == ("done", "/api/motet/bans/192.0.2.7")


# -- limits and parameters


def test_limits_and_parameters_are_set_by_commands(serve, peer):
    server = serve()
    assert command(server, "limits", "set", "max-disk-bytes", "1000", "--vhost", "/").returncode == 0
    assert command(server, "limits", "set", "max-channels", "3", "--user", "guest").returncode == 0
    told = json.loads(command(server, "limits", "list", "--json").stdout)
    assert told == {"vhosts": [{"vhost": "/", "value": {"max-disk-bytes": 1000}}],
                    "users": [{"user": "guest", "value": {"max-channels": 3}}]}
    assert json.loads(command(server, "limits", "list", "--user", "guest", "--json").stdout)["vhosts"] == []
    assert "max-disk-bytes" in command(server, "limits", "list", "--vhost", "/").stdout
    assert command(server, "limits", "clear", "max-disk-bytes", "--vhost", "/").returncode == 0
    assert json.loads(command(server, "limits", "list", "--vhost", "/", "--json").stdout)["vhosts"] == []
    wrong = command(server, "limits", "set", "max-moons", "1", "--vhost", "/")
    assert wrong.returncode != 0 and "max-moons" in wrong.stderr
    assert command(server, "parameters", "set", "cluster_note", '"mine"').returncode == 0
    listed = json.loads(command(server, "parameters", "list", "--json").stdout)
    assert {"name": "cluster_note", "value": "mine"} in listed
    assert command(server, "parameters", "clear", "cluster_note").returncode == 0
    assert "cluster_note" not in command(server, "parameters", "list").stdout
    peer(server).connect("here")
    here = json.loads(command(server, "connections", "list", "--vhost", "/", "--json").stdout)["connections"]
    assert [(one["client"], one["vhost"]) for one in here] == [("here", "/")]
    assert json.loads(command(server, "connections", "list", "--vhost", "v", "--json").stdout)["connections"] == []


# -- traces


def test_a_message_is_followed_to_its_acknowledgement(serve, paho, name):
    server = serve()
    subscriber = paho(server, client_id=name + "-s", clean=False)
    subscriber.subscribe(name + "/#", 1)
    publisher = paho(server, client_id=name + "-p")
    binary = os.path.abspath(os.environ["MOTET_BIN"])
    words = [binary, "trace", name + "/+", "--json", "--seconds", "20", "--config", str(server.directory / "motet.toml")]
    trace = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=server.environment())
    steps = []
    try:
        reader = threading.Thread(target=lambda: steps.extend(read_steps(trace.stdout)), daemon=True)
        reader.start()
        # Nothing says that the server has begun to follow: publish until it has.
        deadline = time.monotonic() + WAIT_SECONDS
        while reader.is_alive() and time.monotonic() < deadline:
            publisher.publish(name + "/a", b"payload", qos=1)
            publisher.publish("other", b"payload", qos=1)
            reader.join(0.2)
        assert not reader.is_alive(), steps
    finally:
        trace.kill()
        trace.wait()
    names = [step["step"] for step in steps]
    assert names[:2] == ["published", "routed"]
    assert set(names[2:]) == {"stored", "delivered", "acknowledged"}
    assert names.index("delivered") < names.index("acknowledged")
    assert {step["topic"] for step in steps} == {name + "/a"}
    published = steps[0]
    assert (published["by"], published["bytes"], published["qos"]) == (name + "-p", 7, 1)
    delivered = next(step for step in steps if step["step"] == "delivered")
    assert delivered["to"] == name + "-s" and delivered["will_be_acknowledged"]


def read_steps(stream):
    """The steps of the first message, until it is stored and acknowledged: in which order, the disk decides."""
    steps = []
    for line in stream:
        step = json.loads(line)
        if not steps and step["step"] != "published":
            continue
        if not steps or step["message"] == steps[0]["message"]:
            steps.append(step)
            if {"stored", "acknowledged"} <= {one["step"] for one in steps}:
                return steps
    return steps


class Collector(http.server.BaseHTTPRequestHandler):
    """A stand-in for an OpenTelemetry collector."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, self.headers["Content-Type"], body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_spans_of_a_traced_message_reach_the_collector(serve, peer, name):
    collector = http.server.HTTPServer(("127.0.0.1", 0), Collector)
    collector.requests = []
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    try:
        server = serve(f'[otlp]\nendpoint = "http://127.0.0.1:{collector.server_port}"')
        subscriber = peer(server)
        subscriber.connect(name + "-s")
        subscriber.subscribe(name, qos=1)
        publisher = peer(server)
        publisher.connect(name + "-p")
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        publisher.publish(name, b"x", qos=1, props={"user_property": [("traceparent", parent)]})
        received = subscriber.message()
        assert received.props["user_property"] == [("traceparent", parent)]
        wanted = {f"publish {name}", f"deliver {name}"}

        def spans():
            all_of = [span for _, _, body in collector.requests for resource in body["resourceSpans"]
                      for scope in resource["scopeSpans"] for span in scope["spans"]]
            return all_of if wanted <= {span["name"] for span in all_of} else None

        found = eventually(spans)
        assert {span["traceId"] for span in found} == {"0af7651916cd43dd8448eb211c80319c"}
        publish = next(span for span in found if span["name"] == f"publish {name}")
        assert publish["parentSpanId"] == "b7ad6b7169203331"
        deliver = next(span for span in found if span["name"] == f"deliver {name}")
        assert deliver["parentSpanId"] == publish["spanId"]
        assert collector.requests[0][:2] == ("/v1/traces", "application/json")
    finally:
        collector.shutdown()


# -- a service manager


def test_a_service_manager_hears_of_start_reload_and_stop(tmp_path):
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(WAIT_SECONDS)
    server = motet.Motet(tmp_path / "server")
    server.environment = lambda: dict(motet.Motet.environment(server), NOTIFY_SOCKET=str(tmp_path / "notify"),
                                      WATCHDOG_USEC="1000000")
    heard = []

    def hear(word):
        while True:
            heard.append(manager.recv(4096).decode())
            if word in heard[-1]:
                return

    try:
        server.start()
        hear("READY=1")
        hear("WATCHDOG=1")
        server.process.send_signal(signal.SIGHUP)
        hear("RELOADING=1")
        hear("READY=1")
        server.process.send_signal(signal.SIGTERM)
        hear("STOPPING=1")
        assert server.process.wait(WAIT_SECONDS) == 0
    finally:
        server.close()
        manager.close()


# -- the package


@pytest.mark.timeout(180)
@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb here")
def test_the_debian_package_installs_what_it_should(tmp_path):
    build = os.path.join(os.path.dirname(__file__), "../../packaging/deb/build")
    made = subprocess.run([build, os.environ["MOTET_BIN"], str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert made.returncode == 0, made.stderr
    package = made.stdout.strip()
    root = tmp_path / "root"
    subprocess.run(["dpkg-deb", "--extract", package, str(root)], check=True)
    assert os.access(root / "usr/bin/motet", os.X_OK)
    assert (root / "usr/lib/systemd/system/motet.service").exists()
    assert (root / "usr/share/doc/motet/docs/operating.md").exists()
    check = [str(root / "usr/bin/motet"), "config", "check", "--config", str(root / "etc/motet/motet.toml")]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MOTET_")}
    checked = subprocess.run(check, capture_output=True, text=True, timeout=30, env=clean)
    assert checked.returncode == 0, checked.stderr
    fields = subprocess.run(["dpkg-deb", "--field", package], capture_output=True, text=True, check=True).stdout
    assert "Package: motet" in fields
    if analyze := shutil.which("systemd-analyze"):
        unit = root / "usr/lib/systemd/system/motet.service"
        text = unit.read_text().replace("/usr/bin/motet", str(root / "usr/bin/motet"))
        unit.write_text(text)
        verified = subprocess.run([analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60)
        complaints = [line for line in verified.stderr.splitlines() if "motet.service" in line]
        assert not complaints, complaints
