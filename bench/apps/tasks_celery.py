"""The same task for Celery; the broker's address is in the environment."""

from __future__ import annotations

import os

import tasks_function  # type: ignore[import-not-found]  # of this folder
from celery import Celery

app = Celery("tasks", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.update(
    task_acks_late=os.environ.get("DURABLE") == "1", broker_connection_retry_on_startup=True
)

note = app.task(tasks_function.note, name="note")
