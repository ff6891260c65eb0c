"""The stand-in's tasks: each runs at once, in the call of `spawn`, with all its retries and without
waiting for anything (delay, backoff, timeout)."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import threading
import time
import traceback
from typing import Any

from hornbeam_erlang import _run
from hornbeam_erlang._backend import ABSENT
from hornbeam_erlang._hub import Hub

__all__ = ["Tasks"]


class Tasks:
    """The operations of tasks; `schedules` are those that were declared, by their names."""

    hub: Hub

    def __init__(self) -> None:
        self.schedules: dict[str, dict[str, Any]] = {}
        self._tasks: dict[str, dict[str, Any]] = {}
        self._results: dict[str, Any] = {}
        self._bodies: dict[str, bytes] = {}
        self._numbers = itertools.count(1)

    def _on_task_spawn(self, function: str, body: bytes, options: dict[str, Any]) -> list[Any]:
        unique = options.get("unique")
        for task in self._tasks.values():
            if unique is not None and task["unique"] == unique and task["state"] == "done":
                return [True, task["id"]]
        number, now = f"{next(self._numbers):030x}", time.time()
        self._bodies[number] = body
        self._tasks[number] = {
            "id": number, "function": function, "queue": options.get("queue", "default"),
            "state": "pending", "priority": options.get("priority", 0), "unique": unique,
            "attempts": 0, "retries": options.get("retries", 0), "created": now,
            "durable": options.get("durable", False),
            "due": now, "started": None, "finished": None, "progress": None, "error": None,
        }  # fmt: skip
        self._run(number)
        return [True, number]

    def _run(self, number: str) -> None:
        thread = threading.Thread(target=self._attempts, args=(number,), daemon=True)
        thread.start()
        thread.join()

    def _attempts(self, number: str) -> None:
        task = self._tasks[number]
        while task["state"] not in ("done", "failed"):
            task |= {"state": "running", "attempts": task["attempts"] + 1, "started": time.time()}
            try:
                self._results[number] = self._attempt(task)
            except Exception as error:
                text = "".join(traceback.format_exception(error))
                task["error"] = [_name(type(error)), str(error), text]
                again = task["attempts"] <= task["retries"]
                task["state"] = "retrying" if again else "failed"
            else:
                task |= {"state": "done", "error": None}
        task["finished"] = time.time()

    def _attempt(self, task: dict[str, Any]) -> Any:
        number: str = task["id"]
        known = (number, task["attempts"], task["unique"], task["queue"])
        value = _run.run(task["function"], *known, self._on_task_body(number))
        return asyncio.run(_await(value)) if inspect.isawaitable(value) else value

    def _on_task_info(self, number: str) -> Any:
        return self._tasks.get(number, ABSENT)

    def _on_task_result(self, number: str) -> Any:
        task = self._tasks.get(number)
        if task is None:
            return ABSENT
        state = task["state"]
        return [state, self._results.get(number) if state == "done" else task["error"]]

    def _on_task_body(self, number: str) -> Any:
        from hornbeam_worker import values

        return values.unpack(self._bodies[number]) if number in self._bodies else ABSENT

    def _on_task_await(self, number: str, _timeout: int) -> Any:
        return self._on_task_result(number)

    def _on_task_cancel(self, number: str) -> Any:
        return False if number in self._tasks else ABSENT

    def _on_task_retry(self, number: str) -> Any:
        task = self._tasks.get(number)
        if task is None:
            return ABSENT
        if task["state"] != "failed":
            return False
        task |= {"state": "pending", "attempts": 0, "error": None}
        self._run(number)
        return True

    def _on_task_list(self, state: str | None, queue: str | None, limit: int) -> Any:
        chosen = [
            task
            for task in reversed(self._tasks.values())
            if state in (None, task["state"]) and queue in (None, task["queue"])
        ]
        return chosen[:limit]

    def _on_task_progress(self, number: str, value: Any) -> bool:
        self._tasks[number]["progress"] = value
        return True

    def _on_schedule_declare(
        self, name: str, function: str, _body: bytes, options: dict[str, Any]
    ) -> None:
        self.schedules[name] = {"function": function, **options}


def _name(kind: type) -> str:
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


async def _await(value: Any) -> Any:
    return await value
