"""Who may: access rules in both versions' words, tokens that end, and a hook that is asked."""

import base64
import hashlib
import hmac
import http.server
import json
import os
import signal
import subprocess
import threading
import time

import motet
import pytest
from clients import Paho

SECRET = b"0123456789abcdef0123456789abcdef"

RULES = """
[access]
default = "deny"
[[access.rule]]
deny = ["subscribe"]
topics = ["open/secret"]
[[access.rule]]
allow = ["all"]
topics = ["open/#", "own/%c/#"]
"""


def encoded(part):
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def token(**claims):
    head = encoded(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    body = encoded(json.dumps(claims).encode())
    signed = hmac.new(SECRET, f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{encoded(signed)}"


@pytest.fixture
def run(kind, tmp_path):
    if kind is not motet.Motet:
        pytest.skip("these keys are Motet's")
    running = []

    def run(settings):
        running.append(kind(tmp_path / str(len(running)), settings=settings).start())
        return running[-1]

    yield run
    for server in running:
        server.close()


@pytest.fixture
def paho_on():
    """Paho clients on a server of the test's own."""
    clients = []

    def connect(server, **options):
        clients.append(Paho(server, clean=True, **options).connect())
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


FILTERS = [("open/a", True), ("own/hears/+", True), ("own/says/#", False), ("open/+", False), ("open/#", False),
           ("#", False), ("closed", False), ("$share/g/open/b", True), ("$share/g/closed", False)]


@pytest.mark.parametrize("version", [4, 5])
def test_only_what_is_allowed_is_heard_and_taken(run, paho_on, version):
    server = run(RULES)
    hears = paho_on(server, version=version, client_id="hears")
    says = paho_on(server, version=version, client_id="says")
    refused = 0x87 if version == 5 else 0x80
    for filter, allowed in FILTERS:
        assert hears.subscribe(filter, 1) == [1 if allowed else refused], filter
    for topic in ["own/hears/a", "closed", "own/says/a", "open/a"]:
        says.publish(topic, b"x", qos=1)
    assert hears.message().topic == "open/a"


def test_mqtt_5_publishers_are_told(run, peer):
    one = peer(run(RULES), version=5)
    one.connect("says")
    for topic, code in [("open/a", 0x10), ("own/says/a", 0x10), ("own/hears/a", 0x87), ("closed", 0x87)]:
        assert one.publish(topic, b"x", qos=1) == code, topic


def test_a_will_that_is_not_allowed_is_refused(run):
    server = run(RULES)
    with pytest.raises(AssertionError, match="[Nn]ot authorized"):
        Paho(server, version=5, client_id="w", will={"topic": "closed", "payload": b"x"}).connect()


def test_new_rules_hold_after_hup_and_nobody_is_dropped(run, paho_on):
    server = run(RULES)
    hears = paho_on(server, client_id="hears")
    says = paho_on(server, client_id="says")
    assert hears.subscribe("open/a") == [0]
    assert hears.subscribe("own/hears/a") == [0]
    server.settings = RULES.replace('"open/#"', '"opened/#"')
    server.command()  # writes the file
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while hears.subscribe("opened/x") != [0]:
        assert time.monotonic() < deadline, "the rules were not read again"
    says.publish("open/a", b"x", qos=1)
    assert hears.subscribe("open/a") == [0x80]
    hears.nothing_for()
    assert hears.disconnects.empty() and says.disconnects.empty()


def test_what_a_session_collected_is_held_against_the_rules_of_now(run, paho_on):
    server = run(RULES)
    says = paho_on(server, client_id="says")
    away = Paho(server, client_id="away", clean=False).connect()
    assert away.subscribe("open/a", 1) == [1] and away.subscribe("open/b", 1) == [1]
    away.disconnect()
    says.publish("open/a", b"collected before", qos=1)
    server.settings = RULES.replace('["open/secret"]', '["open/secret", "open/a"]')
    server.command()  # writes the file
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while says.subscribe("open/a") != [0x80]:
        assert time.monotonic() < deadline, "the rules were not read again"
    says.publish("open/a", b"collected afterwards", qos=1)
    says.publish("open/b", b"allowed", qos=1)
    away = Paho(server, client_id="away", clean=False).connect()
    try:
        assert away.flags.session_present
        assert away.message().payload == b"allowed"
        away.nothing_for()
    finally:
        away.close()


def test_explain_says_which_rule_decides(run):
    server = run(RULES)
    config = str(server.directory / "motet.toml")
    binary = os.path.abspath(os.environ["MOTET_BIN"])
    for online in [[], ["--online"]]:
        for action, what, status, said in [("subscribe", "open/#", 1, "refused by access.rule 1"),
                                           ("publish", "own/c/x", 0, "allowed by access.rule 2"),
                                           ("publish", "closed", 1, "refused by no rule fits")]:
            done = subprocess.run([binary, "acl", "explain", "--config", config, *online, "--client", "c",
                                   "--action", action, what], capture_output=True, text=True, env=server.environment())
            assert (done.returncode, said in done.stdout) == (status, True), done


JWT = """
[access]
anonymous = "never"
[jwt]
secret_file = "{secret}"
leeway = "0s"
"""


@pytest.fixture
def tokens(run, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    return run(JWT.format(secret=secret))


@pytest.mark.parametrize("version", [4, 5])
def test_a_token_is_a_password_and_its_rules_hold(tokens, paho_on, version):
    good = token(sub="ann", exp=time.time() + 600, acl={"sub": ["mine/%u"], "pub": []})
    ann = paho_on(tokens, version=version, client_id="a", username="whoever", password=good)
    assert ann.subscribe("mine/ann") == [0]
    for wrong in [token(sub="ann", exp=time.time() - 1), good[:-4] + "AAAA",
                  encoded(b'{"alg":"none"}') + "." + good.split(".")[1] + "."]:
        with pytest.raises(AssertionError):
            Paho(tokens, version=version, client_id="b", username="ann", password=wrong).connect()


@pytest.mark.parametrize("version", [4, 5])
def test_a_connection_ends_when_its_token_does(tokens, paho_on, version):
    ann = paho_on(tokens, version=version, client_id="a", username="ann",
                  password=token(sub="ann", exp=int(time.time()) + 3))
    reason = ann.disconnects.get(timeout=30)
    if version == 5:
        assert reason.value == 0xA0


class Service(http.server.BaseHTTPRequestHandler):
    asked = []

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append(asked)
        if asked["action"] == "authenticate":
            allowed = asked.get("password") == "right"
        else:
            allowed = asked["user"] == "ann" and (asked.get("topic") or asked.get("filter")).startswith("yes/")
        answer = json.dumps({"result": "allow" if allowed else "deny", "ttl": 60}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def hook(run):
    Service.asked = []
    service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{service.server_port}/motet"
    yield run(f'[access]\nanonymous = "never"\n[hook]\nauthenticate_url = "{url}"\nauthorize_url = "{url}"\n')
    service.shutdown()
    service.server_close()


@pytest.mark.parametrize("version", [4, 5])
def test_a_hook_decides_and_nothing_is_lost_while_it_is_asked(hook, paho_on, version):
    with pytest.raises(AssertionError):
        Paho(hook, version=version, client_id="m", username="ann", password="wrong").connect()
    hears = paho_on(hook, version=version, client_id="h", username="ann", password="right")
    says = paho_on(hook, version=version, client_id="s", username="ann", password="right")
    assert hears.subscribe("yes/#", 1) == [1]
    assert hears.subscribe("no/#", 1) == [0x87 if version == 5 else 0x80]
    for number in range(20):
        says.publish(f"yes/{number % 4}", str(number).encode(), qos=1, wait=False)
        says.publish(f"no/{number % 4}", b"x", qos=1, wait=False)
    assert [int(hears.message().payload) for _ in range(20)] == list(range(20))
    assert sum(one.get("topic") == "yes/0" for one in Service.asked) == 1
