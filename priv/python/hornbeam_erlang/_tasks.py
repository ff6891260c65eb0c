"""Background tasks: functions that run later, in other workers, and what becomes of them.

    task = spawn("mails:send", "ada@example.org", retries=3)
    task_status(task)            # "pending", "running", "retrying", "done", "failed", "cancelled"

Reference: docs/tasks.md.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from hornbeam_erlang import _requests
from hornbeam_erlang import _task_requests as requests
from hornbeam_erlang._client import acall, backend, call
from hornbeam_erlang._hub import Mailbox
from hornbeam_erlang._pubsub import close_mailbox, subscription
from hornbeam_erlang._task_requests import (
    Duration,
    Function,
    TaskEvent,
    TaskInfo,
    TaskOptions,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "await_task", "cancel_task", "list_tasks", "retry_task", "spawn",
    "task_arguments", "task_events", "task_info",
    "task_progress", "task_result", "task_status",
]  # fmt: skip

# Messages can be lost; so often the task itself is looked at.
_LOOK: Final = 15.0


def spawn(
    function: Function,
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    **options: Unpack[TaskOptions],
) -> str:
    """Has a function run in the background and returns the task's id.

    function  "module:function", or the function itself where it can be imported by its name
    retries   how often it is run again after a failure
    backoff   seconds before the first retry, twice as many before each further one; or a list
    timeout   seconds that an attempt may take
    unique    a key: while a task with it waits, runs or is done and remembered, that is returned
    delay     seconds until it may run
    priority  from -100 to 100; of those that wait the highest is next
    durable   it is on disk before this returns, and is run though everything is killed meanwhile;
              in a cluster on the disks of a majority, and any node may run it

    TaskRefusedError when too many wait or the disk cannot take it, ValueError for what cannot be
    found by its name or for a durable task without the option data_dir or a cluster, TypeError for
    what cannot travel; in a cluster NoQuorumError (it was not taken) and InDoubtError.
    """
    return requests.spawned(call(*requests.spawn(function, args, kwargs, options)))


def task_status(task: str) -> str:
    """Its state: pending, running, retrying, done, failed or cancelled; TaskNotFoundError."""
    return task_info(task)["state"]


def task_info(task: str) -> TaskInfo:
    """All there is to know of it; TaskNotFoundError when it is forgotten."""
    return requests.info(call(*requests.of_id("task_info", task)), task)


def task_result(task: str) -> Any:
    """What it returned. TaskFailedError, with the traceback, TaskCancelledError,
    TaskNotFinishedError, TaskNotFoundError."""
    return requests.result(call(*requests.of_id("task_result", task)), task)


def task_arguments(task: str) -> tuple[list[Any], dict[str, Any]]:
    """What its function is called with: arguments, and keyword arguments by their names."""
    return requests.arguments(call(*requests.of_id("task_body", task)), task)


def await_task(task: str, timeout: Duration | None = None) -> Any:
    """Waits until it is over, then as `task_result`; TimeoutError after `timeout` seconds."""
    return requests.result(call(*requests.wait(task, timeout)), task)


def cancel_task(task: str) -> bool:
    """Ends it; whether it was not over yet. A coroutine that runs is cancelled, a plain function
    runs to its end, and what it returns is dropped."""
    return requests.found(call(*requests.of_id("task_cancel", task)), task)


def retry_task(task: str) -> bool:
    """Runs one that has failed or was cancelled once more; whether it was such a one."""
    return requests.found(call(*requests.of_id("task_retry", task)), task)


def list_tasks(
    state: str | None = None, queue: str | None = None, limit: int = 100
) -> list[TaskInfo]:
    """The tasks of this server, the newest first. Walks the whole table."""
    return requests.infos(call(*requests.listing(state, queue, limit)))


def task_progress(value: Any) -> None:
    """In a task: says how far it is, to whoever looks (`task_info`) or follows (`task_events`)."""
    call(*requests.progress(value))


def task_events(task: str) -> Iterator[TaskEvent]:
    """Its state now, and each change and progress until it is over. Blocks; in the event loop
    `aio.task_events` does not."""
    mailbox = Mailbox()
    topic = f"task:{task}"
    backend().hub.join(mailbox, topic)
    try:
        call(*_requests.subscribe(topic))
        event = requests.event(task_info(task))
        yield event
        while event["state"] not in requests.FINAL:
            deadline = time.monotonic() + _LOOK
            while (message := mailbox.take()) is None and time.monotonic() < deadline:
                backend().wait(mailbox, deadline - time.monotonic())
            event = requests.event(task_info(task) if message is None else message[1])
            yield event
    finally:
        close_mailbox(mailbox)


async def atask_events(task: str) -> AsyncIterator[TaskEvent]:
    """As `task_events`, without blocking the loop."""
    async with subscription(f"task:{task}") as messages:
        event = await _aevent(task)
        yield event
        while event["state"] not in requests.FINAL:
            message = await messages.receive(_LOOK)
            event = await _aevent(task) if message is None else requests.event(message[1])
            yield event


async def _aevent(task: str) -> TaskEvent:
    return requests.event(requests.info(await acall(*requests.of_id("task_info", task)), task))
