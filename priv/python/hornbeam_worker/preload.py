"""The process that imports an application once and forks its workers: the option `preload`.

`__main__` runs it in place of a worker; `hornbeam_preload` is its other side. What workers read
and do not change they share with it: the interpreter, the libraries, the application.

    hello -> (boot arrives) -> import -> ready -> fork, for each that asks
          -> (stop arrives, or end-of-file) -> no more forks -> the last worker has ended -> exit 0
    An import that fails ends it, as it ends a worker.

Who asks is `launch`, started by the BEAM as a worker: it brings the two ends of that worker's pipe
(SCM_RIGHTS) over an abstract Unix socket, whose name is random and on which only processes of the
same user are heard. The fork goes on as that worker (`main.work`), with a loop, threads and an
Erlang side of its own.

What a fork must not share: threads do not live on in it, and sockets would be read by several.
Neither is here of ours; what the application has begun is named in a warning. Generators of random
numbers are seeded anew (`_seed`). The Erlang side is not there yet while the application is
imported: what it declares for each worker is said again by each, anything else raises
(`hornbeam_erlang._preloading`).

When the BEAM has gone, workers end by themselves, and what is left of them after `orphan.GRACE`
seconds is killed here: the kernel cannot be asked to, for it is not the BEAM that it would watch.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import selectors
import signal
import socket
import stat
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgpack

from hornbeam_erlang import _client
from hornbeam_erlang._preloading import Preloading
from hornbeam_worker import frames, loader, log_config, logs, orphan
from hornbeam_worker.frames import Frame
from hornbeam_worker.loader import Loaded, Preloaded
from hornbeam_worker.transport import Transport

__all__ = ["NO", "YES", "Forked", "run"]

logger = logging.getLogger("hornbeam.preload")

_BACKLOG: Final = 128
# What is answered. Who gets no answer asks again.
YES: Final = b"k"
NO: Final = b"n"
# A worker's pipe: the end that it reads, the end that it writes.
_ENDS: Final = 2
# How often it is looked whether the BEAM has gone with it, once it has closed the pipe; seconds.
_LOOK: Final = 0.5
_CREDENTIALS: Final = struct.Struct("3i")
# How many are named in a warning.
_NAMED: Final = 5


class Forked(NamedTuple):
    """What makes a fork a worker; it answers when it has said hello."""

    preloaded: Preloaded
    asked: socket.socket

    def answer(self) -> None:
        """Who has asked for it can go."""
        with self.asked, contextlib.suppress(OSError):
            self.asked.send(YES)


def run(transport: Transport, name: str) -> Forked:
    """Imports the application and forks workers. Returns in each of them, with its pipe on the
    descriptors 3 and 4; never in this process, which ends by SystemExit. StartFailure."""
    try:
        boot: dict[str, Any] = msgpack.unpackb(transport.read_first().payload)
    except ConnectionError:
        sys.exit(0)
    window = logs.Window(transport.wait_in_loop)
    logs.install(boot["log_level"], transport.send_threadsafe, window)
    parent = _Parent(transport, window, name)
    declared = Preloading()
    preloaded = Preloaded(_load(boot, declared), declared.declare)
    orphan.leave_the_kernel_out()
    transport.send_threadsafe(frames.encode(frames.READY, 0, msgpack.packb({})))
    return Forked(preloaded, parent.serve())


def _load(boot: dict[str, Any], declared: Preloading) -> Loaded:
    _client.begin_preloading(declared)
    # What every worker needs is imported here, too.
    import hornbeam_worker.server  # noqa: F401

    if boot["loop"] != "asyncio":
        with contextlib.suppress(ModuleNotFoundError):
            import uvloop  # noqa: F401
    loader.extend_path(boot["pythonpath"])
    log_config.configure(boot["log_config"])
    before = _sockets()
    loaded = loader.load(boot["app"], boot["worker_class"], factory=boot["factory"])
    _warn_of_threads()
    _warn_of_sockets(_sockets() - before)
    return loaded


def _warn_of_threads() -> None:
    names = [one.name for one in threading.enumerate() if one is not threading.main_thread()]
    if names:
        logger.warning(
            "importing the application has started threads, which no worker has: %s; start them in "
            "the lifespan's startup or with the first request, or serve it without preload",
            _some(names),
        )


def _sockets() -> set[int]:
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(link.stat().st_mode):
                found.add(int(link.name))
    return found


def _warn_of_sockets(found: set[int]) -> None:
    if found:
        logger.warning(
            "importing the application has opened sockets, which all workers share: %s; open them "
            "in the lifespan's startup or with the first request, or serve it without preload",
            _some([_address(descriptor) for descriptor in sorted(found)]),
        )


def _address(descriptor: int) -> str:
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as found:
        for address in (found.getpeername, found.getsockname):
            with contextlib.suppress(OSError):
                if text := str(address()):
                    return text
    return f"descriptor {descriptor}"


def _some(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


class _Parent:
    """Forks, and tells how each of its workers has ended. Has no thread but this one."""

    def __init__(self, transport: Transport, window: logs.Window, name: str) -> None:
        self._transport = transport
        self._window = window
        self._workers: set[int] = set()
        self._vm = os.getppid()
        self._leaving = False
        self._selector = selectors.DefaultSelector()
        # Who asks before all is imported waits here.
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(f"\0{name}")
        self._listener.listen(_BACKLOG)
        self._listener.setblocking(False)
        transport.attach(self._deliver, _no_reply, self._leave)

    def _deliver(self, frame: Frame) -> None:
        """From the BEAM: that it has taken log records, or stop."""
        if frame.type == frames.CREDIT:
            self._window.on_credit(frame.payload)
        elif frame.type == frames.STOP:
            self._leave()

    def _leave(self) -> None:
        """No more workers; those that are there are waited for."""
        if not self._leaving:
            self._leaving = True
            self._selector.unregister(self._listener)
            self._listener.close()

    def serve(self) -> socket.socket:
        """Returns in each worker, with the connection on which it was asked for."""
        # Garbage that is found later would be freed, and written to, in each worker; and nothing
        # that is here now is looked at again by the collector, which writes to what it looks at.
        gc.collect()
        gc.freeze()
        sys.stdout.flush()
        sys.stderr.flush()
        wakes, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, _noted)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for wanted in (wakes, self._transport.read_fd(), self._listener):
            self._selector.register(wanted, selectors.EVENT_READ)
        while not self._leaving or self._workers:
            has_gone = self._transport.at_eof()
            for key, _events in self._selector.select(_LOOK if has_gone else None):
                if key.fd == wakes:
                    with contextlib.suppress(BlockingIOError):
                        os.read(wakes, 4096)
                elif key.fd == self._transport.read_fd():
                    self._hear()
                elif (asked := self._fork()) is not None:
                    os.close(wakes)
                    os.close(wake)
                    return asked
            self._reap()
            if has_gone and os.getppid() != self._vm:
                self._outlive()
        self._transport.flush_blocking()
        sys.exit(0)

    def _hear(self) -> None:
        self._transport.receive()
        if self._transport.at_eof():
            self._selector.unregister(self._transport.read_fd())
            self._leave()

    def _fork(self) -> socket.socket | None:
        """The connection, in a worker; None in this process."""
        if self._leaving:  # just now
            return None
        try:
            asked, _ = self._listener.accept()
        except OSError:  # it has gone, or there is no descriptor left; it asks again
            return None
        with contextlib.ExitStack() as closing:
            closing.enter_context(asked)
            asked.settimeout(1.0)
            try:
                ends = _ends(asked)
                for end in ends:
                    closing.callback(os.close, end)
                pid = os.fork() if len(ends) == _ENDS else None
            except OSError as error:
                logger.error("no worker could be forked: %s", error)
                with contextlib.suppress(OSError):
                    asked.send(NO)
                return None
            if pid == 0:
                closing.pop_all()
                self._become(ends)
                return asked
            if pid is not None:
                self._workers.add(pid)
            return None

    def _become(self, ends: list[int]) -> None:
        """In a worker: closes what is the parent's, and has its own pipe where it belongs."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        self._listener.close()
        self._transport.close()
        for end, place in zip(ends, (3, 4), strict=True):
            _move(end, place)
        _seed()

    def _reap(self) -> None:
        """Of its workers only: what the application starts as it is imported it waits for."""
        for pid in [*self._workers]:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._workers.discard(pid)
                code = os.waitstatus_to_exitcode(status)
                said = struct.pack(">II", pid, 128 - code if code < 0 else code)
                self._transport.send_threadsafe(frames.encode(frames.EXITED, 0, said))

    def _outlive(self) -> None:
        """The BEAM has gone."""
        until = time.monotonic() + orphan.GRACE
        while self._workers and time.monotonic() < until:
            time.sleep(0.05)
            self._reap()
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)
        sys.exit(0)


def _ends(asked: socket.socket) -> list[int]:
    """The descriptors that are brought; none by another user."""
    raw = asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _pid, uid, _gid = _CREDENTIALS.unpack(raw)
    if uid != os.geteuid():
        logger.error("somebody else (UID %d) has asked for a worker, and gets none", uid)
        return []
    # One more than is wanted: what does not fit would be left out.
    _data, ends, _flags, _address = socket.recv_fds(asked, 1, _ENDS + 1)
    return ends


def _move(descriptor: int, place: int) -> None:
    if descriptor != place:
        os.dup2(descriptor, place)
        os.close(descriptor)


def _seed() -> None:
    """Python's own generator is seeded anew in a fork, by itself; these are not."""
    for module, name in (("numpy.random", "seed"), ("torch", "seed")):
        if (loaded := sys.modules.get(module)) is not None:
            with contextlib.suppress(Exception):
                getattr(loaded, name)()


def _noted(_signal: int, _frame: object) -> None:
    """A child has ended: `serve` is woken."""


def _no_reply(_call: int, _payload: bytes) -> None:
    """Nothing is called while the application is imported."""
