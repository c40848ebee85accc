"""The application of test_amqp_celery.py: run by real workers as `celery -A celery_app worker`."""

import os
import time

from celery import Celery
from kombu import Exchange, Queue

app = Celery("interop", broker=os.environ["CELERY_BROKER"], backend=os.environ["CELERY_BACKEND"])
app.conf.update(
    task_queues=[Queue("celery"), Queue("ranked", Exchange("ranked"), "ranked", queue_arguments={"x-max-priority": 9})],
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    result_expires=60,
    broker_transport_options={"confirm_publish": True},
)


@app.task(shared=False)
def add(one, other):
    return one + other


@app.task(shared=False)
def total(numbers):
    return sum(numbers)


@app.task(shared=False, bind=True, max_retries=5)
def fails_twice(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.05)
    return self.request.retries


@app.task(shared=False)
def breaks():
    raise ValueError("on purpose")


@app.task(shared=False)
def when():
    return time.time()


@app.task(shared=False, bind=True)
def rank(self):
    """What it was sent with, and when it came to be run."""
    return self.request.delivery_info["priority"], time.monotonic_ns()
