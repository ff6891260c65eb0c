"""The life of a worker process, from the first frame to the last.

hello -> (boot arrives) -> load the application -> lifespan start-up -> ready -> serve -> (stop
arrives) -> lifespan shutdown -> exit 0. A start that fails says so in a `failed` frame and exits 3.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from hornbeam_worker import frames, health, orphan
from hornbeam_worker.failure import FAILED, FailureKind, StartFailure
from hornbeam_worker.transport import Transport

if TYPE_CHECKING:
    from hornbeam_worker.preload import Forked

__all__ = ["main"]

OLDEST = (3, 10)
OOM_SCORE = 500
# What a shell reports of a program that SIGINT has ended.
INTERRUPTED = 130


def main(arguments: list[str]) -> NoReturn:
    """Runs the worker, or, with "preload" and a name, what forks workers; called once, by
    `__main__`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Whole lines, at once, even when it is a pipe or PYTHONUNBUFFERED is set (which makes two
        # writes of a print): the lines of several workers do not mix.
        sys.stdout.reconfigure(line_buffering=True, write_through=False)
    leave_signals_to_the_vm()
    offer_to_the_kernel()
    restore_descriptor_limit()
    orphan.tell_the_kernel()
    transport, preloaded = Transport(), None
    if arguments:
        forked = preload(transport, arguments[1])
        leave_signals_to_the_vm()
        transport, preloaded = Transport(), forked.preloaded
        begin(transport, os.getpid())
        forked.answer()
    else:
        begin(transport)
    with told(transport):
        check_interpreter()
        # Imports msgpack, so only now.
        from hornbeam_worker.server import run

        status = run(transport, preloaded)
    transport.flush_blocking()
    sys.exit(status)


def preload(transport: Transport, name: str) -> Forked:
    """Returns in each worker, forked when the application has been imported."""
    transport.send_threadsafe(hello({}))
    with told(transport):
        check_interpreter()
        from hornbeam_worker.preload import run

        return run(transport, name)


def begin(transport: Transport, pid: int | None = None) -> None:
    """Says hello. `pid`: of a process that the VM has not started itself."""
    orphan.watch(transport.read_fd())
    about = {"crash": health.keep_crash(), "pid": pid}
    transport.send_threadsafe(hello({key: n for key, n in about.items() if n is not None}))


@contextmanager
def told(transport: Transport) -> Iterator[None]:
    """The BEAM is told why a worker cannot start, which ends the process."""
    try:
        yield
    except StartFailure as failure:
        transport.send_threadsafe(failure.frame())
        status = FAILED
    except KeyboardInterrupt:  # raised by the application: a traceback would be of no use
        status = INTERRUPTED
    else:
        return
    transport.flush_blocking()
    sys.exit(status)


def hello(about: dict[str, int]) -> bytes:
    """The first frame. Its msgpack is made by hand: the package may be what is missing."""
    packed = bytes([0x80 + len(about)])
    for key, number in about.items():
        packed += bytes([0xA0 + len(key)]) + key.encode() + b"\xce" + number.to_bytes(4, "big")
    return frames.encode(frames.HELLO, 0, frames.PROTOCOL_VERSION.to_bytes(2, "big") + packed)


def leave_signals_to_the_vm() -> None:
    """The BEAM says when to stop; a signal to the whole group (a terminal's Ctrl-C, systemd's stop)
    must not come before it, nor end in a traceback, from here to the end of the process.

    Handlers, not SIG_IGN, which child processes would inherit; not the loop's, which go with it. A
    forked child has Python's own again: it could not be terminated otherwise.
    """

    def ignore(_number: int, _frame: object) -> None:
        pass

    before = {number: signal.signal(number, ignore) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            if signal.getsignal(number) is ignore:
                signal.signal(number, handler)

    os.register_at_fork(after_in_child=restore)


def offer_to_the_kernel() -> None:
    """When memory is used up, the kernel had better kill this process than the VM.

    The application leaks more often than the VM, and its worker is started again within a moment.
    Linux adds so many thousandths of all the memory there is to what the process takes itself.
    """
    with suppress(OSError, ValueError):
        path = "/proc/self/oom_score_adj"
        with open(path) as file:  # noqa: PTH123  (pathlib is not imported for this)
            own = int(file.read())
        with open(path, "w") as file:  # noqa: PTH123
            file.write(str(min(1000, own + OOM_SCORE)))


def restore_descriptor_limit() -> None:
    """Gives the application the soft limit of open files that the server itself was started with.

    The launcher raises its own to the hard one, for connections. A worker would inherit that; but
    select(2) fails, or worse, with a descriptor above 1023, and who closes "all" descriptors before
    an exec counts up to the limit. An application that wants more raises it itself.
    """
    soft = os.environ.pop("HORNBEAM_SOFT_NOFILE", "")
    if soft.isdecimal():
        import resource

        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (int(soft), hard))


def check_interpreter() -> None:
    """StartFailure when this interpreter cannot run a worker."""
    if sys.version_info < OLDEST:
        version = ".".join(map(str, sys.version_info[:3]))
        raise StartFailure(
            FailureKind.PYTHON_UNSUPPORTED,
            f"{sys.executable} is Python {version}; "
            f"Hornbeam needs {OLDEST[0]}.{OLDEST[1]} or newer",
        )
    try:
        import msgpack  # noqa: F401
    except ModuleNotFoundError:
        raise StartFailure(FailureKind.MSGPACK_MISSING, sys.executable) from None
