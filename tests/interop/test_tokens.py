"""Tokens on live connections: a new one shown by AUTH, and keys that come from a URL."""

import base64
import http.server
import json
import ssl
import threading
import time

import motet
import pytest
import wire
from certificates import Authority
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from test_access import JWT, SECRET, token

METHOD = "OAUTHBEARER"
# Long enough for a machine with much to do to show the next token in time.
SHORT_SECONDS = 6


@pytest.fixture
def run(kind, tmp_path):
    if kind is not motet.Motet:
        pytest.skip("these keys are Motet's")
    running = []

    def run(settings):
        running.append(kind(tmp_path / f"server-{len(running)}", settings=settings).start())
        return running[-1]

    yield run
    for server in running:
        server.close()


@pytest.fixture
def tokens(run, tmp_path):
    (tmp_path / "secret").write_bytes(SECRET)
    return run(JWT.format(secret=tmp_path / "secret"))


def bearer(value):
    """The client's first message of RFC 7628."""
    return {"authentication_method": METHOD, "authentication_data": b"n,,\x01auth=Bearer " + value.encode() + b"\x01\x01"}


def show_again(peer, value):
    peer.send(wire.packet(wire.AUTH, 0, b"\x19" + wire.properties(bearer(value))))


def test_a_new_token_by_auth_outlives_the_first(tokens, peer):
    one = peer(tokens, version=5)
    begun = time.time()
    one.connect("live", props=bearer(token(sub="ann", exp=begun + SHORT_SECONDS)))
    show_again(one, token(sub="ann", exp=begun + 600))
    answer = one.await_kind(wire.AUTH)
    assert answer.reason == 0x00
    assert answer.props["authentication_method"] == METHOD
    other = peer(tokens, version=5)
    other.connect("witness", props=bearer(token(sub="ann", exp=begun + SHORT_SECONDS)))
    assert other.await_kind(wire.DISCONNECT, timeout=SHORT_SECONDS + 10).reason == 0xA0, "maximum connect time"
    one.ping()


@pytest.mark.parametrize("wrong", [{"sub": "bob"}, {"sub": "ann", "exp": 1}])
def test_a_wrong_token_by_auth_ends_the_connection(tokens, peer, wrong):
    one = peer(tokens, version=5)
    one.connect("live", props=bearer(token(sub="ann", exp=time.time() + 600)))
    show_again(one, token(**{"exp": time.time() + 600, **wrong}))
    assert one.await_kind(wire.DISCONNECT).reason == 0x87
    one.until_closed()


# -- keys by URL

def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Keys and tokens of somebody who serves his key set."""

    def __init__(self):
        self.keys = {}
        self.asked = threading.Event()

    def add(self, kid):
        self.keys[kid] = Ed25519PrivateKey.generate()

    def key_set(self):
        public = {kid: key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) for kid, key in self.keys.items()}
        return {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": text(raw)} for kid, raw in public.items()]}

    def token(self, kid, **claims):
        parts = [{"alg": "EdDSA", "kid": kid}, {"exp": time.time() + 600, **claims}]
        signed = ".".join(text(json.dumps(part).encode()) for part in parts)
        return signed + "." + text(self.keys[kid].sign(signed.encode()))


@pytest.fixture
def issuer():
    return Issuer()


@pytest.fixture(params=["http", "https"])
def address(request, issuer, tmp_path):
    """The stand-in's URL and what else the server has to know of it."""
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(issuer.key_set()).encode()
            self.send_response(200 if self.path == "/keys.json" else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            issuer.asked.set()

        def log_message(self, *_):
            pass

    service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    more = ""
    if request.param == "https":
        authority = Authority(tmp_path)
        certificate, key, _ = authority.issue("issuer", names=["localhost"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        service.socket = context.wrap_socket(service.socket, server_side=True)
        more = f'ca_file = "{authority.file}"\n'
    threading.Thread(target=service.serve_forever, daemon=True).start()
    yield f'jwks_url = "{request.param}://localhost:{service.server_port}/keys.json"\n{more}'
    service.shutdown()
    service.server_close()


def code(peer, server, name, value):
    """The answer to a CONNECT with a token for a password."""
    one = peer(server, version=5)
    one.send(wire.connect(name, 5, username="any", password=value))
    return one.expect(wire.CONNACK).reason


def until(peer, server, value):
    deadline = time.monotonic() + 15
    while (found := code(peer, server, "waits", value)) != 0:
        assert time.monotonic() < deadline, hex(found)
        time.sleep(0.1)


def test_keys_come_from_a_url_and_are_changed_there(run, peer, issuer, address):
    issuer.add("first")
    server = run(f'[access]\nanonymous = "never"\n[jwt]\n{address}jwks_refresh = "1s"\n[login]\nfailures_before_backoff = 1000\n')
    until(peer, server, issuer.token("first", sub="ann"))
    stranger = Issuer()
    stranger.add("first")
    assert code(peer, server, "s", stranger.token("first", sub="ann")) == 0x86
    issuer.add("second")
    until(peer, server, issuer.token("second", sub="ann"))
    old = issuer.token("first", sub="ann")
    del issuer.keys["first"]
    deadline = time.monotonic() + 15
    while code(peer, server, "old", old) == 0:
        assert time.monotonic() < deadline, "a key that is gone is still taken"
        time.sleep(0.1)
