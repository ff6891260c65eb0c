"""One call of a function from Erlang: where it runs, what is sent, how it ends."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from worker_host import WorkerHost

from hornbeam_erlang import _names
from hornbeam_erlang._run import current_task
from hornbeam_worker import frames, values
from hornbeam_worker.invocation import Invocation

NAME = "functions_of_test_invocation"
RETURNED, RAISED = 1, 3
RUN = "hornbeam_erlang._run:run"


class Functions(ModuleType):
    """A module that can be imported."""

    def __init__(self) -> None:
        super().__init__(NAME)
        self.ran: list[int] = []
        self.go = threading.Event()
        self.cancelled = False

    def plain(self, value: int) -> int:
        self.ran.append(threading.get_ident())
        return value + 1

    def waits(self) -> None:
        self.ran.append(threading.get_ident())
        assert self.go.wait(20)

    def exits(self) -> None:
        raise SystemExit(3)


@pytest.fixture
def functions() -> Iterator[Functions]:
    module = Functions()

    async def doubled(value: int) -> int:
        module.ran.append(threading.get_ident())
        await asyncio.sleep(0)
        return value * 2

    async def sleeps() -> None:
        module.ran.append(threading.get_ident())
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            module.cancelled = True
            raise

    async def context() -> Any:
        task = current_task()
        return task and [task.id, task.attempt, task.unique, task.queue]

    module.__dict__.update(doubled=doubled, sleeps=sleeps, context=context)
    module.__dict__["returns_awaitable"] = lambda value: doubled(value)
    sys.modules[NAME] = module
    yield module
    module.go.set()
    del sys.modules[NAME]
    _names._imported.discard(NAME)


def started(host: WorkerHost, function: str, *arguments: Any, target: str = "") -> Invocation:
    payload = values.pack([target or f"{NAME}:{function}", list(arguments), {}])
    made = Invocation(host, 1, payload)
    made.start()
    return made


def task(host: WorkerHost, function: str, *arguments: Any) -> Invocation:
    name = f"{NAME}:{function}"
    body = [name, list(arguments), {}]
    return started(host, "", name, "id", 2, "key", "mails", body, target=RUN)


def with_host(test: Callable[[WorkerHost], Any]) -> Any:
    async def run() -> Any:
        return await test(WorkerHost(asyncio.get_running_loop()))

    return asyncio.run(run())


async def ended(host: WorkerHost, times: int = 1) -> list[tuple[int, Any]]:
    await host.until(lambda: len(host.ended) == times)
    return [(flags, values.unpack(payload)) for flags, payload in host.sent]


def test_a_plain_function_runs_in_a_thread(functions: Functions) -> None:
    async def test(host: WorkerHost) -> None:
        started(host, "plain", 1)
        assert await ended(host) == [(RETURNED, 2)]
        assert functions.ran != [threading.get_ident()]

    with_host(test)


def test_an_async_one_runs_in_the_loop_without_a_thread_once_its_module_is_imported(
    functions: Functions,
) -> None:
    async def test(host: WorkerHost) -> None:
        started(host, "doubled", 2)
        await ended(host)
        host.threads.run = None  # type: ignore[method-assign,assignment]  # none is to be asked
        started(host, "doubled", 4)
        assert await ended(host, 2) == [(RETURNED, 4), (RETURNED, 8)]
        assert functions.ran == [threading.get_ident()] * 2

    with_host(test)


def test_start_runs_nothing_of_the_application(functions: Functions) -> None:
    async def test(host: WorkerHost) -> None:
        _names.find(f"{NAME}:doubled")
        started(host, "doubled", 2)
        task(host, "doubled", 2)
        assert not functions.ran
        await ended(host, 2)

    with_host(test)


def test_what_a_plain_function_returns_to_await_is_awaited_in_the_loop(
    functions: Functions,
) -> None:
    async def test(host: WorkerHost) -> None:
        started(host, "returns_awaitable", 5)
        assert await ended(host) == [(RETURNED, 10)]
        assert functions.ran == [threading.get_ident()]

    with_host(test)


@pytest.mark.parametrize("imported", [False, True])
def test_a_coroutine_that_is_given_up_is_cancelled(functions: Functions, imported: bool) -> None:
    async def test(host: WorkerHost) -> None:
        if imported:
            _names.find(f"{NAME}:sleeps")
        invocation = started(host, "sleeps")
        await host.until(lambda: functions.ran)
        invocation.on_frame(frames.DISCONNECT, b"\0")
        invocation.on_frame(frames.DISCONNECT, b"\0")
        ((flags, error),) = await ended(host)
        assert flags == RAISED
        assert error[0].endswith("CancelledError")
        assert functions.cancelled

    with_host(test)


def test_a_plain_function_that_is_given_up_ends_for_erlang_at_once(functions: Functions) -> None:
    async def test(host: WorkerHost) -> None:
        invocation = started(host, "waits")
        await host.until(lambda: functions.ran)
        invocation.on_frame(frames.DISCONNECT, b"\0")
        invocation.on_frame(frames.DISCONNECT, b"\0")
        assert host.ended == [1]
        assert [flags for flags, _ in host.sent] == [RAISED]
        functions.go.set()
        other = threading.Event()
        host.threads.run(other.set)
        await host.until(other.is_set)
        await asyncio.sleep(0)
        assert host.ended == [1]

    with_host(test)


@pytest.mark.parametrize(
    ("function", "arguments", "kind"),
    [
        ("nothing", (), "AttributeError"),
        ("exits", (), "SystemExit"),
        ("plain", (1, 2), "TypeError"),
        ("doubled", (1, 2), "TypeError"),
    ],
)
@pytest.mark.parametrize("imported", [False, True])
@pytest.mark.parametrize("call", [started, task])
def test_every_failure_is_told_once(
    functions: Functions,
    call: Callable[..., Invocation],
    imported: bool,
    function: str,
    arguments: tuple[int, ...],
    kind: str,
) -> None:
    async def test(host: WorkerHost) -> None:
        if imported:
            _names.find(f"{NAME}:plain")
        call(host, function, *arguments)
        ((flags, error),) = await ended(host)
        assert (flags, error[0]) == (RAISED, kind)

    with_host(test)


def test_a_name_that_is_none_is_told(functions: Functions) -> None:
    async def test(host: WorkerHost) -> None:
        started(host, "", target="no_colon")
        ((flags, error),) = await ended(host)
        assert (flags, error[0]) == (RAISED, "ValueError")

    with_host(test)


def test_a_task_knows_itself_wherever_it_runs(functions: Functions) -> None:
    async def test(host: WorkerHost) -> None:
        task(host, "context")
        await ended(host)
        task(host, "context")
        assert await ended(host, 2) == [(RETURNED, ["id", 2, "key", "mails"])] * 2
        assert current_task() is None

    with_host(test)


@pytest.mark.parametrize("size", [65_000, 70_000])
def test_a_call_of_any_size_is_made(functions: Functions, size: int) -> None:
    async def test(host: WorkerHost) -> None:
        functions.__dict__["length"] = len
        started(host, "length", "x" * size)
        assert await ended(host) == [(RETURNED, size)]

    with_host(test)
