#!/usr/bin/env python3
"""Stands in for the `mosquitto` binary: translates its configuration into Motet's, and becomes Motet.

Takes `-p PORT` or `-c FILE`, as the scripts of Mosquitto's own tests do. What has no translation ends the start with a
word about it, so that a script that needs it fails for that reason and for no other.
"""

import json
import os
import shutil
import sys
from pathlib import Path

# Settings of Mosquitto that ask for what Motet does anyway, or that the scripts do not depend on.
IGNORED = {"persistence", "log_type", "log_dest", "sys_interval", "persistence_file", "autosave_interval", "allow_zero_length_clientid",
           "per_listener_settings", "allow_duplicate_messages", "connection_messages", "max_inflight_messages",
           "max_inflight_bytes", "upgrade_outgoing_qos", "check_retain_source"}
# Tables of Motet's configuration and the settings that go there, translated by their value.
SCALARS = {
    "max_keepalive": ("mqtt.keep_alive_max", lambda value: json.dumps(value + "s")),
    "retain_available": ("mqtt.retain_available", str),
    "maximum_qos": ("mqtt.qos_max", str),
    "max_packet_size": ("limits.packet_bytes_max", lambda value: str(max(int(value), 1024))),
    "max_connections": ("limits.connections", str),
    "max_queued_messages": ("limits.session_queue_messages", lambda value: value if int(value) else "1000000"),
    "allow_anonymous": ("access.anonymous", lambda value: json.dumps("always" if value == "true" else "never")),
}
TLS = {"certfile": "certificate", "keyfile": "key"}


def read(arguments):
    """The settings in their order, and whether there were listeners among them."""
    if "-c" in arguments:
        lines = Path(arguments[arguments.index("-c") + 1]).read_text().splitlines()
        words = [line.split(None, 1) for line in lines]
        return [(word[0], word[1].strip() if len(word) > 1 else "") for word in words if word and word[0][0] != "#"]
    return [("port", arguments[arguments.index("-p") + 1])]


def translate(settings, configured, data_dir):
    # Mosquitto announces 20 and 10, has 200 levels, and lets nobody in unasked as soon as it is configured.
    scalars = {"data_dir": json.dumps(str(data_dir)), "limits.receive_maximum": "20", "limits.topic_alias_maximum": "10",
               "access.anonymous": '"never"' if configured else '"always"',
               "limits.session_expiry_max": '"3650d"', "limits.topic_levels": "201", "limits.drain_timeout": '"1s"'}
    users, listeners = [], []
    for name, value in settings:
        if name in ("port", "listener"):
            listeners.append({"port": value.split()[0], "tls": {}})
        elif name in SCALARS:
            key, how = SCALARS[name]
            scalars[key] = how(value)
        elif name in TLS:
            listeners[-1]["tls"][TLS[name]] = json.dumps(os.path.abspath(value))
        elif name == "cafile":
            listeners[-1]["tls"]["client_ca"] = json.dumps(os.path.abspath(value))
        elif name == "crlfile":
            listeners[-1]["tls"]["client_crl"] = json.dumps([os.path.abspath(value)])
        elif name == "require_certificate" and value == "true":
            listeners[-1]["tls"]["client_certificate"] = '"required"'
        elif name == "use_identity_as_username" and value == "true":
            listeners[-1]["tls"]["client_identity"] = '"%cn"'
        elif name == "password_file":
            users += [line.strip().split(":", 1) for line in Path(value).read_text().splitlines() if ":" in line]
        elif name not in IGNORED:
            sys.exit(f"`{name}` has no translation")
    return scalars, users, listeners


def write(scalars, users, listeners):
    lines = [f"{name} = {value}" for name, value in scalars.items()]
    for user, hashed in users:
        lines.append(f"[[user]]\nname = {json.dumps(user)}\npassword_hash = {json.dumps(hashed)}")
    # Plain ones last: a script takes the port it can reach as a sign that all are there.
    for listener in sorted(listeners, key=lambda listener: not listener["tls"]):
        secure = "certificate" in listener["tls"]
        lines.append(f'[[listener]]\naddress = "127.0.0.1:{listener["port"]}"\nprotocol = "{"mqtts" if secure else "mqtt"}"')
        if secure:
            tls = listener["tls"]
            if "client_certificate" not in tls:  # Mosquitto asks for none then, whatever authority it was given
                tls = {key: value for key, value in tls.items() if not key.startswith("client")}
            lines.append("\n".join(["[listener.tls]", *(f"{key} = {value}" for key, value in tls.items())]))
    return "\n".join(lines) + "\n"


def main():
    settings = read(sys.argv[1:])
    ports = [value.split()[0] for name, value in settings if name in ("port", "listener")]
    # Each script has ports of its own, so this is its alone, over its restarts of the broker too.
    place = Path(os.environ["SUITE_DATA"]) / "-".join(ports)
    # What a script removes between two starts is the file.
    kept = Path(dict(settings).get("persistence_file", "none")) if ("persistence", "true") in settings else None
    if kept is None or not kept.exists():
        shutil.rmtree(place, ignore_errors=True)
    if kept is not None:
        kept.touch()
    place.mkdir(parents=True, exist_ok=True)
    config = place / "motet.toml"
    config.write_text(write(*translate(settings, "-c" in sys.argv, place / "data")))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the scripts read what goes to the other one
    os.execv(os.environ["SUITE_BROKER"], ["motet", "--config", str(config)])


main()
