"""The same task for Dramatiq; the broker's address is in the environment."""

from __future__ import annotations

import os

import dramatiq
import tasks_function  # type: ignore[import-not-found]  # of this folder
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=os.environ["REDIS_URL"])  # type: ignore[no-untyped-call]
dramatiq.set_broker(broker)

note = dramatiq.actor(actor_name="note")(tasks_function.note)
