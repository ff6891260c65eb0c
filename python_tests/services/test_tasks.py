"""Background tasks and schedules, by what an application asks of them and by `hornbeam tasks`."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import ROOT, Hornbeam, wait_until

from hornbeam_worker import values
from services.test_rpc import distributed


class Tasks:
    """Calls functions of `hornbeam_erlang` in a worker of a server with tasks_app."""

    def __init__(self, server: Hornbeam) -> None:
        self.server = server
        self.client = httpx.Client(base_url=server.url, timeout=60)

    def ask(self, path: str, name: str, *arguments: Any, **keywords: Any) -> list[Any]:
        content = values.pack([name, list(arguments), keywords])
        response = self.client.post(path, content=content).raise_for_status()
        answer: list[Any] = values.unpack(response.content)
        return answer

    def __call__(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        """With `aio`; what it raises fails the test."""
        kind, value, *text = self.ask("/", name, *arguments, **keywords)
        assert kind == "ok", (value, text)
        return value

    def raised(self, name: str, *arguments: Any, **keywords: Any) -> tuple[str, str]:
        """The class of an exception, and its text."""
        kind, *error = self.ask("/", name, *arguments, **keywords)
        assert kind == "error", error
        return error[0], error[1]

    def spawn(self, function: str, *arguments: Any, **options: Any) -> str:
        return str(self("spawn", f"tasks_app:{function}", *arguments, **options))

    def wait(self, task: str) -> Any:
        return self("await_task", task, timeout=30)

    def command(self, *words: str) -> tuple[int, str]:
        """`hornbeam tasks`: exit status and what it says."""
        control = f"--control={self.control}"
        line = [str(ROOT / "bin" / "hornbeam"), "tasks", *words, control]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    control: Path


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tasks]:
    """One web worker, one for tasks."""
    folder = tmp_path_factory.mktemp("tasks")
    options: dict[str, Any] = {
        "task_workers": 1,
        "task_queue": ["serial=1"],
        "schedule": "tick=tasks_app:mark_tick;every=1s",
        "task_max_bytes": 8 << 20,
        "control": folder / "control",
        "data_dir": folder / "data",
    }
    with Hornbeam("tasks_app:app", **options) as server:
        found = Tasks(server)
        found.control = folder / "control"
        yield found


# Running


def test_a_plain_function_runs_in_a_thread_of_a_worker_for_tasks(tasks: Tasks) -> None:
    task = tasks.spawn("about", unique="about", queue="q")
    about = tasks.wait(task)
    assert about == {
        "id": task, "attempt": 1, "unique": "about", "queue": "q", "main": False,
        "lifespan": True, "pid": about["pid"],
    }  # fmt: skip
    assert about["pid"] != tasks("pid")


def test_a_coroutine_and_the_plain_functions_of_the_package(tasks: Tasks) -> None:
    kind, task = tasks.ask("/plain", "spawn", "tasks_app:slow_add", 1, kwargs={"b": 2})
    assert kind == "ok"
    assert tasks.ask("/plain", "await_task", task) == ["ok", 3]
    assert tasks.ask("/plain", "task_result", task) == ["ok", 3]
    assert tasks.ask("/plain", "task_status", task) == ["ok", "done"]
    assert tasks.ask("/plain", "cancel_task", task) == ["ok", False]
    assert tasks.ask("/plain", "retry_task", task) == ["ok", False]
    info = tasks("task_info", task)
    assert info["function"] == "tasks_app:slow_add"
    assert info["created"] <= info["started"] <= info["finished"]
    # A schedule's may have ended meanwhile.
    assert task in [each["id"] for each in tasks("list_tasks", "done", None, 100)]
    assert len(tasks("list_tasks", "done", None, 1)) == 1


def test_a_failure_has_its_traceback(tasks: Tasks) -> None:
    task = tasks.spawn("fail", "no reason")
    kind, text = tasks.raised("await_task", task)
    assert kind == "TaskFailedError"
    lines = text.splitlines()
    assert lines[:2] == ["ValueError: no reason", "Traceback (most recent call last):"]
    assert "tasks_app.py" in lines[2], "the traceback begins with the application's own line"
    assert tasks("task_info", task)["error"][:2] == ("ValueError", "no reason")


def test_a_failure_is_tried_again(tasks: Tasks) -> None:
    assert tasks.wait(tasks.spawn("fail_until", 3, retries=2, backoff=[0.01, 0.02])) == 3
    once_more = tasks.spawn("fail_until", 3, retries=1, backoff=0)
    assert tasks.raised("await_task", once_more)[0] == "TaskFailedError"
    waits = tasks.spawn("fail", "x", retries=1, backoff="1h")
    wait_until(lambda: tasks("task_status", waits) == "retrying", 10, "it has failed once")
    assert tasks("cancel_task", waits)
    assert tasks.raised("task_result", waits)[0] == "TaskCancelledError"


def test_a_task_that_kills_its_worker(tasks: Tasks) -> None:
    kind, text = tasks.raised("await_task", tasks.spawn("die", retries=1, backoff=0))
    assert (kind, text) == ("TaskFailedError", "WorkerDied: its worker died")
    assert tasks.wait(tasks.spawn("add", 1, 2)) == 3


def test_a_timeout_and_a_cancellation_reach_a_coroutine(tasks: Tasks, tmp_path: Path) -> None:
    late = tmp_path / "late"
    kind, text = tasks.raised("await_task", tasks.spawn("hang", str(late), timeout=0.3))
    assert kind == "TaskFailedError" and "300 ms (timeout)" in text
    wait_until(lambda: late.read_text() == "begun\ncancelled\n", 10, "it is cancelled")
    cancelled = tmp_path / "cancelled"
    task = tasks.spawn("hang", str(cancelled))
    wait_until(cancelled.exists, 10, "it runs")
    assert tasks.raised("task_result", task)[0] == "TaskNotFinishedError"
    assert tasks("cancel_task", task)
    wait_until(lambda: cancelled.read_text() == "begun\ncancelled\n", 10, "it is cancelled")
    assert tasks("retry_task", task)
    wait_until(lambda: cancelled.read_text().endswith("begun\n"), 10, "it runs again")
    assert tasks("cancel_task", task)


def test_who_waits_need_not_wait_for_ever(tasks: Tasks, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    task = tasks.spawn("wait_for", str(gate))
    assert tasks.raised("await_task", task, timeout=0.05)[0] == "TimeoutError"
    gate.touch()
    assert tasks.wait(task) == "there"


def test_unique_is_one_task(tasks: Tasks, tmp_path: Path) -> None:
    gate, lines = tmp_path / "gate", tmp_path / "lines"
    first = tasks.spawn("wait_for", str(gate), unique="once")
    assert tasks.spawn("append", str(lines), "second", unique="once") == first
    gate.touch()
    assert tasks.wait(first) == "there"
    assert tasks.spawn("append", str(lines), "third", unique="once") == first
    failed = tasks.spawn("fail", "x", unique="again")
    assert tasks.raised("await_task", failed)[0] == "TaskFailedError"
    assert tasks.spawn("add", 1, 1, unique="again") != failed
    assert not lines.exists()


def test_order_priority_and_delay(tasks: Tasks, tmp_path: Path) -> None:
    gate, lines = tmp_path / "gate", tmp_path / "lines"
    tasks.spawn("wait_for", str(gate), queue="serial")
    given = [("a", 0, 0), ("b", 0, 0), ("later", 0, 0.4), ("first", 9, 0), ("last", -9, 0)]
    spawned = [
        tasks.spawn("append", str(lines), name, queue="serial", priority=priority, delay=delay)
        for name, priority, delay in given
    ]
    assert {tasks("task_status", task) for task in spawned} == {"pending"}
    gate.touch()
    for task in spawned:
        tasks.wait(task)
    order = lines.read_text().split()
    assert [name for name in order if name != "later"] == ["first", "a", "b", "last"]


def test_progress_can_be_followed(tasks: Tasks) -> None:
    """Whoever follows sees every step, one that comes later what was last."""
    task = tasks.spawn("report", 3, delay=0.3)
    kind, events = tasks.ask("/here", "events", task)
    assert kind == "ok"
    steps = [event["progress"]["step"] for event in events if event["progress"]]
    assert (events[0]["state"], events[-1]["state"]) == ("pending", "done")
    assert sorted(set(steps)) == [1, 2, 3]
    assert tasks.ask("/here", "events_in_thread", task)[1] == [
        {"id": task, "state": "done", "attempts": 1, "progress": {"step": 3, "of": 3},
         "error": None},
    ]  # fmt: skip
    assert tasks.raised("task_progress", 1)[0] == "RuntimeError"


@pytest.mark.parametrize(
    ("error", "function", "options"),
    [
        ("ValueError", "no_colon", {}),
        ("ValueError", "tasks_app:add", {"retries": 1001}),
        ("ValueError", "tasks_app:add", {"delay": -1}),
        ("ValueError", "tasks_app:add", {"timeout": "5 minutes"}),
        ("TypeError", "tasks_app:add", {"unique": 5}),
        ("TypeError", "tasks_app:add", {"priority": "high"}),
        ("ValueError", "tasks_app:add", {"queue": "x" * 300}),
    ],
)
def test_what_makes_no_sense(
    tasks: Tasks, error: str, function: str, options: dict[str, Any]
) -> None:
    assert tasks.raised("spawn", function, **options)[0] == error


def test_what_is_not_there(tasks: Tasks) -> None:
    for name in ("task_info", "task_result", "await_task", "cancel_task", "retry_task"):
        assert tasks.raised(name, "no such id")[0] == "TaskNotFoundError"
    kind, text = tasks.raised("await_task", tasks.spawn("no_such_function"))
    assert kind == "TaskFailedError" and text.startswith("AttributeError")


def test_waiting_tasks_take_so_many_bytes_and_no_more(tasks: Tasks) -> None:
    """task_max_bytes; the queue's own limit is a property of the same place."""
    large = "x" * (3 << 20)
    waiting = [tasks.spawn("append", "/dev/null", large, delay=600) for _ in range(2)]
    kind, text = tasks.raised("spawn", "tasks_app:append", "/dev/null", large, delay=600)
    assert kind == "TaskRefusedError" and "task_max_bytes" in text
    for task in waiting:
        assert tasks("cancel_task", task)
    assert tasks.spawn("append", "/dev/null", large)


def test_the_commands(tasks: Tasks) -> None:
    task = tasks.spawn("fail", "for a person", durable=True, queue="letters")
    assert tasks.raised("await_task", task)[0] == "TaskFailedError"
    status, text = tasks.command("list", "failed")
    assert status == 0 and task in text and "letters" in text
    status, text = tasks.command("show", task)
    assert status == 0 and "ValueError: for a person" in text and "durable" in text
    assert tasks.command("retry", task) == (0, "it runs again\n")
    wait_until(lambda: tasks("task_status", task) == "failed", 10, "it has failed again")
    assert tasks.command("cancel", task) == (1, "hornbeam: it is over already\n")
    assert tasks.command("show", "nothing")[0] == 1
    assert tasks.command("list", "nowhere")[0] == 1
    status, text = tasks.command("purge", "failed")
    assert status == 0 and text.endswith("forgotten\n")
    assert tasks.raised("task_info", task)[0] == "TaskNotFoundError"
    assert tasks.command("dance")[0] == 1


# Schedules


def test_schedules_run_once_whoever_declares_them(tasks: Tasks) -> None:
    """An option, and decorators that both workers import; each time of them is one task."""
    wait_until(lambda: len(_runs(tasks, "tasks_app:mark_tick")) >= 2, 20, "two ticks")
    for name in ("tasks_app:mark_tick", "tasks_app:decorated"):
        runs = _runs(tasks, name)
        keys = [run["unique"] for run in runs]
        assert len(keys) == len(set(keys)) >= 1
    status = _status(tasks)
    assert "schedule tick (every 1 s): next " in status
    assert "schedule tasks_app:decorated (every 1 s)" in status
    assert "schedule nightly (0 3 * * * Europe/Berlin): next 20" in status
    assert "tasks: " in status


def _runs(tasks: Tasks, function: str) -> list[Any]:
    return [
        info for info in tasks("list_tasks", "done", None, 1000) if info["function"] == function
    ]


# Without a pool of their own, and a reload


def test_web_workers_run_tasks_and_a_reload_waits_for_them(tmp_path: Path) -> None:
    control, gate = tmp_path / "control", tmp_path / "gate"
    with Hornbeam("tasks_app:app", control=control) as server:
        tasks = Tasks(server)
        assert tasks.wait(tasks.spawn("about"))["pid"] == tasks("pid")
        assert tasks.raised("spawn", "tasks_app:add", 1, 2, durable=True)[0] == "ValueError"
        running = tasks.spawn("wait_for", str(gate))
        wait_until(lambda: tasks("task_status", running) == "running", 10, "it runs")
        before = tasks("pid")
        reload = [str(ROOT / "bin" / "hornbeam"), "reload", f"--control={control}"]
        subprocess.run([*reload, "--task-workers=1"], check=True, capture_output=True, timeout=60)
        assert tasks("pid") != before
        gate.touch()
        assert tasks.wait(running) == "there"
        assert tasks("task_info", running)["attempts"] == 1
        assert tasks.wait(tasks.spawn("about"))["pid"] != tasks("pid")
        lost = tasks.spawn("add", 1, 2, delay=600)
        assert tasks("task_status", lost) == "pending"
    assert "1 background tasks that were not over are lost" in server.output


# Connected nodes


def test_of_connected_nodes_one_runs_a_schedule(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    names = ["a@127.0.0.1", "b@127.0.0.2"]
    nodes: list[Tasks] = []
    servers = [
        Hornbeam(
            "tasks_app:app",
            env={"HORNBEAM_ERL_FLAGS": distributed(name, port)},
            cluster_node=names,
            control=tmp_path / name,
        )
        for name in names
    ]
    try:
        nodes += [Tasks(server.start()) for server in servers]
        for node, name in zip(nodes, names, strict=True):
            node.control = tmp_path / name
        assert nodes[0]("connect", names[1])
        follower = wait_until(lambda: _follower(nodes), 20, "one of them leads")
        assert follower is not None
        leader = next(node for node in nodes if node is not follower)
        already = {run["id"] for run in _runs(follower, "tasks_app:decorated")}
        before = len(_runs(leader, "tasks_app:decorated"))
        wait_until(
            lambda: len(_runs(leader, "tasks_app:decorated")) >= before + 2, 20, "it runs them"
        )
        assert {run["id"] for run in _runs(follower, "tasks_app:decorated")} == already
        leader.server.kill()
        wait_until(lambda: "on another node" not in _status(follower), 20, "the other one leads")
        wait_until(
            lambda: len(_runs(follower, "tasks_app:decorated")) > len(already), 20, "it runs them"
        )
        assert follower.server.stop() == 0
    finally:
        for server in servers:
            server.kill()


def _follower(nodes: list[Tasks]) -> Tasks | None:
    following = [node for node in nodes if "on another node" in _status(node)]
    return following[0] if len(following) == 1 else None


def _status(tasks: Tasks) -> str:
    line = [str(ROOT / "bin" / "hornbeam"), "status", f"--control={tasks.control}"]
    return subprocess.run(line, capture_output=True, text=True, timeout=60).stdout
