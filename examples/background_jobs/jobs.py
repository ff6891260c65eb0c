"""What runs in the background: plain functions and coroutines, as they are."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3

from hornbeam_erlang import current_task, scheduled, task_progress
from hornbeam_erlang.aio import task_progress as say

logger = logging.getLogger("jobs")

LEDGER = os.environ.get("LEDGER", "/tmp/background-jobs.db")


def count_primes(limit: int) -> int:
    """Computes in a thread of a worker for tasks, and says how far it is."""
    found = 0
    step = max(1, limit // 50)
    for number in range(2, limit):
        if number % step == 0:
            task_progress({"done": number, "of": limit})
        found += all(number % other for other in range(2, int(number**0.5) + 1))
    return found


async def fetch_reports(names: list[str]) -> list[str]:
    """Waits for others, in the loop, where a thousand of them take one process."""
    reports = []
    for number, name in enumerate(names, 1):
        await asyncio.sleep(0.05)
        reports.append(f"report of {name}")
        await say({"done": number, "of": len(names)})
    return reports


def charge(order: str, cents: int) -> str:
    """Must be done, and once. After a power cut it may run again, so what it does and that it was
    done are one transaction, by the task's key."""
    task = current_task()
    key = task.unique if task and task.unique else order
    with contextlib.closing(sqlite3.connect(LEDGER)) as ledger, ledger:
        ledger.execute("CREATE TABLE IF NOT EXISTS charges (key TEXT PRIMARY KEY, cents INTEGER)")
        done = ledger.execute("INSERT OR IGNORE INTO charges VALUES (?, ?)", (key, cents))
        if done.rowcount == 0:
            return f"{order} was charged before"
    return f"{order} is charged {cents / 100:.2f}"


@scheduled(every="1m", jitter="5s")
def clean() -> None:
    """Once a minute, whichever workers and nodes there are."""
    logger.info("cleaned")
