"""What Mosquitto 2.0 does not do, so that `--server mosquitto` checks our tests and not that broker.

Test (with or without its parameters) -> reason. Each is expected to fail; one that passes after all is reported.
"""

LIMITS = {
}
