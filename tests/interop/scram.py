"""SCRAM, the client's side [RFC 5802], over MQTT 5 AUTH."""

import base64
import hashlib
import hmac
import os


class Scram:
    def __init__(self, user, password, algorithm="sha256"):
        self.user, self.password, self.algorithm = user, password, algorithm
        self.nonce = base64.b64encode(os.urandom(18)).decode()

    def _hmac(self, key, text):
        return hmac.digest(key, text, self.algorithm)

    def first(self):
        escaped = self.user.replace("=", "=3D").replace(",", "=2C")
        self.bare = f"n={escaped},r={self.nonce}"
        return f"n,,{self.bare}".encode()

    def last(self, challenge):
        server_first = challenge.decode()
        fields = dict(part.split("=", 1) for part in server_first.split(","))
        assert fields["r"].startswith(self.nonce) and len(fields["r"]) > len(self.nonce)
        salt, iterations = base64.b64decode(fields["s"]), int(fields["i"])
        salted = hashlib.pbkdf2_hmac(self.algorithm, self.password.encode(), salt, iterations)
        client_key = self._hmac(salted, b"Client Key")
        stored_key = hashlib.new(self.algorithm, client_key).digest()
        without_proof = f"c=biws,r={fields['r']}"
        message = f"{self.bare},{server_first},{without_proof}".encode()
        proof = bytes(a ^ b for a, b in zip(client_key, self._hmac(stored_key, message)))
        self.signature = self._hmac(self._hmac(salted, b"Server Key"), message)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, final):
        """The server, too, knows the password."""
        assert final == b"v=" + base64.b64encode(self.signature)


# -- MQTT 5, as much of it as an authentication needs

METHOD, DATA = 0x15, 0x16


def _binary(data):
    return len(data).to_bytes(2, "big") + data


def _properties(method, data):
    properties = bytes([METHOD]) + _binary(method.encode()) + bytes([DATA]) + _binary(data)
    assert len(properties) < 128
    return bytes([len(properties)]) + properties


def _packet(kind, body):
    length, encoded = len(body), b""
    while True:
        encoded += bytes([length % 128 | (0x80 if length > 127 else 0)])
        length //= 128
        if not length:
            return bytes([kind]) + encoded + body


def connect(method, data, client=b"scram"):
    return _packet(0x10, _binary(b"MQTT") + bytes([5, 0x02, 0, 60]) + _properties(method, data) + _binary(client))


def auth(reason, method, data):
    properties = bytes([METHOD]) + _binary(method.encode()) + bytes([DATA]) + _binary(data)
    length = bytes([len(properties)]) if len(properties) < 128 else bytes([len(properties) % 128 | 0x80, len(properties) // 128])
    return _packet(0xf0, bytes([reason]) + length + properties)


def read_packet(stream):
    """Kind and body."""
    def exactly(count):
        data = b""
        while len(data) < count:
            piece = stream.recv(count - len(data))
            if not piece:
                raise ConnectionError("closed")
            data += piece
        return data

    kind, length, shift = exactly(1)[0], 0, 0
    while True:
        byte = exactly(1)[0]
        length |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return kind, exactly(length)


def authentication_data(properties):
    """The property Authentication Data, found by its place behind the method's."""
    at = properties.index(bytes([DATA]), properties.index(bytes([METHOD])) + 3 + len("SCRAM-SHA-"))
    length = int.from_bytes(properties[at + 1:at + 3], "big")
    return properties[at + 3:at + 3 + length]
