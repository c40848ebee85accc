"""Who may: access rules in both versions' words, tokens that end, and a hook that is asked."""

import base64
import hashlib
import hmac
import http.server
import json
import signal
import subprocess
import threading
import time

import motet
import pytest
from wire import Peer

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


MATRIX = [("open/a", True), ("own/ME/a", True), ("own/other/a", False), ("closed", False)]


@pytest.mark.parametrize("version", [4, 5])
def test_only_what_is_allowed_is_heard_and_taken(run, paho, name, version):
    server = run(RULES)
    hears = paho(server, version=version, client_id="hears" + name, clean=True)
    says = paho(server, version=version, client_id=name, clean=True)
    refused = 0x87 if version == 5 else 0x80
    for filter, allowed in [("open/a", True), ("open/+", False), ("open/#", False), ("#", False), ("closed", False)]:
        assert (hears.subscribe(filter, 1) == [1]) is allowed, filter
        if not allowed:
            assert hears.subscribe(filter, 1) == [refused]
    for topic, allowed in MATRIX:
        code = says.publish(topic.replace("ME", name), b"x", qos=1)
        if version == 5:
            assert (code != 0x87) is allowed, topic
    assert [message.topic for message in hears.messages(1)] == ["open/a"]
