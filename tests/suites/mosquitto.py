#!/usr/bin/env python3
"""Mosquitto's own broker tests, run against Motet. `tests/run suites` calls it; `--help` tells the rest.

The scripts come with Debian's source package, fetched by apt with lists of its own and checked by their sum; nothing of
them is kept in the tree. `broker.py` takes the place of the broker's binary, `meaning.py` compares packets by what they
say. `mosquitto.exceptions` names what is not run, each with its reason.
"""

import argparse
import concurrent.futures
import fnmatch
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
RELEASE, PACKAGE = "bookworm", "mosquitto"
ARCHIVE = "mosquitto_2.0.11.orig.tar.gz"
SUM = "7b36a7198bce85cf31b132f5c6ee36dcf5dadf86fb768501eb1e11ce95d4f78a"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
FETCH_SECONDS, SCRIPT_SECONDS = 120, 45
# The exit code that tells "not run" from "failed".
NOT_FETCHED = 3
# Below the ports that the kernel hands out to clients.
PORTS = iter(range(21000, 32000))


def mirror():
    """The mirror that this machine uses for Debian."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    found = subprocess.run(command, capture_output=True, text=True).stdout.split()
    for uri in found:
        if re.search(r"/debian/?$", uri):
            return uri
    raise RuntimeError("apt has no mirror of Debian")


def fetch(place):
    """The archive with the scripts, by apt; raises when it cannot be had."""
    archive = place / ARCHIVE
    if not archive.is_file():
        lists, cache = place / "apt/lists/partial", place / "apt/cache/archives/partial"
        lists.mkdir(parents=True, exist_ok=True)
        cache.mkdir(parents=True, exist_ok=True)
        signed = f"[signed-by={KEYRING}] " if os.path.exists(KEYRING) else ""
        (place / "apt/sources.list").write_text(f"deb-src {signed}{mirror()} {RELEASE} main\n")
        options = [f"-o=Dir::Etc::sourcelist={place}/apt/sources.list", "-o=Dir::Etc::sourceparts=/dev/null",
                   f"-o=Dir::State::lists={place}/apt/lists", f"-o=Dir::Cache={place}/apt/cache", "-o=APT::Sandbox::User=root",
                   "-o=Acquire::http::Timeout=20", "-o=Acquire::https::Timeout=20", "-o=Acquire::Retries=2", "-qq"]
        for command in (["update"], ["source", "--download-only", PACKAGE]):
            subprocess.run(["apt-get", *options, *command], cwd=place, check=True, timeout=FETCH_SECONDS)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SUM:
        archive.unlink()
        raise RuntimeError(f"{ARCHIVE} is not the one these exceptions were written for")
    return archive


def unpack(archive, place):
    """The tree with our stand-in where its scripts look for the broker; returns the folder of the scripts."""
    shutil.rmtree(place / "tree", ignore_errors=True)
    (place / "tree").mkdir()
    subprocess.run(["tar", "-xzf", archive, "-C", place / "tree"], check=True)
    (top,) = (place / "tree").iterdir()
    stand_in = top / "src/mosquitto"
    shutil.copy(HERE / "broker.py", stand_in)
    stand_in.chmod(0o755)
    with open(top / "test/mosq_test.py", "a") as helpers:
        helpers.write("\nfrom meaning import expect_packet\n")
    return top / "test/broker"


def exceptions():
    """Pattern and reason of each line."""
    lines = (HERE / "mosquitto.exceptions").read_text().splitlines()
    found = []
    for line in lines:
        if line and not line.startswith("#"):
            pattern, _, reason = line.partition(": ")
            if not reason:
                sys.exit(f"mosquitto.exceptions: `{line}` has no reason")
            found.append((pattern, reason))
    return found


def port():
    for number in PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", number))
                return number
            except OSError:
                continue
    raise RuntimeError("no port is free")


def run(folder, name, ports, environment):
    """Runs one script; returns its name, whether it passed, and what it said."""
    command = [sys.executable, name, *map(str, ports)]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", start_new_session=True) as process:
        try:
            said, _ = process.communicate(timeout=SCRIPT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)  # the script and the broker it started
            said = process.communicate()[0] + f"\nnot done within {SCRIPT_SECONDS} s"
    return name, process.returncode == 0, said


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--place", type=Path, required=True, help="folder for what is fetched")
    parser.add_argument("--all", action="store_true", help="run the exceptions too, and tell which are needed no more")
    parser.add_argument("-k", default="*", help="only scripts whose names match")
    arguments = parser.parse_args()
    place = arguments.place.resolve()
    place.mkdir(parents=True, exist_ok=True)
    try:
        folder = unpack(fetch(place), place)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        print(f"mosquitto's tests could not be fetched (is the network there?): {error}", file=sys.stderr)
        sys.exit(NOT_FETCHED)

    listed = re.findall(r"^\s*\((\d), './(.*\.py)'\)", (folder / "test.py").read_text(), re.MULTILINE)
    listed = [(int(count), name) for count, name in listed if (folder / name).is_file()]
    known, wanted = exceptions(), []
    for count, name in listed:
        reason = next((reason for pattern, reason in known if fnmatch.fnmatch(name, pattern)), None)
        if fnmatch.fnmatch(name, arguments.k) and (arguments.all or reason is None):
            wanted.append((name, count, reason))
    unknown = [pattern for pattern, _ in known if not any(fnmatch.fnmatch(name, pattern) for _, name in listed)]
    if unknown:
        sys.exit(f"mosquitto.exceptions: no script is named {', '.join(unknown)}")

    environment = {key: value for key, value in os.environ.items() if not key.startswith("MOTET_")}
    environment |= {"SUITE_BROKER": os.path.abspath(os.environ["MOTET_BIN"]), "SUITE_DATA": str(place / "data"),
                    "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
    failed, ports = [], {name: count for name, count, _ in wanted}
    with concurrent.futures.ThreadPoolExecutor(6) as pool:  # they wait more than they work
        jobs = [pool.submit(run, folder, name, [port() for _ in range(count)], environment) for name, count, _ in wanted]
        for (_, _, reason), job in zip(wanted, jobs):
            name, passed, said = job.result()
            if reason is None and not passed:
                # The scripts count seconds. On a machine with much else to do one may be late; alone it is not.
                name, passed, said = run(folder, name, [port(), port(), port()][:ports[name]], environment)
            if reason is None and not passed:
                failed.append(name)
                print(f"--- {name}\n{said.strip()}")
            elif reason is not None:
                print(f"{name}: {'PASSES NOW' if passed else 'fails'} ({reason})")
    shutil.rmtree(place / "data", ignore_errors=True)
    print(f"mosquitto: {len(wanted) - len(failed)} of {len(wanted)} scripts passed, {len(listed) - len(wanted)} not run")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


main()
