"""Asks `preload` for a worker, and hands over the pipe that it was started with.

`hornbeam_python` runs this file by its path, isolated: `launch.py NAME`. It imports nothing of
Hornbeam's. NAME is that of an abstract Unix socket; until somebody there has answered it asks
again, for as long as the BEAM keeps the pipe. It ends when the worker has said hello (status 0), or
could not be forked (71).
"""

from __future__ import annotations

import select
import socket
import sys

__all__ = ["main"]

READ, WRITE = 3, 4
AGAIN_MS = 50
NO_WORKER = 71
WORKER = b"k"


def main(name: str) -> int:
    """The exit status."""
    pipe = select.poll()
    pipe.register(READ, 0)  # for its hang-up
    while True:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            if answer := ask(asking, name):
                return 0 if answer == WORKER else NO_WORKER
        if pipe.poll(AGAIN_MS):
            return NO_WORKER


def ask(asking: socket.socket, name: str) -> bytes:
    """What is answered; nothing where nobody is there, or no longer."""
    both = select.poll()
    both.register(READ, 0)
    both.register(asking, select.POLLIN)
    try:
        asking.connect(f"\0{name}")
        socket.send_fds(asking, [b"w"], [READ, WRITE])
        both.poll()
        asking.setblocking(False)
        return asking.recv(1)
    except OSError:
        return b""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
