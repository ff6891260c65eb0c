"""Runs `bin/hornbeam` for the black-box tests, as a user would, and looks at it from the outside.

    with Hornbeam("echo:app", workers=2) as server:
        httpx.get(server.url)

Every server listens on a free port of 127.0.0.1 and runs applications from python_tests/apps.
Leaving the block stops it with SIGTERM and fails the test unless it exits with 0 in time and leaves
no process behind.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
APPS = ROOT / "python_tests" / "apps"
START_TIMEOUT = 60.0
STOP_TIMEOUT = 45.0

T = TypeVar("T")


class StartError(Exception):
    """The server did not start; `output` is what it printed, `status` its exit status."""

    def __init__(self, status: int, output: str) -> None:
        super().__init__(f"exit status {status}\n{output}")
        self.status = status
        self.output = output


class Hornbeam:
    """One server in a process of its own. Options are those of docs/options.md, by their keys; None
    leaves out one that is given here otherwise. No app: none is named.

    And `files`: its limits of open files (ulimit -n), soft and hard; `cwd`: where it is started.
    """

    def __init__(
        self, app: str | None, *, env: dict[str, str] | None = None, **options: Any
    ) -> None:
        self._files: tuple[int, int] | None = options.pop("files", None)
        self._cwd: Path = options.pop("cwd", ROOT)
        options.setdefault("bind", "127.0.0.1:0")
        options.setdefault("python", sys.executable)
        options.setdefault("pythonpath", str(APPS))
        named = [] if app is None else [app]
        self.command = [str(ROOT / "bin" / "hornbeam"), "run", *named, *_flags(options)]
        self.url = ""
        self._env = {**os.environ, **(env or {})}
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._process: subprocess.Popen[str] | None = None
        self._collector: threading.Thread | None = None
        # While it is not set nobody reads the output.
        self.reading = threading.Event()
        self.reading.set()
        self._descendants: set[int] = set()

    # Life

    def start(self) -> Hornbeam:
        """Starts and waits for the line that names the address; StartError when there is none."""
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._env,
            cwd=self._cwd,
            preexec_fn=self._limit_files if self._files else None,
        )
        self._collector = threading.Thread(target=self._collect, daemon=True)
        self._collector.start()
        line = self.wait_for_output(r"^(?:\{.*\")?Hornbeam .* serving .* on (\S+)", START_TIMEOUT)
        self.url = line.group(1).rstrip(",")
        self._descendants = set(self.descendants())
        return self

    def stop(self, timeout: float = STOP_TIMEOUT) -> int:
        """SIGTERM, then the exit status."""
        process = self._running()
        self._descendants |= set(self.descendants())
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        status = process.wait(timeout)
        wait_until(lambda: not any(map(_alive, self._descendants)), 10, "its processes have ended")
        self._read_all()
        return status

    def wait(self, timeout: float = STOP_TIMEOUT) -> int:
        """The exit status of a server that was told to end otherwise than by `stop`."""
        status = self._running().wait(timeout)
        self._read_all()
        return status

    def kill(self) -> None:
        """Ends the launcher and the VM at once, for tests that failed."""
        if self._process is not None and self._process.poll() is None:
            for pid in self.descendants():
                _kill(pid)
            self._process.kill()
            self._process.wait(10)

    def __enter__(self) -> Hornbeam:
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            print("--- output of the server ---", self.output, sep="\n")
            self.kill()
            return
        try:
            status = self.stop()
        finally:
            self.kill()
        assert status == 0, f"the server exited with {status}:\n{self.output}"

    # Looking at it

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        assert parts.hostname is not None and parts.port is not None
        return parts.hostname, parts.port

    def connect(self, timeout: float = 20.0) -> socket.socket:
        """A raw connection to the server."""
        return socket.create_connection(self.address, timeout)

    @property
    def output(self) -> str:
        """All that it printed so far, stdout and stderr together."""
        with self._changed:
            return "".join(self._lines)

    def output_from(self, line: int) -> tuple[str, int]:
        """What it printed from that line on, and the number of the next line."""
        with self._changed:
            return "".join(self._lines[line:]), len(self._lines)

    def wait_for_output(self, pattern: str, timeout: float = 15.0) -> re.Match[str]:
        """Waits for a line that matches; StartError when the server ends before."""
        regex = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                if match := regex.search("".join(self._lines)):
                    return match
                if self._process is not None and self._process.poll() is not None:
                    self._changed.wait(0.3)  # what it printed last may still be on its way
                    if match := regex.search("".join(self._lines)):
                        return match
                    raise StartError(self._process.returncode, "".join(self._lines))
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"no output like {pattern!r}:\n{''.join(self._lines)}")
                self._changed.wait(min(left, 0.2))

    @property
    def pid(self) -> int:
        """The process id of the launcher, bin/hornbeam."""
        return self._running().pid

    def descendants(self) -> list[int]:
        """The process ids below the launcher: the VM, its helpers and the Python workers."""
        return list(_below(self._running().pid))

    def beam(self) -> int:
        """The process id of the Erlang VM."""
        return next(pid for pid in self.descendants() if "beam" in _command(pid)[:60])

    def workers(self) -> list[int]:
        """The process ids of the Python workers."""
        return [pid for pid in self.descendants() if "hornbeam_worker/__main__.py" in _command(pid)]

    def _limit_files(self) -> None:
        assert self._files is not None
        resource.setrlimit(resource.RLIMIT_NOFILE, self._files)

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "not started"
        return self._process

    def _read_all(self) -> None:
        """Waits for the end of the output: for the last process that can write to it."""
        assert self._collector is not None
        self._collector.join(10)

    def _collect(self) -> None:
        stdout = self._running().stdout
        assert stdout is not None
        for line in stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
            self.reading.wait()


def wait_until(condition: Callable[[], T], timeout: float, what: str) -> T:
    """Waits for a condition, looking every 20 ms; AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not in {timeout} s: {what}"
        time.sleep(0.02)
    return value


def memory(pid: int) -> int:
    """Resident memory in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files(pid: int) -> int:
    """Open file descriptors."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _flags(options: dict[str, Any]) -> Iterator[str]:
    for key, value in options.items():
        flag = "--" + key.replace("_", "-")
        if value is None:
            continue
        if value is True:
            yield flag
        elif value is False:
            yield "--no-" + key.replace("_", "-")
        else:
            for item in value if isinstance(value, list) else [value]:
                yield f"{flag}={item}"


def _below(pid: int) -> Iterator[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return
    for child in map(int, children):
        yield child
        yield from _below(child)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
