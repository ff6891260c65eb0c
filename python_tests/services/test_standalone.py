"""`hornbeam_erlang` outside a worker: the stand-in, the fixture, the error without either."""

from __future__ import annotations

import ast
import asyncio
import functools
import importlib
import inspect
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from harness import ROOT, wait_until

import hornbeam_erlang as erlang
from hornbeam_erlang import _cron, aio
from hornbeam_erlang._operations import OPERATIONS
from hornbeam_erlang.testing import Standalone, standalone

pytest_plugins = ["hornbeam_erlang.pytest_plugin"]

# The same in both modules; not to be awaited.
SAME = {"subscription", "service", "hooks", "stream", "lock", "semaphore", "leader"}
SHORT = ("get", "set", "delete", "incr", "decr", "hook", "unhook", "stream_async")
AWAITABLE = {
    name
    for name in erlang.__all__
    if inspect.isfunction(getattr(erlang, name))
    and name not in (*SAME, *SHORT)
    and name not in ("batched", "cached", "current_task", "scheduled", "task_events")
    and name not in ("trace_ids", "traceparent")
}


def run(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "priv" / "python"), **env}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )


def test_all_is_what_can_be_imported() -> None:
    """And what a type checker is told: it reads imports that are not carried out."""
    tree = ast.parse(Path(erlang.__file__).read_text())
    (told,) = [node.body for node in tree.body if isinstance(node, ast.If)]
    imports = [node.names for node in told if isinstance(node, ast.ImportFrom)]
    short = [node.targets for node in told if isinstance(node, ast.Assign)]
    public = {alias.name for names in imports for alias in names}
    public |= {ast.unparse(name) for names in short for name in names}
    assert set(erlang.__all__) == public
    assert public <= set(dir(erlang))
    assert erlang.__all__ == sorted(erlang.__all__, key=lambda name: (not name[0].isupper(), name))
    for name in [*erlang.__all__, *aio.__all__]:
        assert getattr(erlang if name in erlang.__all__ else aio, name).__doc__
    assert Path(erlang.__file__).with_name("py.typed").exists()


def test_only_what_is_asked_for_is_imported() -> None:
    code = "import sys, hornbeam_erlang as e; e.{}; print(sum('_erlang' in m for m in sys.modules))"
    assert run(code.format("__all__")).stdout == "1\n"
    assert int(run(code.format("aio")).stdout) > 10
    done = run(code.format("nope"))
    assert "AttributeError: module 'hornbeam_erlang' has no attribute 'nope'" in done.stderr


def test_every_function_has_an_awaitable_twin_with_the_same_arguments() -> None:
    assert set(aio.__all__) == AWAITABLE | SAME | {"task_events", "cluster_state"}
    assert all(getattr(aio, name) is getattr(erlang, name) for name in SAME)
    for name in AWAITABLE:
        twin = inspect.signature(getattr(aio, name))
        original = inspect.signature(getattr(erlang, name))
        if name == "subscribe":  # also to be entered
            assert twin.parameters == original.parameters
        else:
            assert inspect.iscoroutinefunction(getattr(aio, name))
            assert twin == original


def test_the_operations_are_those_of_the_vectors() -> None:
    vectors = json.loads((ROOT / "test" / "wire_vectors.json").read_text())
    assert vectors["operations"] == OPERATIONS


def test_outside_a_worker_an_error_says_what_to_do() -> None:
    done = run("import hornbeam_erlang; hornbeam_erlang.state_get(1)")
    assert "RuntimeError" in done.stderr
    assert "HORNBEAM_STANDALONE=1" in done.stderr and "testing.standalone()" in done.stderr


def test_the_variable_gives_a_stand_in() -> None:
    code = "from hornbeam_erlang import state_incr as i; i('n'); print(i('n'))"
    assert run(code, HORNBEAM_STANDALONE="1").stdout == "2\n"


def test_a_forked_child_of_a_worker_does_not_speak_on_its_pipe() -> None:
    with standalone():
        erlang.state_set("n", 1)
        with ThreadPoolExecutor(1):
            pid = os.fork()
            if pid == 0:
                try:
                    erlang.state_get("n")
                except RuntimeError:
                    os._exit(7)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_the_state(hornbeam_standalone: Standalone) -> None:
    assert erlang.state_get("k", 1) == 1
    erlang.state_set("k", {"a": (1, b"b")})
    erlang.state_get("k")["a"] = "changed"
    assert erlang.state_get("k") == {"a": (1, b"b")}
    assert erlang.state_incr("n", 2) == 2
    assert erlang.state_decr("n") == 1
    assert erlang.state_add("n", 1) is False
    assert erlang.state_cas("n", 1.0, 2) is False
    assert erlang.state_cas("n", 1, 2) is True
    assert erlang.state_get_multi(["n", "x"]) == {"n": 2, "x": None}
    assert erlang.state_keys("k") == ["k"]
    assert erlang.state_items("n") == [("n", 2)]
    assert erlang.state_pop("n") == 2
    assert erlang.state_delete("n") is False
    erlang.state_set("t", 1, ttl=0.01)
    wait_until(lambda: erlang.state_get("t") is None, 5, "it has expired")
    hornbeam_standalone.clear()
    assert erlang.state_keys() == []


def test_each_stand_in_is_empty(hornbeam_standalone: Standalone) -> None:
    erlang.state_set("k", 1)
    with standalone():
        assert erlang.state_get("k") is None
    assert erlang.state_get("k") == 1


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("k", {"x": [{1}]}, "value['x'][0]: a set"),
        ({"x": bytearray()}, 1, "key['x']: a bytearray"),
        ("k", "\ud800", "value: a str with lone surrogates"),
    ],
)
def test_the_same_errors(hornbeam_standalone: Standalone, key: Any, value: Any, text: str) -> None:
    with pytest.raises(TypeError) as error:
        erlang.state_set(key, value)
    assert str(error.value).startswith(text)
    assert erlang.state_keys() == []
    with pytest.raises(TypeError, match="not a number"):
        erlang.state_set("text", "x")
        erlang.state_incr("text")
    with pytest.raises(ValueError, match="out of the range"):
        erlang.state_set("range", 1e308)
        erlang.state_incr("range", 1e308)


def test_functions(hornbeam_standalone: Standalone) -> None:
    hornbeam_standalone.register_function("add", lambda a, b: a + b)
    assert erlang.call("add", 1, 2) == 3
    with pytest.raises(erlang.NotRegisteredError):
        erlang.call("nothing")
    with pytest.raises(erlang.ErlangError, match="unsupported operand"):
        erlang.call("add", 1, "2")
    hornbeam_standalone.register_function("wait", threading.Event().wait)
    with pytest.raises(TimeoutError):
        erlang.call("wait", timeout_ms=20)
    hornbeam_standalone.register_function("note", lambda value: erlang.state_set("note", value))
    erlang.cast("note", 5)
    wait_until(lambda: erlang.state_get("note") == 5, 5, "the cast has run")
    hornbeam_standalone.unregister_function("add")
    with pytest.raises(erlang.NotRegisteredError):
        erlang.cast("add")


def test_other_nodes(hornbeam_standalone: Standalone) -> None:
    assert (erlang.node(), erlang.nodes()) == ("nonode@nohost", [])
    with pytest.raises(PermissionError):
        erlang.rpc_call("nonode@nohost", "lists", "reverse", [[1]])
    hornbeam_standalone.remote["lists", "reverse"] = lambda items: items[::-1]
    assert erlang.rpc_call("nonode@nohost", "lists", "reverse", [[1, 2]]) == [2, 1]
    erlang.rpc_cast("nonode@nohost", "lists", "reverse", [[1]])
    with pytest.raises(ConnectionError):
        erlang.rpc_call("b@host", "lists", "reverse", [[1, 2]])
    assert (erlang.ping("nonode@nohost"), erlang.ping("b@host")) == (True, False)
    with pytest.raises(PermissionError):
        erlang.connect("b@host")


def test_publish_and_subscribe(hornbeam_standalone: Standalone) -> None:
    async def main() -> list[Any]:
        async with erlang.subscription("a", "b:*", queue_size=2) as messages:
            for number in range(3):
                assert await aio.publish("b:1", number) == 1
            assert await aio.publish("c", 1) == 0
            got = [await anext(messages), await anext(messages)]
            return [got, messages.dropped, await messages.receive(0.01)]

    assert asyncio.run(main()) == [[("b:1", 1), ("b:1", 2)], 1, None]
    assert erlang.publish("b:1", 1) == 0
    erlang.subscribe("p")
    assert erlang.publish("p", (1,)) == 1
    assert erlang.receive_pubsub(5) == ("p", (1,))
    assert erlang.receive_pubsub(0.01) is None
    assert erlang.unsubscribe("p") is True
    assert erlang.unsubscribe("p") is False


def test_to_subscribe_is_a_block_too(hornbeam_standalone: Standalone) -> None:
    async def main() -> Any:
        async with aio.subscribe("room:*") as messages:
            for number in range(3):
                await aio.publish("room:1", number)
            got = []
            async for topic, message in messages:
                got.append((topic, message))
                if message == 2:
                    break
            return got

    assert asyncio.run(main()) == [("room:1", 0), ("room:1", 1), ("room:1", 2)]
    assert erlang.publish("room:1", 1) == 0
    with pytest.warns(RuntimeWarning, match="never awaited or entered"):
        aio.subscribe("t")


def test_a_thread_wakes_a_coroutine(hornbeam_standalone: Standalone) -> None:
    async def main() -> Any:
        async with erlang.subscription("t") as messages:
            threading.Timer(0.01, erlang.publish, ("t", 1)).start()
            return await messages.receive(10)

    assert asyncio.run(main()) == ("t", 1)


def test_the_twins_work_too(hornbeam_standalone: Standalone) -> None:
    hornbeam_standalone.register_function("add", lambda a, b: a + b)

    async def main() -> list[Any]:
        sums = await asyncio.gather(*(aio.state_incr("n") for _ in range(10)))
        await aio.subscribe("t")
        await aio.publish("t", 1)
        return [sums, await aio.call("add", 1, 2), await aio.receive_pubsub(5)]

    assert asyncio.run(main()) == [list(range(1, 11)), 3, ("t", 1)]


def test_errors_can_be_pickled() -> None:
    pickle = importlib.import_module("pickle")
    error = pickle.loads(pickle.dumps(erlang.ErlangError("throw", [1], "[1]", "stack")))
    assert (error.error_class, error.reason, error.stack) == ("throw", [1], "stack")


class Counter:
    """A hook: what a class and its methods are."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, number: int, *, times: int = 1) -> int:
        self.count += number * times
        return self.count

    async def later(self, value: Any) -> Any:
        await asyncio.sleep(0)
        return value

    def fail(self) -> None:
        raise KeyError("no")

    def wait(self, event: str) -> None:
        wait_until(lambda: erlang.state_get(event), 10, "the test goes on")

    def numbers(self, limit: int) -> Iterator[int]:
        try:
            for number in range(limit):
                erlang.state_set("made", number)
                yield number
        finally:
            erlang.state_set("closed", True)

    async def anumbers(self, limit: int) -> AsyncIterator[int]:
        for number in range(limit):
            yield number


def test_hooks(hornbeam_standalone: Standalone) -> None:
    erlang.register_hook("counter", Counter)
    assert [erlang.execute("counter", "add", 2, times=3), erlang.execute("counter", "add", 1)] == [
        6,
        7,
    ]
    assert erlang.hooks(timeout=5).execute("counter", "later", (1, b"b")) == (1, b"b")
    hornbeam_standalone.register_hook("erlang", lambda action, *args: [action, *args])
    assert erlang.execute("erlang", "get", 7) == ["get", 7]
    with pytest.raises(erlang.HookError, match="KeyError: 'no'") as caught:
        erlang.execute("counter", "fail")
    assert "test_standalone.py" in caught.value.traceback
    with pytest.raises(TypeError, match="a set cannot travel"):
        erlang.execute("counter", "later", {1})
    with pytest.raises(ConnectionError, match="cannot be reached"):
        erlang.hooks(node="b@host").execute("counter", "add", 1)
    with pytest.raises(TimeoutError):
        erlang.hooks(timeout=0.05).execute("counter", "wait", "goes-on")
    erlang.state_set("goes-on", True)
    erlang.unregister_hook("counter")
    hornbeam_standalone.unregister_hook("erlang")
    for name in ("counter", "erlang"):
        with pytest.raises(erlang.HookNotFoundError, match="nobody handles"):
            erlang.execute(name, "add", 1)
    for bad in ("", "a\0b", "x" * 513):
        with pytest.raises(ValueError, match="app_path"):
            erlang.register_hook(bad, Counter)


def test_hooks_whose_value_comes_later(hornbeam_standalone: Standalone) -> None:
    erlang.register_hook("counter", Counter)
    task = erlang.execute_async("counter", "add", 3)
    assert erlang.await_result(task) == 3
    with pytest.raises(erlang.HookNotFoundError):
        erlang.await_result(task)
    waits = erlang.execute_async("counter", "wait", "goes-on")
    with pytest.raises(TimeoutError):
        erlang.await_result(waits, timeout_ms=1)
    erlang.state_set("goes-on", True)
    assert erlang.await_result(waits) is None
    failed = erlang.execute_async("counter", "fail")
    for error in (erlang.HookError, erlang.HookNotFoundError):
        with pytest.raises(error):
            erlang.await_result(failed)

    async def awaited() -> list[Any]:
        task = await aio.execute_async("counter", "add", 4)
        return [await aio.await_result(task), await aio.execute("counter", "later", None)]

    assert asyncio.run(awaited()) == [7, None]


def test_streams_of_hooks(hornbeam_standalone: Standalone) -> None:
    erlang.register_hook("counter", Counter)
    assert list(erlang.stream("counter", "numbers", 3)) == [0, 1, 2]
    assert list(erlang.stream("counter", "anumbers", 2)) == [0, 1]
    erlang.state_delete("closed")
    for _ in erlang.stream("counter", "numbers", 10_000):
        break
    wait_until(lambda: erlang.state_get("closed"), 10, "the generator is closed")
    assert erlang.state_get("made") < 100

    async def awaited() -> list[Any]:
        return [value async for value in erlang.stream_async("counter", "numbers", 3)]

    assert asyncio.run(awaited()) == [0, 1, 2]
    with pytest.raises(erlang.HookError, match="no stream of values"):
        list(erlang.stream("counter", "add", 1))
    with pytest.raises(erlang.HookNotFoundError):
        list(erlang.stream("nobody", "go"))


# Tasks: as in production, but at once


def half(number: int) -> float:
    erlang.task_progress("halving")
    return number / 2


async def double(number: int) -> int:
    return number * 2


def stubborn() -> int:
    task = erlang.current_task()
    assert task is not None
    if task.attempt < 3:
        raise RuntimeError("not yet")
    return task.attempt


def test_tasks_run_at_once(hornbeam_standalone: Standalone) -> None:
    first = erlang.spawn(half, 3, unique="half")
    assert (erlang.task_status(first), erlang.task_result(first)) == ("done", 1.5)
    assert erlang.task_info(first)["progress"] == "halving"
    assert erlang.spawn(half, 5, unique="half") == first
    assert erlang.await_task(erlang.spawn(double, kwargs={"number": 4}, delay="1h")) == 8
    assert erlang.task_result(erlang.spawn(stubborn, retries=2, backoff="1h")) == 3
    failed = erlang.spawn(stubborn, queue="q", durable=True)
    with pytest.raises(erlang.TaskFailedError, match="RuntimeError: not yet") as caught:
        erlang.task_result(failed)
    assert "stubborn" in caught.value.traceback
    assert [info["id"] for info in erlang.list_tasks("failed", "q")] == [failed]
    assert not erlang.retry_task(first) and not erlang.cancel_task(failed)
    assert erlang.task_arguments(first) == ([3], {})
    assert [event["state"] for event in erlang.task_events(first)] == ["done"]
    with pytest.raises(erlang.TaskNotFoundError):
        erlang.task_info("nothing")


def test_awaitable_tasks_run_at_once(hornbeam_standalone: Standalone) -> None:
    async def main() -> list[Any]:
        task = await aio.spawn(double, 2)
        events = [event["state"] async for event in aio.task_events(task)]
        return [events, await aio.await_task(task), await aio.task_status(task)]

    assert asyncio.run(main()) == [["done"], 4, "done"]


def test_what_can_be_spawned_can_be_found_by_its_name(hornbeam_standalone: Standalone) -> None:
    for wrong in (lambda: None, "no_colon", functools.partial(half, 1)):
        with pytest.raises(ValueError):
            erlang.spawn(wrong)
    with pytest.raises(TypeError, match="a function or its name"):
        erlang.spawn(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        erlang.spawn(half, object())


def test_schedules_are_declared(hornbeam_standalone: Standalone) -> None:
    assert erlang.scheduled(every="90s", jitter=1, name="often")(half) is half
    assert hornbeam_standalone.schedules["often"]["every"] == 90_000
    wrong: list[dict[str, Any]] = [
        {},
        {"every": 1, "cron": "* * * * *"},
        {"every": 0.5},
        {"cron": "61 * * * *"},
        {"cron": "* * * * *", "tz": "Mars/North"},
        {"every": 5, "missed": "maybe"},
    ]
    for options in wrong:
        with pytest.raises(ValueError):
            erlang.scheduled(**options)


def test_times_of_cron_lines_where_clocks_change() -> None:
    """Berlin skipped 2026-03-29 02:00 to 03:00, and had 2026-10-25 02:00 to 03:00 twice."""
    zone = ZoneInfo("Europe/Berlin")

    def times(line: str, year: int, month: int, day: int, count: int) -> list[str]:
        start = datetime(year, month, day, tzinfo=zone).timestamp() * 1000
        found = _cron.fires(line, "Europe/Berlin", round(start), count)
        return [datetime.fromtimestamp(ms / 1000, zone).isoformat() for ms in found]

    assert times("30 2 * * *", 2026, 3, 28, 3) == [
        "2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00",
    ]  # fmt: skip
    assert times("30 2 * * *", 2026, 10, 24, 3) == [
        "2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00",
    ]  # fmt: skip
    assert times("0 3 * * *", 2026, 10, 24, 3) == [
        "2026-10-24T03:00:00+02:00", "2026-10-25T03:00:00+01:00", "2026-10-26T03:00:00+01:00",
    ]  # fmt: skip
    hours = _cron.fires("0 * * * *", "Europe/Berlin", 1_792_879_200_000, 30)
    assert {later - sooner for sooner, later in itertools.pairwise(hours)} == {3_600_000}
