"""Descriptors 3 and 4 <-> frames: the only file of the worker that does I/O with the BEAM.

Descriptor 3 is read, 4 is written (Erlang's `nouse_stdio`); stdin, stdout and stderr stay the
application's own. Both are moved to other numbers that no child process inherits.

Writing. In the loop's thread frames are collected and written once per iteration of the loop: the
flush is scheduled by the first frame and runs behind everything that was ready then. Other threads
write at once, under the lock that keeps frames whole. The BEAM always reads, so a full pipe is
short-lived; what it does not take is kept and written when the loop says that the pipe has room.
Small frames are joined; of large ones no byte is copied, however much waits. While more than `MUCH`
does, the transport is `full`: those who send bodies wait in `room`, so that ten thousand responses
that begin at once (each with a window of its own) are neither all held here nor all in front of the
next pong.

Reading. The loop calls `receive` when there is something. A synchronous call from the loop's
thread (`wait_in_loop`) reads by itself until its own reply has come: replies are resolved at once,
and so is what is urgent (`_is_urgent`), which starts or wakes others but runs nothing of the
application's here; all other frames are kept in order for the loop's next iteration. Neither sees
the context variables of whoever has made the call. It polls
for `poll_time` before it blocks, since waking a sleeping process is the greater part of what a call
costs.

End. End-of-file means that the BEAM is gone: `on_eof` is called. If the loop is blocked: `orphan`.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import fcntl
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

from hornbeam_worker import frames
from hornbeam_worker.frames import Decoder, Frame

__all__ = ["Transport"]

# For one reply; a larger buffer costs more to allocate than the call itself.
SMALL_READ: Final = 16_384
# Bytes that wait for the pipe, from which on it is full: what a pipe holds.
MUCH: Final = 1_048_576
# Parts of frames that are collected before they are written within an iteration of the loop.
MANY: Final = 128
# Parts that the kernel takes at once (Linux: IOV_MAX).
MOST: Final = 1024
# What is less is joined before it is written: cheaper than to hand over each part.
JOINED: Final = 32_768
# How many of those in `room` go on at once: each sends a window at most.
TURNS: Final = 16
_F_SETPIPE_SZ: Final = 1031
_URGENT: Final = frozenset((frames.EVENT, frames.INVOKE, frames.PERFORM))
_PIPE_SIZE: Final = 1_048_576


class Transport:
    """The pipe to the BEAM. `poll_time`: see "Reading", in seconds."""

    def __init__(self) -> None:
        self.poll_time = 0.0
        self._deliver: Callable[[Frame], None] = _drop
        self._on_reply: Callable[[int, bytes], None] = _drop
        self._on_eof: Callable[[], None] = _drop
        self._read_fd = _own(3)
        self._write_fd = _own(4)
        self._decoder = Decoder()
        self._deferred: list[Frame] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context = contextvars.copy_context()  # of nobody's request
        self._lock = threading.Lock()
        self._pending: list[
            bytes | bytearray | memoryview
        ] = []  # of the loop's thread, not yet handed over
        self._scheduled = False
        # What the full pipe did not take, and how many bytes it is; guarded by _lock
        self._unwritten: deque[memoryview] = deque()
        self._waiting = 0
        self._turns: deque[asyncio.Future[None]] = deque()  # who is in `room`
        self._eof = False

    def read_fd(self) -> int:
        """The descriptor that hangs up when the BEAM has gone."""
        return self._read_fd

    def at_eof(self) -> bool:
        """Whether the BEAM has closed its end."""
        return self._eof

    def close(self) -> None:
        """Gives up the pipe, which another process has as well: a fork's. What was not written
        is written there."""
        os.close(self._read_fd)
        os.close(self._write_fd)

    def read_first(self) -> Frame:
        """Blocks for the first frame, before there is a loop; ConnectionError if none comes."""
        first: list[Frame] = []
        while not first:
            self._block()
            first = self._read()
            if self._eof:
                raise ConnectionError("the Erlang side has gone")
        self._deferred = first[1:]
        return first[0]

    def attach(
        self,
        deliver: Callable[[Frame], None],
        on_reply: Callable[[int, bytes], None],
        on_eof: Callable[[], None],
    ) -> None:
        """Says who gets what: `deliver` every frame but REPLY, which goes to `on_reply`."""
        self._deliver, self._on_reply, self._on_eof = deliver, on_reply, on_eof

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Attaches to the running loop. Frames sent before are written now."""
        self._loop = loop
        self._context = contextvars.copy_context()
        loop.add_reader(self._read_fd, self.receive)
        loop.call_soon(self._deliver_deferred)
        self.flush()
        if self._unwritten:  # since before there was a loop to wait for room
            self._await_room()

    # Writing

    def send(self, *parts: bytes | bytearray | memoryview) -> None:
        """Queues an encoded frame, whole or in parts. Loop's thread only."""
        self._pending.extend(parts)
        if not self._scheduled:
            self._scheduled = True
            if self._loop is not None:
                self._loop.call_soon(self.flush)
        elif len(self._pending) > MANY and self._loop is not None:
            self._hand_over()

    def is_newest(self, frame: bytearray) -> bool:
        """Whether that frame waits to be written, and nothing was queued after it."""
        return bool(self._pending) and self._pending[-1] is frame

    async def room(self) -> None:
        """Returns when more may be sent: at once unless the transport is `full`."""
        if self.full and self._loop is not None:
            turn: asyncio.Future[None] = self._loop.create_future()
            self._turns.append(turn)
            await turn

    def send_threadsafe(self, *parts: bytes | bytearray | memoryview) -> None:
        """Writes an encoded frame, whole or in parts, at once, from any thread."""
        with self._lock:
            self._write(list(parts))

    def send_soon(self, data: bytes) -> None:
        """Has the loop write an encoded frame; from any thread, without taking a lock."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the worker ends
                self._loop.call_soon_threadsafe(self.send, data)

    def flush(self) -> None:
        """Writes what was queued. Loop's thread only."""
        self._scheduled = False
        self._hand_over()

    def _hand_over(self) -> None:
        pending, self._pending = self._pending, []
        if pending:
            with self._lock:
                self._write(pending)

    def flush_blocking(self) -> None:
        """Writes everything, however long the pipe takes: for the last words of a process."""
        self.flush()
        with self._lock, contextlib.suppress(BrokenPipeError):
            os.set_blocking(self._write_fd, True)
            self._write_waiting()

    @property
    def full(self) -> bool:
        """Whether so much waits for the pipe that more should not come."""
        return self._waiting > MUCH

    def _write(self, parts: list[bytes | bytearray | memoryview]) -> None:
        size, written = sum(map(len, parts)), 0
        if size < JOINED:
            parts = [b"".join(parts)]
        if not self._unwritten:
            try:
                if len(parts) == 1:
                    written = os.write(self._write_fd, parts[0])
                else:
                    written = os.writev(self._write_fd, parts[:MOST])
            except BlockingIOError:
                pass
            except BrokenPipeError:
                return  # the BEAM is gone; end-of-file follows
            if written == size:
                return
            if self._loop is not None:
                with contextlib.suppress(RuntimeError):  # the loop is closed: the worker ends
                    self._loop.call_soon_threadsafe(self._await_room)
        self._unwritten.extend(map(memoryview, parts))
        self._waiting += size
        self._took(written)

    def _took(self, written: int) -> None:
        """Forgets what has been written of what waits."""
        self._waiting -= written
        while self._unwritten and written >= len(self._unwritten[0]):
            written -= len(self._unwritten.popleft())
        if written:
            self._unwritten[0] = self._unwritten[0][written:]

    def _await_room(self) -> None:
        if self._loop is not None:
            self._loop.add_writer(self._write_fd, self._writable)

    def _writable(self) -> None:
        with self._lock:
            try:
                self._write_waiting()
            except BrokenPipeError:
                self._unwritten.clear()
                self._waiting = 0
            if not self._unwritten and self._loop is not None:
                self._loop.remove_writer(self._write_fd)
        self._take_turns()

    def _write_waiting(self) -> None:
        """Writes what waits, until the pipe takes no more of it."""
        while self._unwritten:
            try:
                written = os.writev(self._write_fd, list(islice(self._unwritten, MOST)))
            except BlockingIOError:
                return
            self._took(written)

    def _take_turns(self) -> None:
        """Lets some of those who wait go on, and others after them."""
        if self.full:
            return
        for _ in range(min(TURNS, len(self._turns))):
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)
        if self._turns and self._loop is not None:
            self._loop.call_soon(self._take_turns)

    # Reading

    def receive(self) -> None:
        """Reads what is there, and delivers it. The loop's; without a loop anybody's."""
        if self._deferred:
            self._deliver_deferred()
        for frame in self._read():
            if frame.type == frames.REPLY:
                self._on_reply(frame.stream, frame.payload)
            else:
                self._deliver(frame)

    def _read(self) -> list[Frame]:
        wanted = self._decoder.wants()
        try:
            data = os.read(self._read_fd, wanted)
        except BlockingIOError:
            return []
        if not data:
            self._at_eof()
            return []
        found = self._decoder.feed(data)
        if not found and wanted == frames.HEADER_SIZE:
            return self._read()  # the payload: it is mostly there, too
        return found

    def _at_eof(self) -> None:
        if not self._eof:
            self._eof = True
            if self._loop is not None:
                self._loop.remove_reader(self._read_fd)
                self._loop.call_soon(self._on_eof)

    def _deliver_deferred(self) -> None:
        deferred, self._deferred = self._deferred, []
        for frame in deferred:
            self._deliver(frame)

    def exchange(self, frame: bytes, number: int) -> bytes | None:
        """Writes a call and returns the payload of its reply, if that comes while this polls, and
        comes alone; else None, and `wait_in_loop` has to wait for it.

        Loop's thread only. Most synchronous calls end here, without the general way: scheduling a
        flush, the decoder, the table of calls.
        """
        if self._pending or self._unwritten or not self._decoder.is_empty():
            self.send(frame)
            return None
        with self._lock:
            self._write([frame])
        until = time.perf_counter() + self.poll_time
        while True:
            try:
                data = os.read(self._read_fd, SMALL_READ)
            except BlockingIOError:
                if time.perf_counter() > until:
                    return None
                os.sched_yield()  # on busy cores it may be the BEAM that waits for this one
                continue
            reply = frames.only_reply(data, number)
            if reply is None:
                self._take(data)
            return reply

    def wait_in_loop(self, done: Callable[[], object], timeout: float | None = None) -> None:
        """Reads in the loop's thread until `done()` or for `timeout` seconds; ConnectionError at
        the end."""
        self.flush()
        started = time.perf_counter()
        poll_until = started + self.poll_time
        while True:
            if done():
                return
            received = self._receive()
            if not received and not done():
                if self._eof:
                    raise ConnectionError("the Erlang side has gone")
                now = time.perf_counter()
                left = None if timeout is None else started + timeout - now
                if left is not None and left <= 0:
                    return
                if now > poll_until:
                    self._block(left)

    def _receive(self) -> bool:
        """Reads once, within a synchronous call; whether something came."""
        try:
            data = os.read(self._read_fd, self._decoder.wants())
        except BlockingIOError:
            return False
        self._take(data)
        return bool(data)

    def _take(self, data: bytes) -> None:
        """Handles what was read within a synchronous call."""
        if not data:
            self._at_eof()
            return
        for frame in self._decoder.feed(data):
            if frame.type == frames.REPLY:
                self._on_reply(frame.stream, frame.payload)
            elif _is_urgent(frame):
                self._context.copy().run(self._deliver, frame)
            else:
                if not self._deferred and self._loop is not None:
                    context = self._context.copy()
                    self._loop.call_soon(self._deliver_deferred, context=context)
                self._deferred.append(frame)

    def _block(self, seconds: float | None = None) -> None:
        poller = select.poll()
        poller.register(self._read_fd, select.POLLIN)
        if self._unwritten:
            poller.register(self._write_fd, select.POLLOUT)
        for fd, _event in poller.poll(None if seconds is None else seconds * 1000):
            if fd == self._write_fd:
                self._writable()


def _is_urgent(frame: Frame) -> bool:
    kind = frame.type
    return kind in _URGENT or (kind == frames.CREDIT and not frame.stream)


def _drop(*_arguments: object) -> None:
    """Before `attach` nobody is there."""


def _own(fd: int) -> int:
    """Moves a pipe's end to a number of its own: closed on exec, non-blocking, a larger buffer."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(fd)
    os.set_blocking(moved, False)
    with contextlib.suppress(OSError):  # a limit of the system's; the pipe then keeps its size
        fcntl.fcntl(moved, _F_SETPIPE_SZ, _PIPE_SIZE)
    return moved
