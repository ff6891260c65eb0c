"""What a worker says of itself: figures in each pong, and its stacks when it cannot answer.

Called by `server`. The reader is `hornbeam_worker_health`: it sends the signal and reads the file
through /proc.
"""

from __future__ import annotations

import faulthandler
import fcntl
import gc
import os
import signal
import sys
import threading
from typing import Final

__all__ = ["figures", "offer_stacks"]

# A real-time signal that applications hardly use for themselves; SIGUSR1 and SIGUSR2 stay theirs.
_DUMP_SIGNAL: Final = signal.SIGRTMAX - 3 if sys.platform == "linux" else None


def figures(running: int) -> dict[str, int]:
    """`running`: streams in progress. Cheap, for it is asked for every other second."""
    return {
        "running": running,
        "threads": threading.active_count(),
        "collections": gc.get_stats()[2]["collections"],
    }


def offer_stacks() -> tuple[int, int] | None:
    """From now on a signal writes the stack of every thread into a file without a name.

    Returns the file's descriptor and the signal's number, or None where there is no /proc to read
    the file through. faulthandler writes in the signal handler itself, so it works while the loop
    is blocked, also in a debugger, and while other code holds the interpreter's lock. The reader
    empties the file before each signal, so what is written goes to its end (O_APPEND).
    """
    if _DUMP_SIGNAL is None:
        return None
    file = os.memfd_create("hornbeam-stacks", os.MFD_CLOEXEC)
    fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)
    faulthandler.register(_DUMP_SIGNAL, file, all_threads=True)
    return file, int(_DUMP_SIGNAL)
