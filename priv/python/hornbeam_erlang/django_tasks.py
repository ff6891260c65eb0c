"""A back end for Django's tasks: `django.tasks` of Django 6, or the package django-tasks before.

    TASKS = {"default": {"BACKEND": "hornbeam_erlang.django_tasks.HornbeamBackend"}}

What `OPTIONS` holds is given to `spawn`: durable, retries, backoff, timeout. Reference:
docs/tasks.md.
"""

from __future__ import annotations

import inspect
from datetime import datetime, timezone
from typing import Any

from hornbeam_erlang import _tasks as tasks
from hornbeam_erlang._errors import TaskNotFoundError
from hornbeam_erlang._names import find
from hornbeam_erlang._run import current_task
from hornbeam_erlang._task_requests import TaskInfo

try:
    from django import tasks as api  # type: ignore[attr-defined, unused-ignore]
    from django.tasks import base, exceptions, signals
    from django.tasks.backends.base import BaseTaskBackend
except ImportError:
    import django_tasks as api
    from django_tasks import base, exceptions, signals
    from django_tasks.backends.base import BaseTaskBackend

__all__ = ["HornbeamBackend"]

_RUN = "hornbeam_erlang.django_tasks:run"
_OPTIONS = frozenset(["durable", "retries", "backoff", "timeout"])
_STATES = {
    "pending": "READY",
    "retrying": "READY",
    "running": "RUNNING",
    "done": "SUCCESSFUL",
    "failed": "FAILED",
    "cancelled": "FAILED",
}


class HornbeamBackend(BaseTaskBackend):  # type: ignore[misc]
    """Tasks of Django's run where Hornbeam's do, and their results are kept as long."""

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        if unknown := set(self.options) - _OPTIONS:
            raise exceptions.InvalidTaskBackendError(f"no options: {', '.join(sorted(unknown))}")

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Spawns it; whoever listens to task_enqueued is told."""
        self.validate_task(task)
        delay = 0.0
        if task.run_after is not None:
            delay = max(0.0, task.run_after.timestamp() - datetime.now(timezone.utc).timestamp())
        given = [self.alias, task.module_path, list(args), dict(kwargs)]
        number = tasks.spawn(
            _RUN, *given, delay=delay, priority=task.priority, queue=task.queue_name, **self.options
        )
        # As it was enqueued, though it may be over by now.
        info = tasks.task_info(number)
        info |= {
            "state": "pending",
            "started": None,
            "finished": None,
            "attempts": 0,
            "error": None,
        }
        result = self._result(info, task, list(args), dict(kwargs))
        signals.task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """TaskResultDoesNotExist for one that is not there, or is forgotten."""
        try:
            info = tasks.task_info(result_id)
            (alias, path, args, kwargs), _ = tasks.task_arguments(result_id)
        except (TaskNotFoundError, ValueError):
            raise exceptions.TaskResultDoesNotExist(result_id) from None
        if alias != self.alias or info["function"] != _RUN:
            raise exceptions.TaskResultDoesNotExist(result_id)
        result = self._result(info, _task(path), args, kwargs)
        if info["state"] == "done":
            object.__setattr__(result, "_return_value", tasks.task_result(result_id))
        return result

    def _result(self, info: TaskInfo, task: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        started = _time(info["started"])
        return base.TaskResult(
            task=task,
            id=info["id"],
            status=base.TaskResultStatus[_STATES[info["state"]]],
            enqueued_at=_time(info["created"]),
            started_at=started,
            last_attempted_at=started,
            finished_at=_time(info["finished"]),
            args=args,
            kwargs=kwargs,
            backend=self.alias,
            errors=_errors(info),
            worker_ids=["hornbeam"] * info["attempts"],
        )


def _errors(info: TaskInfo) -> list[Any]:
    if info["error"] is None:
        return []
    name, _text, traceback = info["error"]
    path = name if "." in name else f"builtins.{name}"
    return [base.TaskError(exception_class_path=path, traceback=traceback)]


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)


def _task(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return find(f"{module}:{name}")


def run(alias: str, path: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Calls a task's function, in a worker. Connections of a thread's are closed when they are of
    no use any more, as after a request."""
    from django.db import close_old_connections

    task = _task(path)
    if task.takes_context:
        context = current_task()
        assert context is not None
        args = [
            base.TaskContext(task_result=api.task_backends[alias].get_result(context.id)),
            *args,
        ]
    if inspect.iscoroutinefunction(task.func):
        return task.func(*args, **kwargs)
    close_old_connections()
    try:
        return task.func(*args, **kwargs)
    finally:
        close_old_connections()
