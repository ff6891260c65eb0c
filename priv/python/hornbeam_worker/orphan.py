"""Ends a worker that the BEAM has left behind.

Called by `main` before anything of the application's runs. Usually the loop reads end-of-file and
ends by itself, with the lifespan's shutdown (`server`); this is for the loop that does not come
round. GRACE seconds after the BEAM has gone the process ends, whatever it does:

- a thread sees the pipe hang up, waits and exits. It needs the interpreter's lock, so it is of no
  help against C code that keeps that;
- on Linux the kernel sends a signal when our parent has ended (erl_child_setup, a process of one
  thread that ends with the BEAM), and its handler is alarm(2) itself, called with the number of the
  signal as its seconds. That needs no interpreter. SIGALRM then ends the process, unless the
  application handles that signal.

Elsewhere C code that keeps the lock for ever has to be killed by hand. A worker that was forked
has another parent, which kills it in time (`preload`), so the kernel is not told of it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Final

__all__ = ["GRACE", "leave_the_kernel_out", "tell_the_kernel", "watch"]

# SIGTRAP has the number 5 on every Linux, and nobody but a debugger of processes sends it.
_PARENT_HAS_ENDED: Final = signal.SIGTRAP
GRACE: Final = int(_PARENT_HAS_ENDED)
_PR_SET_PDEATHSIG: Final = 1


def watch(fd: int) -> None:
    """From now on this process ends with the BEAM, whose end of the pipe `fd` is the other one."""
    threading.Thread(target=_wait, args=(fd,), name="hornbeam-watch", daemon=True).start()


def tell_the_kernel() -> None:
    """The same, by the kernel. A BEAM that had gone before is seen by the first read."""
    if sys.platform != "linux":
        return
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
        libc.signal(_PARENT_HAS_ENDED, ctypes.cast(libc.alarm, ctypes.c_void_p))
        libc.prctl(_PR_SET_PDEATHSIG, int(_PARENT_HAS_ENDED))
    except (ImportError, OSError, AttributeError):  # no ctypes, or no such functions: the thread
        return


def leave_the_kernel_out() -> None:
    """Takes that back; it ends with a fork by itself."""
    with suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, 0)


def _wait(fd: int) -> None:
    # No events asked for: poll returns for hang-up and errors only.
    poller = select.poll()
    poller.register(fd, 0)
    poller.poll()
    time.sleep(GRACE)
    os._exit(70)
