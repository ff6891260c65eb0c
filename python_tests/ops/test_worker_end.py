"""How a worker ends: what the application leaves behind in it, and when its VM is killed."""

from __future__ import annotations

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from harness import Hornbeam, StartError, wait_until

APP = "core_leftovers:app"


def stopped(loop: str, leaves: str, **options: int) -> str:
    """What a server prints whose application leaves these behind; it must stop with status 0."""
    with Hornbeam(APP, loop=loop, env={"LEAVES": leaves}, **options) as server:
        assert httpx.get(server.url).status_code == 200
    assert "Task was destroyed" not in server.output
    assert "Traceback" not in server.output or "failing" in leaves
    return server.output


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_tasks_generators_and_threads_end_in_the_order_of_asyncio_run(loop: str) -> None:
    output = stopped(loop, "generator thread task")
    lines = ["shutdown in", "the task ends", "the generator ends", "the thread ends"]
    assert [next(line for line in lines if line in text) for text in output.splitlines()
            if any(line in text for line in lines)] == lines  # fmt: skip
    assert "rror" not in output
    assert "killed" not in output


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_task_that_ignores_its_cancellation_is_left_and_said_once(loop: str) -> None:
    output = stopped(loop, "stubborn task failing")
    assert "the task ends" in output
    left = [line for line in output.splitlines() if "ignored their cancellation" in line]
    assert len(left) == 1
    assert "stubborn (stubborn.<locals>.ignores)" in left[0]
    assert "well-behaved" not in left[0]
    assert output.count("exception in failing (failing.<locals>.fails)") == 1
    assert output.count("LookupError: not while I am cancelled") == 1


def test_a_thread_that_hangs_does_not_outlast_shutdown_timeout() -> None:
    output = stopped("auto", "hanging_thread", shutdown_timeout=1500)
    assert output.count("did not finish its shutdown in time and is killed") == 1


def test_a_crash_in_the_shutdown_is_a_record() -> None:
    with Hornbeam(APP, env={"CRASHES": "1"}) as server:
        assert httpx.get(server.url).status_code == 200
    assert re.search(
        r"worker 1 \(pid \d+\) ended in its shutdown: Python was ended by signal 11 \(SIGSEGV\)",
        server.output,
    )
    assert "Fatal Python error: Segmentation fault" in server.output


def test_a_start_that_fails_is_not_held_up_by_what_it_leaves() -> None:
    env = {"LEAVES": "hanging_thread stubborn", "FAILS": "1"}
    server = Hornbeam(APP, env=env, shutdown_timeout=1500, startup_timeout=3_600_000)
    began = time.monotonic()
    with pytest.raises(StartError) as error, server:
        pass
    assert "the application's lifespan failed: told to fail\n" in error.value.output
    assert time.monotonic() - began < 30


def test_every_worker_ends_when_the_vm_is_killed() -> None:
    """One that is idle, with its lifespan; one in C code; one in C code that keeps the GIL."""
    server = Hornbeam(APP, workers=3)
    try:
        server.start()
        workers = server.workers()
        with ThreadPoolExecutor(2) as pool:
            for path in ("/c", "/c_with_the_lock"):
                before = blocked(server)
                pool.submit(httpx.post, server.url + path, timeout=60)
                wait_until(lambda before=before: blocked(server) > before, 20, path)  # type: ignore[misc]
            os.kill(server.beam(), signal.SIGKILL)
        wait_until(lambda: not any(map(running, workers)), 20, "the workers have ended")
        (idle,) = set(workers) - blocked(server)
        assert f"shutdown in {idle}\n" in server.output
    finally:
        server.kill()
        for worker in filter(running, workers):
            os.kill(worker, signal.SIGKILL)


def blocked(server: Hornbeam) -> set[int]:
    return set(map(int, re.findall(r"^blocked in (\d+)$", server.output, re.MULTILINE)))


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
