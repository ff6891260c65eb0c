"""Questions about this process, and their answers: stacks, a profile, what it allocates.

Called by `server` for a DIAGNOSE frame, which imports this module with the first one. Its mirror is
`hornbeam_worker_questions`. A question is a number and a map with `what`; the answer has the same
number and a map, with `error` when there is none. What takes time runs in a thread, one of a kind
at a time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgpack

from hornbeam_worker import allocations, frames, sampler, stacks
from hornbeam_worker.host import Stream
from hornbeam_worker.transport import Transport

__all__ = ["Running", "answer"]

# A little less than what a frame takes (hornbeam_frame: ?MAX_ANSWER).
_LONGEST: Final = 8_000_000

_Question = dict[str, Any]
_Answer = dict[str, Any]

_going: set[str] = set()  # what runs in threads


class Running(NamedTuple):
    """What the worker has in progress: its streams, and which a WSGI application's threads have."""

    streams: Mapping[int, Stream]
    in_threads: Sequence[tuple[int, Stream]]


def answer(payload: bytes, transport: Transport, running: Running) -> None:
    """Answers one question, now or later. In the loop's thread."""
    number = payload[:4]
    question: _Question = msgpack.unpackb(payload[4:])

    def send(result: _Answer) -> None:
        transport.send_threadsafe(frames.encode(frames.DIAGNOSED, 0, number + _packed(result)))

    what = question.get("what")
    if what == "stacks":
        send({"text": stacks.of_process(running.streams, running.in_threads)})
    elif what == "streams":
        send({"texts": _of_streams(question["streams"], running)})
    elif what == "profile":
        loop, ident = asyncio.get_running_loop(), threading.get_ident()
        _in_thread("profile", lambda: sampler.sample(question["seconds"], loop, ident), send)
    elif what == "memory":
        _in_thread("memory", lambda: {"text": allocations.grown(question["seconds"])}, send)
    else:
        send({"error": f"no such question: {what}"})


def _of_streams(numbers: list[int], running: Running) -> dict[int, str]:
    found = {number: running.streams.get(number) for number in numbers}
    return {
        number: stacks.of_stream(stream, running.in_threads)
        for number, stream in found.items()
        if stream is not None
    }


def _in_thread(what: str, make: Callable[[], _Answer], send: Callable[[_Answer], None]) -> None:
    if what in _going:
        send({"error": f"somebody else has asked for this already ({what})"})
        return
    _going.add(what)

    def run() -> None:
        try:
            result = make()
        except Exception as error:
            result = {"error": f"{type(error).__name__}: {error}"}
        finally:
            _going.discard(what)
        send(result)

    threading.Thread(target=run, name=f"hornbeam-{what}", daemon=True).start()


def _packed(result: _Answer) -> bytes:
    clean = {
        key: _clean(value) if isinstance(value, str) else value for key, value in result.items()
    }
    packed: bytes = msgpack.packb(clean)
    if len(packed) <= _LONGEST:
        return packed
    return msgpack.packb({"error": "the answer is too large"})


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
