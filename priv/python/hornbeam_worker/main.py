"""The life of a worker process, from the first frame to the last.

hello -> (boot arrives) -> load the application -> lifespan start-up -> ready -> serve -> (stop
arrives) -> lifespan shutdown -> exit 0. A start that fails says so in a `failed` frame and exits 3.
"""

from __future__ import annotations

import io
import sys
from typing import NoReturn

from hornbeam_worker import frames, orphan
from hornbeam_worker.failure import FAILED, FailureKind, StartFailure
from hornbeam_worker.transport import Transport

__all__ = ["main"]

OLDEST = (3, 10)


def main() -> NoReturn:
    """Runs the worker; called once, by `__main__`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Whole lines, at once, even when it is a pipe or PYTHONUNBUFFERED is set (which makes two
        # writes of a print): the lines of several workers do not mix.
        sys.stdout.reconfigure(line_buffering=True, write_through=False)
    transport = Transport()
    orphan.watch(transport.read_fd())
    transport.send_threadsafe(
        frames.encode(frames.HELLO, 0, frames.PROTOCOL_VERSION.to_bytes(2, "big") + b"\x80")
    )
    try:
        check_interpreter()
        # Imports msgpack, so only now.
        from hornbeam_worker.server import run

        status = run(transport)
    except StartFailure as failure:
        transport.send_threadsafe(failure.frame())
        status = FAILED
    transport.flush_blocking()
    sys.exit(status)


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
