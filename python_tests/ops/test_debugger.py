"""A worker that stands in a debugger is waited for; one that is only traced, or blocked, is not."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO

import httpx
import pytest
from harness import APPS, ROOT, Hornbeam, wait_until

HEARTBEAT = 500
WAITED_FOR = r"worker 1 \(pid \d+\) is stopped in a debugger and is waited for"
KILLED = rf"worker 1 \(pid \d+\) has not answered for {HEARTBEAT} ms"


class Debugger:
    """The other ends of the debugger's named pipes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("in", "out"):
            os.mkfifo(folder / name)

    def open(self) -> tuple[IO[str], IO[str]]:
        """Where to write commands, and what it shows; once the application has opened its ends."""
        return (self.folder / "in").open("w"), (self.folder / "out").open()

    def runs(self) -> list[str]:
        return (self.folder / "runs").read_text().split()


@pytest.fixture
def debugger(tmp_path: Path) -> Debugger:
    return Debugger(tmp_path)


@pytest.fixture
def server(debugger: Debugger) -> Iterator[Hornbeam]:
    env = {"CORE_DEBUGGER": str(debugger.folder)}
    with Hornbeam("core_debugger:app", worker_heartbeat=HEARTBEAT, env=env) as server:
        yield server


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def get(server: Hornbeam, path: str) -> httpx.Response:
    return httpx.get(server.url + path, timeout=60)


@pytest.mark.parametrize("path", ["/stop", "/stop_in_thread", "/post_mortem"])
def test_a_stopped_debugger_is_waited_for(
    server: Hornbeam, debugger: Debugger, pool: ThreadPoolExecutor, path: str
) -> None:
    (worker,) = server.workers()
    asked: Future[httpx.Response] = pool.submit(get, server, path)
    commands, _shown = debugger.open()
    server.wait_for_output(WAITED_FOR)
    # Several times more it is looked at, and found where it was.
    for _ in range(3):
        looked_at = stacks(worker)
        wait_until(lambda: stacks(worker) != looked_at, 15, "it is looked at again")  # noqa: B023
    assert not asked.done()
    commands.write("c\n")
    commands.close()
    assert asked.result().text == str(worker)
    assert debugger.runs() == [path]
    assert len(re.findall(WAITED_FOR, server.output)) == 1
    assert "has not answered" not in server.output


def stacks(worker: int) -> float:
    """When the file was written that the worker's stacks are read from."""
    for fd in Path(f"/proc/{worker}/fd").iterdir():
        if "hornbeam-stacks" in str(fd.readlink()):
            return fd.stat().st_mtime_ns
    raise AssertionError("there is no such file")


def test_what_blocks_after_the_debugger_is_killed(
    server: Hornbeam, debugger: Debugger, pool: ThreadPoolExecutor
) -> None:
    asked = pool.submit(get, server, "/stop_and_block")
    commands, _shown = debugger.open()
    server.wait_for_output(WAITED_FOR)
    (debugger.folder / "in").unlink()  # the second run, on the next worker, cannot stop there
    commands.write("c\n")
    commands.close()
    server.wait_for_output(KILLED)
    assert asked.result().status_code in (500, 502)


def test_a_trace_function_alone_does_not_keep_a_blocked_worker(
    server: Hornbeam, pool: ThreadPoolExecutor
) -> None:
    asked = pool.submit(get, server, "/traced")
    server.wait_for_output(KILLED)
    assert "in block" in server.output
    assert asked.result().status_code == 502


def test_breakpoint_in_the_terminal_of_a_server_with_one_worker() -> None:
    """The prompt is there, and takes commands, though the heartbeat passes meanwhile."""
    flags = ["--bind=127.0.0.1:0", f"--python={sys.executable}", f"--pythonpath={APPS}"]
    command = [str(ROOT / "bin" / "hornbeam"), "run", "core_debugger:app", *flags]
    terminal, inner = pty.openpty()
    process = subprocess.Popen(
        [*command, f"--worker-heartbeat={HEARTBEAT}"], stdin=inner, stdout=inner, stderr=inner,
        env={**os.environ, "CORE_DEBUGGER": "/tmp"}, start_new_session=True,
    )  # fmt: skip
    os.close(inner)
    try:
        url = read_until(terminal, r"on (http://\S+?),? ").group(1)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(httpx.get, url + "/terminal", timeout=60)
            read_until(terminal, r"\(Pdb\) ")
            read_until(terminal, WAITED_FOR)
            os.write(terminal, b"answer = 6 * 7\n")
            read_until(terminal, r"\(Pdb\) ")
            os.write(terminal, b"c\n")
            read_until(terminal, r"answer 42\r?\n")
            assert asked.result().status_code == 200
        process.terminate()
        read_until(terminal, None)
        assert process.wait(30) == 0
    finally:
        process.kill()
        os.close(terminal)


def read_until(terminal: int, pattern: str | None) -> re.Match[str]:
    """What a terminal shows until it matches; without a pattern, until nobody has it open."""
    shown = ""
    while pattern is None or not (match := re.search(pattern, shown)):
        assert select.select([terminal], [], [], 30)[0], shown
        try:
            shown += os.read(terminal, 4096).decode()
        except OSError:  # Linux: the last process has closed it
            match = re.match("", shown)
            assert pattern is None and match is not None, shown
            return match
    return match
