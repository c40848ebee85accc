"""The image, built and run by podman: who runs in it, what it writes, whether it is well, and how it ends."""

import json
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest
from test_package import BINARY, TOP, USER, WITHIN_SECONDS, client, until

pytestmark = pytest.mark.timeout(300)  # images are copied

# Machines where podman may not raise limits, or whose control groups crun does not know, need to be asked more gently.
GENTLE = ["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"]
WAYS = [([], []), ([], GENTLE), (["--runtime", "runc"], GENTLE)]


def podman(*arguments, check=True, **options):
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True, timeout=300, **options)
    assert not check or done.returncode == 0, f"{arguments}: {done.stderr}"
    return done


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    if shutil.which("podman") is None:
        pytest.skip("there is no podman")
    context = tmp_path_factory.mktemp("context")
    shutil.copytree(TOP / "packaging/container", context / "packaging/container")
    shutil.copy2(BINARY, context / "motet")
    name = f"motet-test-{uuid.uuid4().hex[:8]}"
    file = context / "packaging/container/Containerfile"
    podman("build", "--format", "docker", "--build-arg", "BINARY=motet", "-f", file, "-t", name, context)
    yield name
    podman("rmi", "--force", name)


@pytest.fixture(scope="module")
def run(image):
    """How containers are run here: `run("-d", image)`."""
    for before, options in WAYS:
        tried = podman(*before, "run", "--rm", *options, image, "--version", check=False)
        if tried.returncode == 0:
            assert tried.stdout.startswith("motet ")
            return lambda *arguments: podman(*before, "run", *options, *arguments).stdout.strip()
    pytest.skip(f"podman runs nothing here: {tried.stderr}")


class Container:
    """A server in the image, on ports of this machine's loopback that the system chooses."""

    def __init__(self, run, image, config):
        self.name = self.volume = f"motet-test-{uuid.uuid4().hex[:8]}"
        run("-d", "--name", self.name, "--network", "host", "--read-only", "--cap-drop", "all", "-v", f"{self.volume}:/data",
            "-v", f"{config}:/etc/motet/motet.toml:ro", image)
        self.data = Path(podman("volume", "inspect", "--format", "{{.Mountpoint}}", self.volume).stdout.strip())
        self.listens()

    def listens(self):
        def look():
            try:
                found = json.loads((self.data / "ports.json").read_text())
            except (FileNotFoundError, ValueError):
                return False
            self.ports = {one["protocol"]: int(one["address"].rpartition(":")[2]) for one in found}
            return True

        until(look, lambda: podman("logs", self.name, check=False).stderr)

    def says(self, template):
        return podman("inspect", "--format", template, self.name).stdout.strip()

    def remove(self):
        podman("rm", "--force", "--time", "1", self.name, check=False)
        podman("volume", "rm", "--force", self.volume, check=False)


@pytest.fixture
def config(tmp_path):
    for folder in (tmp_path, *tmp_path.parents):  # the server's user must be able to read it
        if folder.owner() == "root" and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    file = tmp_path / "motet.toml"
    file.write_text("".join(f'[[listener]]\nprotocol = "{one}"\naddress = "127.0.0.1:0"\n' for one in ("mqtt", "http")))
    return file


@pytest.fixture
def container(run, image, config):
    one = Container(run, image, config)
    yield one
    one.remove()


def test_the_image_says_how_it_is_used(image):
    said = json.loads(podman("image", "inspect", image).stdout)[0]
    settings = said["Config"]
    assert settings["User"] == f"{USER}:{USER}" and settings["StopSignal"] == "SIGTERM"
    assert set(settings["ExposedPorts"]) == {"1883/tcp", "5672/tcp", "8080/tcp"} and set(settings["Volumes"]) == {"/data"}
    health = said.get("HealthCheck") or said.get("Healthcheck")
    assert health["Test"] == ["CMD", "/motet", "status"], "podman needs --format docker for it"


def test_the_image_s_own_configuration_is_good(run, image):
    told = run("--rm", image, "config", "check", "--config", "/etc/motet/motet.toml")
    for port in (1883, 5672, 8080):
        assert f"listens on *:{port}" in told, told
    assert "data in /data" in told and "limits.drain_timeout" in told, told


def test_it_serves_as_nobody_is_well_and_stops_in_order(container):
    pid = container.says("{{.State.Pid}}")
    ids = [line.split()[1:] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(("Uid", "CapEff"))]
    assert ids == [[str(USER)] * 4, ["0000000000000000"]], "a user without rights"
    assert container.data.stat().st_uid == USER
    sender = client(container.ports["mqtt"], "sender")
    sender.publish("kept", b"for later", qos=1, retain=True).wait_for_publish(WITHIN_SECONDS)
    podman("healthcheck", "run", container.name)
    users = podman("exec", container.name, "/motet", "user", "list")
    assert users.returncode == 0
    podman("kill", "--signal", "HUP", container.name)
    until(lambda: "read again" in podman("logs", container.name).stderr)

    podman("stop", "--time", "60", container.name)
    assert container.says("{{.State.ExitCode}}") == "0"
    assert "stopped" in podman("logs", container.name).stderr and not (container.data / "ports.json").exists()
    sender.loop_stop()

    podman("start", container.name)
    container.listens()
    seen = []
    receiver = client(container.ports["mqtt"], "receiver", on_message=lambda *about: seen.append(about[2].payload))
    receiver.subscribe("kept", qos=1)
    until(lambda: seen == [b"for later"])
    receiver.disconnect()
    receiver.loop_stop()
