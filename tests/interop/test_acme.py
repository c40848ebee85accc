"""Certificates that the server fetches itself, from Pebble: the first one, renewal, restart, and an authority that is
away, refuses, or wants patience."""

import http.server
import json
import signal
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
import uuid

import pytest

pytest.importorskip("cryptography")
from cryptography import x509  # noqa: E402
from certificates import Authority  # noqa: E402
from pebble import Pebble  # noqa: E402
from test_tls import exactly, metric, mqtt_connect, toml  # noqa: E402

NAME = "mqtt.example.test"
WITHIN_SECONDS = 60
pytestmark = pytest.mark.timeout(120)
KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


@pytest.fixture(autouse=True)
def _motet_only(request):
    if request.config.getoption("--server") != "motet":
        pytest.skip("the configuration is Motet's")


@pytest.fixture
def authority(tmp_path):
    """Who vouches for the directory itself."""
    return Authority(tmp_path)


@pytest.fixture
def pebble(tmp_path, authority):
    if not Pebble.is_here():
        pytest.skip("there is no pebble")
    one = Pebble(tmp_path, authority)
    yield one
    one.close()


@pytest.fixture
def start(kind, tmp_path, authority):
    """Starts a server; the arguments become keys of `[acme]`."""
    started = []

    def start_server(url, tls=(), **keys):
        table = {"domains": [NAME], "accept_terms": True, "directory_url": url, "ca_file": authority.file,
                 "retry_interval": "1s", **keys}
        lines = "\n".join(f"{key} = {toml(value)}" for key, value in table.items())
        listener = "\n".join(['[[listener]]\naddress = "127.0.0.1:0"\nprotocol = "mqtts"', *tls])
        started.append(kind(tmp_path / f"server-{len(started)}", settings=f"[acme]\n{lines}\n{listener}\n").start())
        return started[-1]

    yield start_server
    for server in started:
        assert server.alive(), server.log
        server.close()


def until(look, server):
    deadline = time.monotonic() + WITHIN_SECONDS
    while time.monotonic() < deadline:
        seen = look()
        if seen:
            return seen
        time.sleep(0.05)
    raise AssertionError(f"nothing to see in time\n{server.log}")


def begin(pebble, server, port, **how):
    """Lets the authority begin, and the server know it; answers the root of what it issues."""
    root = pebble.start(server.ports[port], **how)
    server.process.send_signal(signal.SIGHUP)
    return root


def orders(server, result):
    return metric(server, f'motet_acme_orders_total{{result="{result}"}}')


def last_result(server):
    return [word for word in ("none", "issued", "failed") if metric(server, f'motet_acme_last_result{{result="{word}"}}')]


class Client:
    """An MQTT client over TLS that trusts `root`, or anybody."""

    def __init__(self, server, root=None, name=NAME):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if root:
            context.load_verify_locations(cadata=root)
        else:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", server.ports["mqtts"]), timeout=WITHIN_SECONDS)
        self.stream = context.wrap_socket(plain, server_hostname=name)
        self.certificate = x509.load_der_x509_certificate(self.stream.getpeercert(binary_form=True))
        self.stream.sendall(mqtt_connect(client=uuid.uuid4().hex.encode()))
        assert exactly(self.stream, 4)[3] == 0

    def ping(self):
        self.stream.sendall(b"\xc0\x00")
        assert exactly(self.stream, 2) == b"\xd0\x00"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()


def shown(server, **how):
    with Client(server, **how) as client:
        return client.certificate


def names(certificate):
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_the_directory_is_away_then_there_and_a_restart_asks_for_nothing(start, pebble, challenge):
    server = start(pebble.url, challenge=challenge)
    until(lambda: orders(server, "failed") >= 1, server)
    assert "no certificate was fetched" in server.log and "acme.directory_url" in server.log
    assert last_result(server) == ["failed"] and metric(server, "motet_acme_certificate_expiry_seconds") == 0
    with Client(server) as early:
        assert early.certificate.subject == early.certificate.issuer
        root = begin(pebble, server, "http" if challenge == "http-01" else "mqtts")
        until(lambda: orders(server, "issued") >= 1, server)
        first = shown(server, root=root)
        assert names(first) == [NAME]
        early.ping()
    assert last_result(server) == ["issued"]
    ends = int(first.not_valid_after_utc.timestamp())
    assert metric(server, "motet_acme_certificate_expiry_seconds") == ends
    assert metric(server, "motet_tls_certificate_expiry_seconds") == ends
    kept = [path for path in (server.data_dir / "acme").rglob("*") if path.is_file()]
    assert sorted(path.name for path in kept) == ["account.json", "certificate.pem"]
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    pebble.stop()
    server.restart()
    assert shown(server, root=root).serial_number == first.serial_number
    until(lambda: metric(server, "motet_acme_next_attempt_seconds") > time.time(), server)
    assert last_result(server) == ["none"] and orders(server, "failed") == 0


def test_a_renewed_certificate_is_for_new_clients_and_the_others_stay(start, pebble):
    server = start(pebble.url)
    root = begin(pebble, server, "http", lasts_seconds=12)
    until(lambda: orders(server, "issued") >= 1, server)
    with Client(server, root=root) as staying:
        until(lambda: shown(server, root=root).serial_number != staying.certificate.serial_number, server)
        staying.ping()
    assert orders(server, "issued") >= 2


def test_a_listener_that_wants_client_certificates_proves_its_name_all_the_same(start, pebble, authority):
    tls = ["[listener.tls]", 'client_certificate = "required"', f"client_ca = {json.dumps(str(authority.file))}"]
    server = start(pebble.url, tls=tls, challenge="tls-alpn-01")
    begin(pebble, server, "mqtts")
    until(lambda: orders(server, "issued") >= 1, server)
    with pytest.raises(ssl.SSLError, match="(?i)certificate.required"):
        Client(server)


def test_nonces_that_are_refused_are_asked_for_anew(start, pebble):
    server = start(pebble.url)
    begin(pebble, server, "http", bad_nonces=25)
    until(lambda: orders(server, "issued") >= 1, server)


def test_an_account_elsewhere_is_shown_where_the_authority_wants_one(start, pebble, tmp_path):
    stranger = start(pebble.url)
    key = tmp_path / "account.key"
    key.write_text(KEY + "\n")
    server = start(pebble.url, external_account="kid-1", external_account_key_file=key)
    begin(pebble, server, "http", external_accounts={"kid-1": KEY})
    until(lambda: orders(server, "issued") >= 1, server)
    until(lambda: "set acme.external_account and" in stranger.log, stranger)


def test_a_name_more_is_a_new_certificate_at_once(start, pebble):
    server = start(pebble.url)
    root = begin(pebble, server, "http")
    until(lambda: orders(server, "issued") >= 1, server)
    before, config = orders(server, "issued"), server.directory / "motet.toml"
    config.write_text(config.read_text().replace(json.dumps([NAME]), json.dumps([NAME, "also.example.test"])))
    server.process.send_signal(signal.SIGHUP)
    until(lambda: orders(server, "issued") > before, server)
    assert sorted(names(shown(server, root=root, name="also.example.test"))) == ["also.example.test", NAME]


def test_a_name_that_leads_elsewhere_is_told_with_what_to_do(start, pebble):
    server = start(pebble.url, retry_interval="1h")
    pebble.start(pebble.held.getsockname()[1])  # where pebble itself answers, and knows no such page
    server.process.send_signal(signal.SIGHUP)  # at once, and not in an hour
    until(lambda: f"found no proof that {NAME} is ours" in server.log, server)
    assert "port 80 of it to a listener" in server.log


class Impatient(http.server.BaseHTTPRequestHandler):
    """A directory that has had enough."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Replay-Nonce": "bm9uY2U", "Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self):
        self._answer(200)

    def do_GET(self):
        here = "https://localhost:%d/" % self.server.server_port
        self._answer(200, json.dumps({key: here + key for key in ("newNonce", "newAccount", "newOrder")}).encode())

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        problem = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many of you"}
        self._answer(429, json.dumps(problem).encode(), Content_Type="application/problem+json", Retry_After=7200)


def test_an_authority_that_wants_patience_has_it(start, authority):
    certificate, key, _ = authority.issue("impatient", ["localhost"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    directory = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Impatient)
    directory.socket = context.wrap_socket(directory.socket, server_side=True)
    threading.Thread(target=directory.serve_forever, daemon=True).start()
    began = time.time()
    try:
        server = start(f"https://localhost:{directory.server_port}/")
        until(lambda: orders(server, "failed") == 1, server)
        until(lambda: metric(server, "motet_acme_next_attempt_seconds") >= began + 7199, server)
        assert "too many of you" in server.log and "staging directory" in server.log
    finally:
        directory.shutdown()
        directory.server_close()


def test_a_page_that_no_order_waits_for_is_not_there(server):
    url = "http://127.0.0.1:%d/.well-known/acme-challenge/x" % server.ports["http"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=10)
    assert refused.value.code == 404
