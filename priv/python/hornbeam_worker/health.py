"""What a worker says of itself: figures in each pong, its stacks when it cannot answer, and what is
left of it when it crashes.

Called by `server` and `main`. The readers are `hornbeam_worker_health`, which sends the signal and
reads the file through /proc, and `hornbeam_worker_crash`, which holds the file open as well.
"""

from __future__ import annotations

import faulthandler
import fcntl
import gc
import os
import resource
import signal
import sys
import threading
from typing import Final

__all__ = ["figures", "keep_crash", "offer_stacks"]

# A real-time signal that applications hardly use for themselves; SIGUSR1 and SIGUSR2 stay theirs.
_DUMP_SIGNAL: Final = signal.SIGRTMAX - 3 if sys.platform == "linux" else None
# What ru_maxrss counts.
_MAXRSS: Final = 1 if sys.platform == "darwin" else 1024


def figures(running: int) -> dict[str, int]:
    """`running`: streams in progress. Cheap, for it is asked for every other second."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "running": running,
        "threads": threading.active_count(),
        "collections": gc.get_stats()[2]["collections"],
        "max_memory": usage.ru_maxrss * _MAXRSS,
        "cpu": int((usage.ru_utime + usage.ru_stime) * 1000),
    }


def keep_crash() -> int | None:
    """From now on a crash of the interpreter (a signal such as SIGSEGV) leaves the stack of every
    thread in the file whose descriptor this returns; None where there is none, or faulthandler
    writes elsewhere already (PYTHONFAULTHANDLER). The application may say otherwise."""
    if faulthandler.is_enabled() or (file := _file()) is None:
        return None
    faulthandler.enable(file, all_threads=True)
    return file


_files: list[int] = []


def _file() -> int | None:
    """The one for crashes and for stacks: without a name, written at its end."""
    if sys.platform != "linux":
        return None
    if not _files:
        file = os.memfd_create("hornbeam-stacks", os.MFD_CLOEXEC)
        fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)
        _files.append(file)
    return _files[0]


def offer_stacks() -> tuple[int, int] | None:
    """From now on a signal writes the stack of every thread into a file without a name.

    Returns the file's descriptor and the signal's number, or None where there is no /proc to read
    the file through. faulthandler writes in the signal handler itself, so it works while the loop
    is blocked, also in a debugger, and while other code holds the interpreter's lock. The reader
    empties the file before each signal, so what is written goes to its end (O_APPEND).
    """
    if _DUMP_SIGNAL is None or (file := _file()) is None:
        return None
    faulthandler.register(_DUMP_SIGNAL, file, all_threads=True)
    return file, int(_DUMP_SIGNAL)
