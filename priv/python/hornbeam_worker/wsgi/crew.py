"""The threads of a worker that runs a WSGI application, and whether they get on.

Called by `server`, in the loop's thread: a request goes straight from its frame into the queue of
the threads, which run it and write its response by themselves; the loop makes no task for it and
hears nothing of it.

Threads are as many as `threads` says, from the beginning to the end of the process, so that what an
application keeps in each (a connection to a database) is kept. They are daemons: one that hangs
does not keep the process from ending.

A thread hangs when nobody waits for its request any more and it does not come back from it. Erlang
gives it no other request (hornbeam_worker_streams keeps its place). When all of them do so from
one ping to the next, their stacks are logged and the figures say `hung`: the worker is then
replaced.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from hornbeam_erlang import _trace
from hornbeam_worker import logs
from hornbeam_worker.host import Host
from hornbeam_worker.wsgi.cycle import Cycle
from hornbeam_worker.wsgi.environ import Environ
from hornbeam_worker.wsgi.errors import Errors
from hornbeam_worker.wsgi.files import FileWrapper

__all__ = ["Crew"]

logger = logging.getLogger("hornbeam.wsgi")

# A longer dump is cut: a record of a log has 64 KiB.
LONGEST: Final = 60_000


class Crew:
    """Runs requests; `finished` is told of the end of each, in the thread that ran it."""

    def __init__(
        self,
        host: Host,
        threads: int,
        *,
        multiprocess: bool,
        request_ids: bool,
        traces: bool,
        finished: Callable[[int], None],
    ) -> None:
        self._host = host
        self._finished = finished
        self._queue: SimpleQueue[tuple[int, Cycle]] = SimpleQueue()
        common = {
            "wsgi.version": (1, 0),
            "wsgi.multithread": threads > 1,
            "wsgi.multiprocess": multiprocess,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "wsgi.file_wrapper": FileWrapper,
            "SERVER_SOFTWARE": "hornbeam",
        }
        self._members = [_Member(common, request_ids, traces) for _ in range(threads)]
        self._before: list[Cycle | None] = []  # what they ran when they were last looked at
        self._told = False

    def start(self) -> None:
        """Starts the threads."""
        for number, member in enumerate(self._members, 1):
            name = f"hornbeam-wsgi-{number}"
            member.thread = threading.Thread(
                target=self._work, args=(member,), name=name, daemon=True
            )
            member.thread.start()

    def cycle(self, stream: int, payload: bytes) -> Cycle:
        """A request, for `run`."""
        return Cycle(self._host, stream, payload)

    def run(self, stream: int, cycle: Cycle) -> None:
        """Has a request run by the next thread that is free."""
        self._queue.put((stream, cycle))

    def running(self) -> list[tuple[int, Cycle]]:
        """The requests that threads have, by the threads' idents. In the loop's thread."""
        members = [(member.thread, member.cycle) for member in self._members]
        return [(thread.ident or 0, cycle) for thread, cycle in members if thread and cycle]

    def look(self) -> bool:
        """Whether all threads hang, as of this and the last look. In the loop's thread."""
        now = [member.cycle for member in self._members]
        over = all(cycle is not None and cycle.is_over() for cycle in now)
        hung = over and now == self._before
        self._before = now if over else []
        if hung and not self._told:
            self._told = True
            logger.error(
                "all threads of this worker (threads: %d) hang in requests that were given up, "
                "and it is replaced. Their stacks:\n%s",
                len(now),
                self._stacks(),
            )
        return hung

    def _work(self, member: _Member) -> None:
        take = self._queue.get
        while True:
            stream, cycle = take()
            member.cycle = cycle
            cycle.run(member)
            member.cycle = None
            self._finished(stream)
            del cycle

    def _stacks(self) -> str:
        now = sys._current_frames()
        texts = []
        for member in self._members:
            if member.thread is not None and (frame := now.get(member.thread.ident or 0)):
                stack = "".join(traceback.format_stack(frame))
                texts.append(f"{member.thread.name}:\n{stack}")
        return "\n".join(texts)[-LONGEST:]


class _Member:
    """One thread, and what it lends to its requests."""

    def __init__(self, common: Environ, request_ids: bool, traces: bool) -> None:
        self.thread: threading.Thread | None = None
        self.cycle: Cycle | None = None
        self.changed = threading.Condition()
        self._errors = Errors()
        self._request_ids = request_ids
        self._traces = traces
        self.common: Environ = {**common, "wsgi.errors": self._errors}

    def began(self, environ: Environ) -> None:
        """As `Place` has it: log lines of this thread have the request's id and
        trace from now on."""
        if self._request_ids:
            number = environ.get("HTTP_X_REQUEST_ID", "")
            environ["hornbeam.request_id"] = number
            logs.request_id.set(number)
        if self._traces and (parent := environ.get("HTTP_TRACEPARENT")):
            _trace.current.set(parent.encode("latin-1"))

    def ended(self) -> None:
        """As `Place` has it."""
        self._errors.flush()
        if self._request_ids:
            logs.request_id.set(None)
        if self._traces:
            _trace.current.set(None)
