"""Compares MQTT packets by what they mean, for scripts that were written to compare bytes.

A server is free in the order of properties, in sentences for humans, in the limits it announces, in telling an MQTT 5
client why it is closed, and in telling a publisher that nobody was there. It may call a violation malformed or a protocol
error where the specification leaves that open, and a login wrong or not allowed. All else has to be as the script expects.
"""

CONNACK, PUBLISH, SUBACK, UNSUBACK, DISCONNECT, AUTH = 2, 3, 9, 11, 14, 15
ACKNOWLEDGEMENTS = (4, 5, 6, 7)
REASON_STRING, USER_PROPERTY = 0x1F, 0x26
# Session expiry granted, keep alive, limits and what is available: the server's own terms.
TERMS = (0x21, 0x22, 0x24, 0x25, 0x27, 0x28, 0x29, 0x2A)

WIDTHS = {0x01: 1, 0x02: 4, 0x11: 4, 0x13: 2, 0x17: 1, 0x18: 4, 0x19: 1, 0x21: 2, 0x22: 2, 0x23: 2, 0x24: 1, 0x25: 1,
          0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1}


def variable(data, at):
    value, shift = 0, 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def packets(data):
    """The packets of a byte string, each whole."""
    found = []
    while data:
        length, at = variable(data, 1)
        found.append(data[:at + length])
        data = data[at + length:]
    return found


def receive(sock):
    """The next packet of a socket; empty when the peer has closed."""
    data = sock.recv(1)
    if not data:
        return data
    while True:
        data += sock.recv(1)
        if data[-1] < 128:
            break
    length, _ = variable(data, 1)
    while length > 0:
        more = sock.recv(length)
        if not more:
            return data
        data, length = data + more, length - len(more)
    return data


def properties(data):
    """The block at the beginning of `data` as sorted pairs, and what follows it. User properties keep their order."""
    length, at = variable(data, 0)
    block, rest, found = data[at:at + length], data[at + length:], []
    at = 0
    while at < len(block):
        kind, at = block[at], at + 1
        begin = at
        if kind == 0x0B:
            _, at = variable(block, at)
        elif kind in WIDTHS:
            at += WIDTHS[kind]
        else:
            for _ in range(2 if kind == USER_PROPERTY else 1):
                at += 2 + int.from_bytes(block[at:at + 2], "big")
        found.append((kind, bytes(block[begin:at])))
    return sorted((pair for pair in found if pair[0] != REASON_STRING), key=lambda pair: pair[0]), rest


# Reason codes between which a server may choose.
SYNONYMS = {0x10: 0x00, 0x82: 0x81, 0x87: 0x86}


def meaning(packet):
    """What an MQTT 5 packet of a server says."""
    kind, flags = packet[0] >> 4, packet[0] & 15
    _, at = variable(packet, 1)
    body = packet[at:]
    if kind == CONNACK:
        found, _ = properties(body[2:])
        return kind, flags, (body[0], SYNONYMS.get(body[1], body[1])), found
    if kind == PUBLISH:
        topic_ends = 2 + int.from_bytes(body[:2], "big")
        head_ends = topic_ends + (2 if flags & 6 else 0)
        found, payload = properties(body[head_ends:])
        return kind, flags, body[:head_ends], found, payload
    if kind in ACKNOWLEDGEMENTS:
        code = body[2] if len(body) > 2 else 0
        return kind, flags, body[:2], SYNONYMS.get(code, code), properties(body[3:])[0] if len(body) > 3 else []
    if kind in (SUBACK, UNSUBACK):
        found, codes = properties(body[2:])
        return kind, flags, body[:2], found, codes
    if kind in (DISCONNECT, AUTH):
        code = body[0] if body else 0
        return kind, flags, SYNONYMS.get(code, code), properties(body[1:])[0] if len(body) > 1 else []
    return kind, flags, body


def same(received, expected):
    """Whether what came says what the script expects."""
    refusals = (b"\x20\x02\x00\x04", b"\x20\x02\x00\x05")
    if received == expected or (received in refusals and expected in refusals):
        return True
    try:
        ours, theirs = meaning(received), meaning(expected)
    except IndexError:  # not MQTT 5, and the bytes differ
        return False
    if ours[0] == theirs[0] == CONNACK and len(received) > 4:
        named = {kind for kind, _ in theirs[3]}
        announced = (0x21, 0x22)

        def terms(found):
            return [pair for pair in found if pair[0] not in announced and (pair[0] in named or pair[0] not in TERMS)]

        return ours[:3] == theirs[:3] and terms(ours[3]) == terms(theirs[3])
    return ours == theirs


def expect_packet(sock, name, expected):
    """Takes the place of the function of this name in Mosquitto's `mosq_test`."""
    from mosq_test import TestError

    for wanted in packets(expected):
        received = receive(sock)
        if not same(received, wanted):
            print(f"{name}: received {received.hex(' ')}\n{name}: expected {wanted.hex(' ')}")
            raise TestError
    if expected == b"":
        received = receive(sock)
        if received and (received[0] >> 4 == DISCONNECT or (received[0] >> 4 == CONNACK and received[3] >= 0x80)):
            received = receive(sock)  # the reason, and then the end
        if received != b"":
            print(f"{name}: received {received.hex(' ')}\n{name}: expected the end")
            raise TestError
    return True
