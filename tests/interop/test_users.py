"""Users by `motet user`, with a server and without; SCRAM over MQTT 5; many who come back at once."""

import json
import os
import re
import socket
import subprocess
import urllib.request

import pytest
import scram

SETTINGS = 'access.anonymous = "never"\n[login]\nscram_iterations = 4096\n'


@pytest.fixture(autouse=True)
def _motet_only(request):
    if request.config.getoption("--server") != "motet":
        pytest.skip("the command is Motet's")


@pytest.fixture
def users(kind, tmp_path):
    """A server whose users are those of `motet user`."""
    server = kind(tmp_path / "server", settings=SETTINGS).start()
    yield server
    server.close()


def run(arguments, password, **options):
    """Runs `motet user`; what a developer has set for himself must not leak into it."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MOTET_")}
    command = [os.path.abspath(os.environ["MOTET_BIN"]), "user", *arguments]
    return subprocess.run(command, input=f"{password or ''}\n", capture_output=True, text=True, timeout=30,
                          env=environment, **options)


def motet_user(server, *arguments, password=None, fails=None):
    """Runs `motet user` on this server and returns what it says."""
    ran = run([*arguments, "--config", str(server.directory / "motet.toml")], password)
    if fails is None:
        assert ran.returncode == 0, ran.stderr
        return ran.stdout
    assert ran.returncode == 1 and re.search(fails, ran.stderr), (ran.returncode, ran.stdout, ran.stderr)
    return ran.stderr


def names(server):
    return [user["name"] for user in json.loads(motet_user(server, "list", "--json"))]


def connect(server, user, password, client=b"c"):
    """A connection and the code of its CONNACK, by MQTT 5."""
    field = lambda text: len(text).to_bytes(2, "big") + text  # noqa: E731
    body = field(b"MQTT") + bytes([5, 0xc2, 0, 60, 0]) + field(client) + field(user.encode()) + field(password.encode())
    stream = socket.create_connection(server.mqtt, timeout=20)
    stream.sendall(bytes([0x10, len(body)]) + body)
    kind, connack = scram.read_packet(stream)
    assert kind == 0x20
    return stream, connack[1]


def code(server, user, password):
    stream, found = connect(server, user, password)
    stream.close()
    return found


def metric(server, name):
    page = urllib.request.urlopen(f"http://127.0.0.1:{server.ports['http']}/metrics", timeout=10).read().decode()
    return float(re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE).group(1))


BAD_USER_NAME_OR_PASSWORD, ADMINISTRATIVE_ACTION, DISCONNECT = 0x86, 0x98, 0xe0


def test_a_user_is_added_changed_and_removed_while_the_server_runs(users):
    assert code(users, "alice", "swordfish") != 0
    motet_user(users, "add", "alice", "--tags", "management", password="swordfish")
    assert code(users, "alice", "swordfish") == 0
    assert code(users, "alice", "swordfisH") == BAD_USER_NAME_OR_PASSWORD
    motet_user(users, "add", "alice", password="other", fails="there twice")
    motet_user(users, "passwd", "alice", "--keys", "argon2id", password="xyzzy")
    assert code(users, "alice", "xyzzy") == 0 and code(users, "alice", "swordfish") == BAD_USER_NAME_OR_PASSWORD
    motet_user(users, "tags", "alice", "administrator", "monitoring")
    assert re.search(r"alice +store +argon2id +administrator,monitoring\n", motet_user(users, "list"))
    motet_user(users, "add", "bob", password="hunter2")
    motet_user(users, "remove", "alice")
    assert names(users) == ["bob"]
    assert code(users, "alice", "xyzzy") == BAD_USER_NAME_OR_PASSWORD
    motet_user(users, "remove", "alice", fails="no user")


def test_users_live_in_the_store_and_can_be_changed_while_no_server_runs(users):
    motet_user(users, "add", "alice", password="swordfish")
    users.restart()
    assert code(users, "alice", "swordfish") == 0
    users.terminate()
    motet_user(users, "add", "bob", password="hunter2")
    motet_user(users, "remove", "alice")
    assert names(users) == ["bob"]
    users.start()
    assert code(users, "bob", "hunter2") == 0 and code(users, "alice", "swordfish") == BAD_USER_NAME_OR_PASSWORD


def test_the_configuration_wins_and_says_so(kind, tmp_path):
    made = run(["hash"], "swordfish", cwd=tmp_path)
    assert made.returncode == 0 and made.stdout.startswith("SCRAM-SHA-256$"), made.stderr
    settings = SETTINGS + f'[[user]]\nname = "carl"\npassword_hash = "{made.stdout.strip()}"\n'
    server = kind(tmp_path / "server", settings=settings).start()
    try:
        assert code(server, "carl", "swordfish") == 0
        motet_user(server, "passwd", "carl", password="x", fails="is in the configuration, which wins")
        motet_user(server, "remove", "carl", fails="is in the configuration, which wins")
    finally:
        server.close()


@pytest.mark.parametrize("how", [["passwd"], ["remove"]])
def test_a_new_password_and_a_removal_end_the_users_connections_and_no_others(users, how):
    motet_user(users, "add", "alice", password="swordfish")
    motet_user(users, "add", "bob", password="hunter2")
    (alice, _), (bob, _) = connect(users, "alice", "swordfish", b"a"), connect(users, "bob", "hunter2", b"b")
    motet_user(users, *how, "alice", password="new")
    kind, body = scram.read_packet(alice)
    assert (kind, body[0]) == (DISCONNECT, ADMINISTRATIVE_ACTION)
    bob.sendall(b"\xc0\x00")
    assert scram.read_packet(bob) == (0xd0, b"")
    assert metric(users, "motet_auth_disconnects_total") == 1
    alice.close()
    bob.close()


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_scram_over_mqtt_5(users, algorithm):
    method = "SCRAM-SHA-" + algorithm[3:]
    motet_user(users, "add", "alice", "--keys", "scram-sha-1,scram-sha-256,scram-sha-512", password="swordfish")
    for user, password, good in [("alice", "swordfish", True), ("alice", "guess", False), ("nobody", "x", False)]:
        client = scram.Scram(user, password, algorithm)
        with socket.create_connection(users.mqtt, timeout=20) as stream:
            stream.sendall(scram.connect(method, client.first()))
            kind, challenge = scram.read_packet(stream)
            assert (kind, challenge[0]) == (0xf0, 0x18), "AUTH, continue authentication"
            stream.sendall(scram.auth(0x18, method, client.last(scram.authentication_data(challenge[1:]))))
            kind, connack = scram.read_packet(stream)
            assert kind == 0x20
            if not good:
                assert connack[1] in (0x86, 0x87), hex(connack[1])
                continue
            assert connack[1] == 0
            client.verify(scram.authentication_data(connack))
            again = scram.Scram(user, password, algorithm)
            stream.sendall(scram.auth(0x19, method, again.first()))
            kind, challenge = scram.read_packet(stream)
            assert (kind, challenge[0]) == (0xf0, 0x18)
            stream.sendall(scram.auth(0x18, method, again.last(scram.authentication_data(challenge[1:]))))
            kind, success = scram.read_packet(stream)
            assert (kind, success[0]) == (0xf0, 0x00), "re-authenticated"


def test_five_thousand_come_back_with_the_same_password_and_cost_one_verification(users):
    motet_user(users, "add", "device", "--keys", "argon2id", password="swordfish")
    assert code(users, "device", "swordfish") == 0
    before = metric(users, "motet_auth_verifications_total")
    field = lambda text: len(text).to_bytes(2, "big") + text  # noqa: E731
    for _ in range(25):
        streams = [socket.create_connection(users.mqtt, timeout=20) for _ in range(200)]
        for number, stream in enumerate(streams):
            body = (field(b"MQTT") + bytes([5, 0xc2, 0, 60, 0]) + field(b"c%d" % number) + field(b"device")
                    + field(b"swordfish"))
            stream.sendall(bytes([0x10, len(body)]) + body)
        assert {scram.read_packet(stream)[1][1] for stream in streams} == {0}
        for stream in streams:
            stream.close()
    assert metric(users, "motet_auth_verifications_total") == before
    assert metric(users, "motet_auth_remembered_total") >= 5000
