"""The web port: MQTT inside WebSocket, and other first bytes on the same port."""

import base64
import hashlib
import os
import socket
import time

import pytest
import wire


def upgrade(server, *lines, protocol="mqtt", path="/mqtt", host=None):
    """Sends a WebSocket handshake; returns the socket, the status line, the headers and what follows them."""
    key = base64.b64encode(os.urandom(16)).decode()
    one = socket.create_connection(server.http, 5)
    request = [f"GET {path} HTTP/1.1", f"Host: {host or '%s:%d' % server.http}", "Upgrade: websocket",
               "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
    if protocol:
        request.append(f"Sec-WebSocket-Protocol: {protocol}")
    one.sendall("\r\n".join([*request, *lines, "", ""]).encode())
    data = b""
    while b"\r\n\r\n" not in data:
        more = one.recv(4096)
        if not more:
            break
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").split("\r\n")
    headers = {key.lower(): value.strip() for key, _, value in (field.partition(":") for field in fields)}
    if " 101 " in status:
        expected = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        assert headers["sec-websocket-accept"] == base64.b64encode(expected).decode()
    return one, status, headers, rest


def frame(payload, opcode=2, final=True, mask=b"\x01\x02\x03\x04"):
    length = len(payload)
    head = bytes([(0x80 if final else 0) | opcode])
    flag = 0x80 if mask else 0
    head += bytes([flag | length]) if length < 126 else bytes([flag | 126]) + length.to_bytes(2, "big")
    if not mask:
        return head + payload
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def read_frame(one, rest=b""):
    def take(count):
        nonlocal rest
        while len(rest) < count:
            more = one.recv(4096)
            if not more:
                raise wire.Closed("end of stream")
            rest += more
        found, rest = rest[:count], rest[count:]
        return found

    first, second = take(2)
    assert not second & 0x80, "[RFC 6455 5.1] a server does not mask"
    length = second & 0x7F
    length = int.from_bytes(take(2), "big") if length == 126 else int.from_bytes(take(8), "big") if length == 127 else length
    return first & 15, take(length)


@pytest.mark.parametrize("version", [3, 4, 5])
def test_paho_over_websocket(server, paho, name, version):
    receiver = paho(server, version=version, client_id=name + "r", transport="websockets")
    receiver.subscribe(name, 2)
    sender = paho(server, version=version, client_id=name + "s")
    for size in (0, 64, 70_000, server.websocket_bytes_max):
        sender.publish(name, b"x" * size, 2)
        assert len(receiver.message().payload) == size
    receiver.publish(name, b"from the web", 1)
    assert receiver.message().payload == b"from the web"


def test_sub_protocol_is_confirmed(server):
    one, status, headers, _ = upgrade(server)
    assert " 101 " in status and headers["sec-websocket-protocol"] == "mqtt"  # [MQTT-6.0.0-4]
    one.close()


def test_first_known_sub_protocol_is_picked(server):
    one, status, headers, _ = upgrade(server, protocol="unknown.v9, mqtt")
    assert " 101 " in status and headers["sec-websocket-protocol"] == "mqtt"
    one.close()


def test_packets_may_be_spread_over_frames_and_share_them(server, name):
    # [MQTT-6.0.0-2] frames are not aligned to packets
    one, _, _, rest = upgrade(server)
    connect = wire.connect(name, 5)
    one.sendall(frame(connect[:5]) + frame(connect[5:6], final=False) + frame(connect[6:], opcode=0))
    opcode, data = read_frame(one, rest)
    assert opcode == 2 and data[0] == 0x20 and data[3] == 0
    one.sendall(frame(wire.packet(wire.PINGREQ) * 3))
    got = b""
    while len(got) < 6:
        got += read_frame(one)[1]
    assert got == wire.packet(wire.PINGRESP) * 3
    one.close()


def test_websocket_ping_is_answered_between_the_parts_of_a_message(server, name):
    one, _, _, rest = upgrade(server)
    connect = wire.connect(name, 5)
    one.sendall(frame(connect[:5], final=False) + frame(b"are you there", opcode=9))
    assert read_frame(one, rest) == (10, b"are you there")
    one.sendall(frame(connect[5:], opcode=0))
    assert read_frame(one)[0] == 2
    one.close()


def test_pings_of_websocket_are_no_packets(server, name):
    # [MQTT-3.1.2-22] the keep alive is about MQTT packets
    one, _, _, rest = upgrade(server)
    one.sendall(frame(wire.connect(name, 5, keep_alive=1)))
    read_frame(one, rest)
    one.settimeout(10)
    deadline = time.monotonic() + 10
    opcode, data = 10, b""
    while opcode == 10:
        assert time.monotonic() < deadline, "pings keep the connection"
        time.sleep(0.1)
        one.sendall(frame(b"", opcode=9) + frame(b""))
        opcode, data = read_frame(one)
    assert (opcode, data[0], data[2]) == (2, 0xE0, 0x8D)
    one.close()


@pytest.mark.parametrize("wrong", [frame(b"text", opcode=1), frame(wire.packet(wire.PINGREQ), mask=None),
                                   frame(b"x", opcode=3), frame(b"x", opcode=9, final=False), b"\xf2\x80\x01\x02\x03\x04"],
                         ids=["text", "unmasked", "unknown opcode", "fragmented ping", "reserved bits"])
def test_wrong_frames_close_the_connection(server, name, wrong):
    one, _, _, rest = upgrade(server)
    one.sendall(frame(wire.connect(name, 5)))
    read_frame(one, rest)
    one.sendall(wrong)
    one.settimeout(5)
    try:
        while True:
            opcode, _ = read_frame(one)
            assert opcode in (2, 8)
    except (wire.Closed, ConnectionError):
        pass
    one.close()


def test_page_of_another_site_is_refused(server):
    one, status, _, _ = upgrade(server, "Origin: http://evil.example")
    assert " 403 " in status, status
    one.close()


def test_foreign_host_name_is_refused(server):
    # A page of evil.example whose name was pointed at this machine (DNS rebinding).
    one, status, _, _ = upgrade(server, host="evil.example")
    assert " 101 " not in status, status
    one.close()


def test_plain_mqtt_is_recognised_on_the_web_port(server, name):
    for version in (3, 4, 5):
        with wire.Peer(server.http, version) as one:
            one.connect(name)
            one.ping()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_operators_pages_are_served(server, path):
    with socket.create_connection(server.http, 5) as one:
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while more := one.recv(65536):
            data += more
    assert data.startswith(b"HTTP/1.1 200 "), data[:200]
    assert path != "/metrics" or b"motet_" in data


@pytest.mark.parametrize("garbage", [b"\x00" * 64, b"\xff" * 64, b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"a" * 100_000,
                                     b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"SSH-2.0-x\r\n"],
                         ids=["zeros", "ones", "bad version", "endless line", "broken TLS", "ssh"])
def test_garbage_on_the_web_port_is_closed(server, name, garbage):
    with socket.create_connection(server.http, 5) as one:
        one.settimeout(12)
        try:
            one.sendall(garbage)
            while one.recv(65536):
                pass
        except ConnectionError:
            pass
    with wire.Peer(server.mqtt, 5) as one:
        one.connect(name)
