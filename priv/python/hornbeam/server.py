"""Servers from Python: `run`, as a script's last line, and `Server`, for a `with` block in a test.

Both start the launcher as a process below this one; the application's workers are processes below
that. What the server says of itself (that it serves, where, or why not) comes as systemd would be
told it: datagrams of sd_notify(3) to NOTIFY_SOCKET.

States of a Server:

    made ──start──▶ starting ──READY=1──▶ serving ──stop──▶ ended
                        │                    └──ends by itself──▶ ended
                        └──ends, or start_timeout──▶ ServerError

Limits: a start has `start_timeout` seconds, a stop `stop_timeout`, after which the launcher is
killed and the VM told to stop once more.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hornbeam.__main__ import command
from hornbeam.options import FLAGS, Options

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Server", "ServerError", "arguments", "run"]

# A datagram of sd_notify is a few lines.
LONGEST = 65536
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ServerError(Exception):
    """The server did not start, or did not end well. `status`: its exit status, None where it was
    killed because it took too long."""

    def __init__(self, text: str, status: int | None) -> None:
        super().__init__(text)
        self.status = status


def arguments(
    app: str,
    host: str | None,
    port: int | None,
    options: Mapping[str, Any],
    config: str | os.PathLike[str] | None = None,
) -> list[str]:
    """What stands behind `hornbeam` on a command line; TypeError for what is no option.

    A list becomes a flag for each of its items; None stands for the default. No configuration file
    is read but the one that is named: a script's or a test's server is what its call says.
    """
    if not isinstance(app, str):
        raise TypeError(
            'the application is given as text, "module:attribute": its workers are processes of'
            f" their own, which import it; not {type(app).__name__}"
        )
    given = dict(options)
    if host is not None or port is not None:
        if given.get("bind") is not None:
            raise TypeError("either bind, or host and port")
        given["bind"] = _bind(host or "127.0.0.1", 8000 if port is None else port)
    flags = [flag for key, value in given.items() for flag in _flags(key, value)]
    return ["run", app, f"--config={'none' if config is None else os.fspath(config)}", *flags]


def _bind(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _flags(key: str, value: Any) -> Iterator[str]:
    try:
        flag = FLAGS[key]
    except KeyError:
        raise TypeError(f"there is no option {key!r}; docs/options.md has all") from None
    if value is None:
        return
    if isinstance(value, bool):
        yield f"--{flag}" if value else f"--no-{flag}"
    elif isinstance(value, Mapping):  # env
        for name, text in value.items():
            yield f"--{flag}={name}={text}"
    elif isinstance(value, str | os.PathLike | int | float):
        yield f"--{flag}={os.fspath(value) if isinstance(value, os.PathLike) else value}"
    else:
        for item in value:
            yield from _flags(key, item)


def _environment() -> dict[str, str]:
    """The workers run in this interpreter unless an option says otherwise."""
    return {**os.environ, "HORNBEAM_INTERPRETER": sys.executable}


def run(
    app: str,
    *,
    host: str | None = None,
    port: int | None = None,
    config: str | os.PathLike[str] | None = None,
    **options: Unpack[Options],
) -> None:
    """Serves until SIGINT (Ctrl-C) or SIGTERM, which stop it gracefully, or its end.

    `options` are those of docs/options.md; `config` is a file with more of them, which are weaker;
    without it none is read (docs/configuration.md). SystemExit with the server's exit status where
    that is not 0; what was wrong is on standard error. In another thread than the main one no
    signal can be waited for: a `Server` can be stopped from there.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("run() handles signals, in the main thread; elsewhere, use Server")
    # In a session of its own: a terminal's Ctrl-C comes here alone, and is passed on once.
    line = command(arguments(app, host, port, options, config))
    process = subprocess.Popen(line, env=_environment(), start_new_session=True)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        # A terminal that closes ends what it has started; elsewhere SIGHUP reloads (launcher.py).
        closing = number == signal.SIGHUP and os.isatty(0)
        process.send_signal(signal.SIGTERM if closing else number)

    before = {number: signal.signal(number, pass_on) for number in FORWARDED}
    try:
        status = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if status:
        raise SystemExit(status)


class Server:
    """A server for the time of a `with` block, on a free port.

        with hornbeam.Server("app:app") as server:
            httpx.get(f"{server.url}/items")

    `options` are those of docs/options.md; `config` is a file with more of them, as for `run`.
    `url` is the first address, as in "http://127.0.0.1:41573", "https://[::1]:443" or
    "unix:/run/web.sock"; `urls` has all of them. What the server and the application print goes
    where this process's output goes. Leaving the block stops it gracefully.
    """

    def __init__(
        self,
        app: str,
        *,
        host: str | None = None,
        port: int | None = None,
        config: str | os.PathLike[str] | None = None,
        start_timeout: float = 60.0,
        stop_timeout: float = 60.0,
        **options: Unpack[Options],
    ) -> None:
        if options.get("bind") is None and port is None:
            port = 0
        self._command = command(arguments(app, host, port, options, config))
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None
        self.urls: list[str] = []

    @property
    def url(self) -> str:
        """The first address."""
        if not self.urls:
            raise RuntimeError("the server is not started")
        return self.urls[0]

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the first address."""
        parts = urlsplit(self.url)
        if parts.hostname is None or parts.port is None:
            raise RuntimeError(f"{self.url} is no host and port")
        return parts.hostname, parts.port

    @property
    def pid(self) -> int:
        """The process that signals go to: SIGTERM stops, SIGHUP reloads."""
        if self._process is None:
            raise RuntimeError("the server is not started")
        return self._process.pid

    def start(self) -> Server:
        """Returns when it serves; ServerError when it does not."""
        if self._process is not None:
            raise RuntimeError("a Server is started once")
        with tempfile.TemporaryDirectory(prefix="hornbeam-") as folder:
            path = str(Path(folder, "notify"))
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.bind(path)
                process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    env={**_environment(), "NOTIFY_SOCKET": path},
                    start_new_session=True,
                )
                self._process = process
                self._finalizer = weakref.finalize(self, _end, process, self._stop_timeout)
                try:
                    self.urls = self._await_ready(process, notify)
                except BaseException:
                    self._finalizer()
                    raise
        return self

    def _await_ready(self, process: subprocess.Popen[bytes], notify: socket.socket) -> list[str]:
        deadline = time.monotonic() + self._start_timeout
        said = ""
        notify.settimeout(0.05)
        while True:
            status = process.poll()  # before the read: what it has said last is read, too
            with contextlib.suppress(TimeoutError):
                while True:
                    fields = _fields(notify.recv(LONGEST))
                    said = fields.get("STATUS", said)
                    if fields.get("READY") == "1":
                        return said.partition(" on ")[2].split(", ")
            if status is not None:
                raise ServerError(said or f"the server ended with status {status}", status)
            if time.monotonic() > deadline:
                raise ServerError(f"the server did not serve within {self._start_timeout} s", None)

    def stop(self) -> None:
        """Returns when all of it has ended; ServerError when it did not end well."""
        process, finalizer = self._process, self._finalizer
        if process is None or finalizer is None or not finalizer.alive:
            return
        ended_before = process.poll()
        status = finalizer()
        if status is None:
            raise ServerError(f"the server did not stop within {self._stop_timeout} s", None)
        if status != 0:
            how = "ended by itself" if ended_before is not None else "stopped"
            raise ServerError(f"the server {how} with status {status}", status)

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.stop()
        else:  # which is the one to be seen
            with contextlib.suppress(ServerError):
                self.stop()


def _fields(datagram: bytes) -> dict[str, str]:
    lines = datagram.decode("utf-8", "replace").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _end(process: subprocess.Popen[bytes], patience: float) -> int | None:
    """SIGTERM, then the exit status; None where it had to be killed."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()  # the VM hears of it from the kernel (launcher.py)
        process.wait()
        return None
