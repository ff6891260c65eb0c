"""What a worker says of itself: figures in each pong, and its stacks when it cannot answer.

Called by `server`. The reader is `hornbeam_worker_health`: it sends the signal and reads the file
through /proc.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import threading
from typing import Final

__all__ = ["Stacks", "figures"]

# A real-time signal that applications hardly use for themselves; SIGUSR1 and SIGUSR2 stay theirs.
_DUMP_SIGNAL: Final = signal.SIGRTMAX - 3 if sys.platform == "linux" else None


def figures(running: int) -> dict[str, int]:
    """`running`: streams in progress. Cheap, for it is asked for every other second."""
    return {
        "running": running,
        "threads": threading.active_count(),
        "collections": gc.get_stats()[2]["collections"],
    }


class Stacks:
    """Writes the stack of every thread into a file without a name when the signal comes.

    faulthandler does it in the signal handler itself, so it works while the loop is blocked and
    while other code holds the interpreter's lock. `address`: the file's descriptor and the signal's
    number, or None where there is no /proc to read it through.
    """

    def __init__(self) -> None:
        self.address: tuple[int, int] | None = None
        if _DUMP_SIGNAL is None:
            return
        self._file = os.memfd_create("hornbeam-stacks", os.MFD_CLOEXEC)
        faulthandler.register(_DUMP_SIGNAL, self._file, all_threads=True)
        self.address = (self._file, int(_DUMP_SIGNAL))

    def forget(self) -> None:
        """Empties the file: the loop runs again, and what was written is of no interest."""
        if self.address is not None and os.lseek(self._file, 0, os.SEEK_CUR):
            os.ftruncate(self._file, 0)
            os.lseek(self._file, 0, os.SEEK_SET)
