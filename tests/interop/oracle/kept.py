"""What differs from RabbitMQ on purpose: scenario -> (reason, RabbitMQ's line, ours or None where it says nothing)."""

KEPT = {}
