"""A page in a headless Chromium: mqtt.js over WebSocket, under the rules for origins."""

import http.server
import json
import queue
import shutil
import subprocess
import threading
from pathlib import Path

import motet
import pytest

NODE = Path(__file__).parent / "node"
FILES = {"/page.html": NODE / "page.html", "/mqtt.js": NODE / "node_modules/mqtt/dist/mqtt.min.js"}
VERDICT_SECONDS = 60
# A name that only this browser knows: pages of loopback itself may always connect to a server on loopback.
SITE = "app.example.org"
# Without a sandbox, for as root Chromium has none; without what a machine for tests may lack.
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         f"--host-resolver-rules=MAP {SITE} 127.0.0.1", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server"]

pytestmark = [pytest.mark.timeout(120),
              pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")]


@pytest.fixture
def site():
    """Serves the page and hands over what it says."""
    verdicts = queue.Queue()

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            file = FILES.get(self.path.partition("?")[0])
            body = file.read_bytes() if file else b""
            self.send_response(200 if file else 404)
            self.send_header("content-type", "text/html" if file and file.suffix == ".html" else "text/javascript")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            verdicts.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    service.verdicts = verdicts
    yield service
    service.shutdown()
    service.server_close()


@pytest.fixture
def browse(tmp_path):
    running = []

    def browse(url):
        running.append(subprocess.Popen(["chromium", *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", url],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    yield browse
    for one in running:
        one.kill()
        one.wait(10)


def server_for(kind, tmp_path, origins):
    if kind is not motet.Motet:
        pytest.skip("the settings are Motet's")
    return kind(tmp_path / "server", settings=f"[web]\nallowed_origins = {json.dumps(origins)}\n").start()


@pytest.mark.parametrize("version", [4, 5])
def test_a_page_publishes_and_subscribes(kind, tmp_path, site, browse, name, version):
    origin = f"http://{SITE}:{site.server_port}"
    server = server_for(kind, tmp_path, [origin])
    try:
        browse(f"{origin}/page.html?url={server.websocket_url}&version={version}&topic={name}")
        said = site.verdicts.get(timeout=VERDICT_SECONDS)
        assert said == {"verdict": "heard",
                        "heard": [[0, ""], [10, "x" * 8], [70000, "x" * 8], [100, "x" * 8]]}
    finally:
        server.close()


def test_a_page_of_another_site_is_kept_out(kind, tmp_path, site, browse, name):
    server = server_for(kind, tmp_path, ["https://other.example.org"])
    try:
        browse(f"http://{SITE}:{site.server_port}/page.html?url={server.websocket_url}&version=5&topic={name}")
        assert site.verdicts.get(timeout=VERDICT_SECONDS)["verdict"] in ("error", "closed")
    finally:
        server.close()
