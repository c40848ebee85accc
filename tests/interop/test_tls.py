"""TLS as clients meet it: versions, client certificates good and bad, names, and files that change while all goes on."""

import json
import re
import signal
import socket
import ssl
import time
import urllib.request

import pytest

pytest.importorskip("cryptography")
from certificates import Authority  # noqa: E402

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
WITHIN_SECONDS = 20


@pytest.fixture(autouse=True)
def _motet_only(request):
    if request.config.getoption("--server") != "motet":
        pytest.skip("the configuration is Motet's")


def mqtt_connect(user=None, client=b"c"):
    """An MQTT 3.1.1 CONNECT."""
    field = lambda text: len(text).to_bytes(2, "big") + text  # noqa: E731
    flags = 0x02 | (0x80 if user is not None else 0)
    body = field(b"MQTT") + bytes([4, flags, 0, 60]) + field(client) + (field(user.encode()) if user is not None else b"")
    return bytes([0x10, len(body)]) + body


def exactly(stream, count):
    data = b""
    while len(data) < count:
        piece = stream.recv(count - len(data))
        if not piece:
            raise ConnectionError("closed")
        data += piece
    return data


class Client:
    """One TLS connection."""

    def __init__(self, port, authority, certificate=None, version=None, name="localhost"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(authority.file)
        if version:
            context.minimum_version = context.maximum_version = version
        if certificate:
            context.load_cert_chain(certificate[0], certificate[1])
        plain = socket.create_connection(("127.0.0.1", port), timeout=WITHIN_SECONDS)
        try:
            self.stream = context.wrap_socket(plain, server_hostname=name)
        except BaseException:
            plain.close()
            raise

    def connect(self, user=None):
        """The code in CONNACK; an alert of TLS is an ssl.SSLError."""
        self.stream.sendall(mqtt_connect(user))
        return exactly(self.stream, 4)[3]

    def ping(self):
        self.stream.sendall(b"\xc0\x00")
        assert exactly(self.stream, 2) == b"\xd0\x00"

    def common_name(self):
        subject = dict(field[0] for field in self.stream.getpeercert()["subject"])
        return subject["commonName"]

    def close(self):
        self.stream.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, default=str)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def start(kind, tmp_path, authority):
    """Starts a server with a listener for TLS; the arguments become lines of its `tls` table."""
    started = []

    def start_server(more="", **keys):
        certificate, key, _ = authority.issue("server", ["localhost", "127.0.0.1"], file="server")
        table = {"certificate": certificate, "key": key, "watch_interval": "0s", **keys}
        lines = "\n".join(f"{key} = {toml(value)}" for key, value in table.items())
        settings = f'{more}\n[[listener]]\naddress = "127.0.0.1:0"\nprotocol = "mqtts"\n[listener.tls]\n{lines}\n'
        started.append(kind(tmp_path / f"server-{len(started)}", settings=settings).start())
        return started[-1]

    yield start_server
    for server in started:
        assert server.alive(), server.log
        server.close()


def metric(server, name):
    page = urllib.request.urlopen(f"http://127.0.0.1:{server.ports['http']}/metrics", timeout=10).read().decode()
    return float(re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE).group(1))


def until(look):
    """Looks again until there is something to see."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while time.monotonic() < deadline:
        seen = look()
        if seen:
            return seen
        time.sleep(0.02)
    raise AssertionError("nothing to see in time")


def reload(server, name="motet_tls_reloads_total"):
    before = metric(server, name)
    server.process.send_signal(signal.SIGHUP)
    until(lambda: metric(server, name) > before)


@pytest.mark.parametrize("version", VERSIONS)
def test_both_versions_are_spoken(start, authority, version):
    server = start()
    with Client(server.ports["mqtts"], authority, version=version) as client:
        assert client.connect() == 0
        client.ping()


def test_a_listener_can_insist_on_tls_1_3(start, authority):
    server = start(min_version="1.3")
    with Client(server.ports["mqtts"], authority, version=ssl.TLSVersion.TLSv1_3) as client:
        assert client.connect() == 0
    with pytest.raises(ssl.SSLError, match="(?i)protocol.version"):
        Client(server.ports["mqtts"], authority, version=ssl.TLSVersion.TLSv1_2)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("client_certificate", ["optional", "required"])
def test_client_certificates_good_and_bad(start, authority, tmp_path, version, client_certificate):
    middle = Authority(tmp_path, "Middle CA", parent=authority)
    good, expired = authority.issue("good"), authority.issue("expired", expired=True)
    revoked, by_middle = authority.issue("revoked"), middle.issue("by middle")
    authority.revoke(revoked[2])
    stranger = Authority(tmp_path, "Other CA").issue("stranger")
    server = start(client_certificate=client_certificate, client_ca=authority.file,
                   client_crl=[authority.revocation_list(), middle.revocation_list()])
    cases = [(good, None), (by_middle, None), (expired, "certificate.expired"), (revoked, "certificate.revoked"),
             (stranger, "unknown.ca|decrypt.error")]
    cases.append((None, None if client_certificate == "optional" else "certificate.required|handshake.failure"))
    refused = 0
    for certificate, alert in cases:
        def attempt():
            with Client(server.ports["mqtts"], authority, certificate, version) as client:
                return client.connect()
        if alert is None:
            assert attempt() == 0
        else:
            with pytest.raises(ssl.SSLError, match=f"(?i){alert}"):
                attempt()
            refused += 1
            assert metric(server, "motet_tls_client_certificates_refused_total") == refused
    assert "client certificate refused" in server.log and "peer=127.0.0.1:" in server.log


def test_an_outdated_revocation_list_and_an_issuer_without_one_let_nobody_in(start, authority, tmp_path):
    middle = Authority(tmp_path, "Middle CA", parent=authority)
    client, by_middle = authority.issue("client"), middle.issue("by middle")
    server = start(client_certificate="required", client_ca=authority.file, client_crl=[authority.revocation_list()])
    with Client(server.ports["mqtts"], authority, client) as good:
        assert good.connect() == 0
    with pytest.raises(ssl.SSLError), Client(server.ports["mqtts"], authority, by_middle) as bad:
        bad.connect()
    authority.revocation_list(outdated=True)
    reload(server)
    with pytest.raises(ssl.SSLError), Client(server.ports["mqtts"], authority, client) as bad:
        bad.connect()


def test_a_certificate_is_its_user(start, authority):
    server = start(client_certificate="optional", client_ca=authority.file, client_identity="device-%cn",
                   more='access.anonymous = "never"')
    certificate = authority.issue("7")
    for user, code in [(None, 0), ("", 0), ("device-7", 0), ("device-8", 4), ("7", 4)]:
        with Client(server.ports["mqtts"], authority, certificate) as client:
            assert client.connect(user) == code, user
    with Client(server.ports["mqtts"], authority) as client:
        assert client.connect() == 5, "without a certificate it is nobody"
    nameless = authority.issue("")
    with pytest.raises((ssl.SSLError, ConnectionError)), Client(server.ports["mqtts"], authority, nameless) as client:
        client.connect()


def test_a_client_refuses_a_server_of_another_name(start, authority):
    server = start()
    with pytest.raises(ssl.SSLCertVerificationError, match="(?i)hostname"):
        Client(server.ports["mqtts"], authority, name="mqtt.example.org")
    with Client(server.ports["mqtts"], authority) as client:
        assert client.connect() == 0


def test_the_certificate_is_that_of_the_name_asked_for(start, authority):
    pairs = [authority.issue("other", ["other.example.org"]), authority.issue("wild", ["*.example.net"])]
    server = start(also=[{"certificate": one[0], "key": one[1]} for one in pairs])
    for name, expected in [("localhost", "server"), ("other.example.org", "other"), ("a.example.net", "wild")]:
        with Client(server.ports["mqtts"], authority, name=name) as client:
            assert client.common_name() == expected
            assert client.connect() == 0


@pytest.mark.parametrize("how", ["watched", "SIGHUP"])
def test_a_new_certificate_is_taken_and_a_broken_one_is_not_while_connections_stay(start, authority, how):
    server = start(watch_interval="50ms" if how == "watched" else "0s")

    def shown():
        with Client(server.ports["mqtts"], authority) as client:
            return client.common_name()

    with Client(server.ports["mqtts"], authority) as staying:
        assert staying.connect() == 0 and shown() == "server"
        authority.issue("renewed", ["localhost"], file="server")
        if how == "SIGHUP":
            server.process.send_signal(signal.SIGHUP)
        until(lambda: shown() == "renewed")
        (authority.directory / "server.pem").write_text("this is no certificate")
        if how == "SIGHUP":
            server.process.send_signal(signal.SIGHUP)
        until(lambda: metric(server, "motet_tls_reload_failures_total") >= 1)
        assert shown() == "renewed"
        assert "certificates were not taken; the old ones hold" in server.log
        staying.ping()


def test_who_is_revoked_while_connected_is_ended_and_does_not_come_back(start, authority):
    certificate = authority.issue("device")
    server = start(client_certificate="required", client_ca=authority.file, client_crl=[authority.revocation_list()])
    with Client(server.ports["mqtts"], authority, certificate) as staying, \
            Client(server.ports["mqtts"], authority, authority.issue("other")) as other:
        body = b"\x00\x04MQTT" + bytes([5, 2, 0, 60, 0]) + b"\x00\x02c5"
        staying.stream.sendall(bytes([0x10, len(body)]) + body)
        kind, length = exactly(staying.stream, 2)
        assert kind == 0x20 and exactly(staying.stream, length)[1] == 0
        other.connect()
        authority.revoke(certificate[2])
        authority.revocation_list()
        reload(server)
        with pytest.raises(ssl.SSLError, match="(?i)certificate.revoked"):
            with Client(server.ports["mqtts"], authority, certificate) as again:
                again.connect()
        kind, length = exactly(staying.stream, 2)
        assert kind == 0xE0 and exactly(staying.stream, length)[0] == 0x98, "administrative action"
        assert staying.stream.recv(1) == b""
        other.ping()
    until(lambda: metric(server, "motet_tls_client_certificates_revoked_total") == 1)
    assert "a client's certificate is revoked" in server.log
