"""Debian's mosquitto_pub and mosquitto_sub, as a first-time user would type them."""

import shutil
import subprocess
import time

import pytest

pytestmark = pytest.mark.skipif(not shutil.which("mosquitto_pub"), reason="mosquitto-clients is not installed")
VERSIONS = ["mqttv31", "mqttv311", "mqttv5"]


def arguments(server, version, topic, *more):
    host, port = server.mqtt
    return ["-h", host, "-p", str(port), "-V", version, "-t", topic, *more]


def pub(server, version, topic, *more, **options):
    subprocess.run(["mosquitto_pub", *arguments(server, version, topic, *more)], check=True, timeout=15, **options)


@pytest.fixture
def sub(server, peer, name):
    started = []

    def start(version, topic, *more):
        """Starts mosquitto_sub and returns once its subscription is in force."""
        process = subprocess.Popen(["stdbuf", "-oL", "mosquitto_sub", "-d", *arguments(server, version, topic, "-W", "15", *more)],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
        started.append(process)
        for line in process.stdout:
            if b"received SUBACK" in line or b"Subscribed" in line:
                break
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def output(process):
    """What was printed, without the debug lines."""
    text, _ = process.communicate(timeout=15)
    return [line for line in text.splitlines() if not line.startswith((b"Client ", b"Subscribed"))]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", "012")
def test_pub_reaches_sub(server, sub, name, version, qos):
    process = sub(version, name + "/#", "-q", qos, "-C", "2", "-F", "%t %q %p")
    pub(server, version, name + "/a", "-q", qos, "-m", "hello")
    pub(server, version, name + "/b", "-q", qos, "-m", "world")
    assert output(process) == [f"{name}/a {qos} hello".encode(), f"{name}/b {qos} world".encode()]


def test_pub_sends_every_line_of_its_input(server, sub, name):
    process = sub("mqttv5", name, "-q", "1", "-C", "500")
    lines = [b"line %d" % number for number in range(500)]
    pub(server, "mqttv5", name, "-q", "1", "-l", input=b"\n".join(lines) + b"\n")
    assert output(process) == lines


def test_pub_sends_a_file(server, sub, name, tmp_path):
    (tmp_path / "file").write_bytes(b"0123456789" * 100_000)
    process = sub("mqttv5", name, "-C", "1", "-F", "%l")
    pub(server, "mqttv5", name, "-f", str(tmp_path / "file"))
    assert output(process) == [b"1000000"]


def test_sub_finds_a_retained_value(server, sub, name):
    pub(server, "mqttv5", name, "-q", "1", "-r", "-m", "kept")
    assert output(sub("mqttv5", name, "-C", "1", "-F", "%p %r")) == [b"kept 1"]


def test_sub_with_an_id_gets_what_it_missed(server, sub, name):
    for _ in range(2):  # the first run only leaves the subscription behind
        process = subprocess.run(["mosquitto_sub", *arguments(server, "mqttv311", name, "-i", name, "-c", "-q", "1", "-E")],
                                 timeout=15, check=True)
    for number in range(3):
        pub(server, "mqttv311", name, "-q", "1", "-m", str(number))
    process = subprocess.run(["mosquitto_sub", *arguments(server, "mqttv311", name, "-i", name, "-c", "-q", "1", "-C", "3")],
                             timeout=15, check=True, capture_output=True)
    assert process.stdout.splitlines() == [b"0", b"1", b"2"]


def test_properties_of_pub_are_printed_by_sub(server, sub, name):
    process = sub("mqttv5", name, "-C", "1", "-F", "%C %D %R %P")
    pub(server, "mqttv5", name, "-m", "x", "-D", "publish", "content-type", "text/plain", "-D", "publish",
        "correlation-data", "42", "-D", "publish", "response-topic", "answers", "-D", "publish", "user-property", "k", "v")
    assert output(process) == [b"text/plain 42 answers k:v"]


def test_will_of_sub_is_published_when_it_is_killed(server, sub, name):
    watcher = sub("mqttv5", name + "/will", "-C", "1")
    victim = sub("mqttv5", name + "/x", "--will-topic", name + "/will", "--will-payload", "gone", "--will-qos", "1")
    victim.kill()
    assert output(watcher) == [b"gone"]


def test_request_and_response(server, sub, name):
    host, port = server.mqtt
    process = sub("mqttv5", name + "/ask", "-C", "1", "-F", "%R")
    asking = subprocess.Popen(["mosquitto_rr", "-h", host, "-p", str(port), "-V", "mqttv5", "-t", name + "/ask", "-e",
                               name + "/answer", "-m", "?", "-W", "10"], stdout=subprocess.PIPE)
    assert output(process) == [f"{name}/answer".encode()]
    time.sleep(0.1)
    pub(server, "mqttv5", name + "/answer", "-m", "!")
    assert asking.communicate(timeout=15)[0].strip() == b"!"
