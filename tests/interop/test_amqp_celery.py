"""Celery with real workers: results by rpc, retries, delays, groups, chords, revocation, priorities, a worker that dies."""

import importlib
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

pytestmark = [pytest.mark.skipif("config.getoption('--server') != 'motet'", reason="Mosquitto speaks no AMQP"),
              pytest.mark.timeout(90)]
HERE = Path(__file__).parent
WAIT = 30


class Site:
    """The application as its clients see it, and its workers."""

    def __init__(self, server, directory, backend):
        self.directory, self.workers = directory, []
        self.settings = {"CELERY_BROKER": "amqp://guest:guest@%s:%d//" % server.amqp, "CELERY_BACKEND": backend}
        os.environ.update(self.settings)
        sys.modules.pop("celery_app", None)
        self.tasks = importlib.import_module("celery_app")
        self.app = self.tasks.app
        self.app.set_current()

    def start_worker(self, queues="celery"):
        log = open(self.directory / f"worker-{len(self.workers)}", "wb")
        command = [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "--loglevel=INFO", "--pool=prefork", "-c", "1",
                   "-Q", queues, "-n", f"worker{len(self.workers)}@interop"]
        with log:
            worker = subprocess.Popen(command, cwd=HERE, env={**os.environ, **self.settings}, stdout=log,
                                      stderr=subprocess.STDOUT, start_new_session=True)
        self.workers.append(worker)
        return worker

    def log(self):
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in sorted(self.directory.glob("worker-*")))

    def ready(self):
        """Waits until a worker answers: by broadcast and reply queue."""
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            if self.app.control.ping(timeout=0.5, limit=1):
                return self
        raise AssertionError(self.log())

    def close(self):
        for worker in self.workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait(10)
        self.app.close()


@pytest.fixture(scope="module")
def site(kind, tmp_path_factory):
    """One server, one worker, results by rpc."""
    server = kind(tmp_path_factory.mktemp("celery")).start()
    opened = Site(server, tmp_path_factory.mktemp("workers"), "rpc://")
    opened.start_worker()
    try:
        yield opened.ready()
    finally:
        opened.close()
        server.close()


def test_results_come_back(site):
    assert site.tasks.add.delay(2, 3).get(timeout=WAIT) == 5
    with pytest.raises(ValueError, match="on purpose"):
        site.tasks.breaks.delay().get(timeout=WAIT)


def test_a_task_is_retried(site):
    assert site.tasks.fails_twice.delay().get(timeout=WAIT) == 2


def test_a_countdown_and_an_eta_are_kept(site):
    begun = time.time()
    assert site.tasks.when.apply_async(countdown=0.5).get(timeout=WAIT) >= begun + 0.5


def test_groups_and_chains(site):
    from celery import chain, group

    found = group(site.tasks.add.s(number, number) for number in range(8)).apply_async()
    assert found.get(timeout=WAIT) == [2 * number for number in range(8)]
    assert chain(site.tasks.add.s(1, 2), site.tasks.add.s(10))().get(timeout=WAIT) == 13


def test_a_revoked_task_is_not_run(site):
    from celery.exceptions import TaskRevokedError

    waiting = site.tasks.add.apply_async((1, 1), countdown=3)
    waiting.revoke()
    with pytest.raises(TaskRevokedError):
        waiting.get(timeout=WAIT)
    name = str(uuid.uuid4())
    assert site.app.control.revoke(name, reply=True, timeout=WAIT, limit=1), site.log()
    with pytest.raises(TaskRevokedError):
        site.tasks.add.apply_async((1, 1), task_id=name).get(timeout=WAIT)


def test_priorities_decide_what_comes_first(site):
    sent = [1, 9, 5, 0, 7]
    results = [site.tasks.rank.apply_async(queue="ranked", priority=priority) for priority in sent]
    site.app.control.add_consumer("ranked", reply=True, timeout=WAIT, limit=1)  # only now: they wait in their order
    ranked = sorted((result.get(timeout=WAIT) for result in results), key=lambda pair: pair[1])
    assert [priority for priority, _ in ranked] == sorted(sent, reverse=True)


def test_a_chord_and_a_worker_that_dies(kind, tmp_path):
    """Results in files: a chord counts them. A worker that is killed loses no task."""
    from celery import chord

    server = kind(tmp_path / "server").start()
    (tmp_path / "workers").mkdir()
    (tmp_path / "results").mkdir()
    site = Site(server, tmp_path / "workers", f"file://{tmp_path}/results")
    try:
        results = [site.tasks.add.delay(number, 1) for number in range(20)]
        first = site.start_worker()
        site.ready()
        os.killpg(first.pid, signal.SIGKILL)
        site.start_worker()
        site.ready()
        assert [result.get(timeout=WAIT) for result in results] == [number + 1 for number in range(20)]
        found = chord((site.tasks.add.s(number, number) for number in range(5)), site.tasks.total.s())()
        assert found.get(timeout=WAIT) == 20
    finally:
        site.close()
        server.close()
