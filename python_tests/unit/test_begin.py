"""hornbeam_worker.server with a fake transport: when the task of a request begins."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast

import msgpack
import pytest

import hornbeam_erlang
from hornbeam_erlang import _trace
from hornbeam_worker import frames, logs
from hornbeam_worker.events import Events
from hornbeam_worker.frames import Frame
from hornbeam_worker.loader import Loaded
from hornbeam_worker.server import Server
from hornbeam_worker.transport import Transport

BOOT = {"window": 262_144, "body_prefetch": 262_144, "app": "", "factory": False, "lifespan": "off"}
EAGER = sys.version_info >= (3, 12)


class Sink:
    """A transport to nobody."""

    full = False

    def send(self, *_parts: bytes) -> None:
        """Drops a frame."""


class EventsOfNobody:
    def on_event(self, _payload: bytes) -> None:
        """None comes."""


class LogWindow:
    def on_credit(self, _payload: bytes) -> None:
        """None comes."""


def request(stream: int, path: bytes) -> Frame:
    return framed(stream, path, [(b"x-request-id", b"id of " + path)])


def framed(stream: int, path: bytes, headers: list[tuple[bytes, bytes]]) -> Frame:
    scope = msgpack.packb(
        ["GET", None, path, b"", "1.1", "http", "", None, None, headers, None], use_bin_type=True
    )
    return Frame(frames.REQUEST, stream, b"\x01" + len(scope).to_bytes(4, "big") + scope)


def server(seen: list[str], **boot: Any) -> Server:
    async def app(scope: Any, receive: Any, _send: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        name = " ".join(filter(None, (scope["path"], logs.request_id.get())))
        seen.append(name)
        await receive()
        await asyncio.sleep(0)
        assert asyncio.current_task() is task
        seen.append(f"{name} ends")

    made = Server(
        cast(Transport, Sink()), asyncio.get_running_loop(),
        {"request_id": False, "trace": False, **BOOT, **boot},
        cast(Events, EventsOfNobody()), cast(logs.Window, LogWindow()), lambda: Loaded(app, False),
    )  # fmt: skip
    made.app = app
    return made


@pytest.mark.parametrize("request_id", [False, True])
def test_in_the_next_turn_of_the_loop_and_in_order(request_id: bool) -> None:
    async def main() -> None:
        seen: list[str] = []
        worker = server(seen, request_id=request_id)
        for stream, path in enumerate((b"/a", b"/b"), 1):
            worker.deliver(request(stream, path))
        assert seen == [], "other frames of this read come first"
        await asyncio.sleep(0)
        ids = (" id of /a", " id of /b") if request_id else ("", "")
        begun = [f"/a{ids[0]}", f"/b{ids[1]}"]
        assert seen == begun
        for _ in range(5):
            await asyncio.sleep(0)
        assert seen == begun + [f"{text} ends" for text in begun]
        assert worker._cycles == {}
        assert logs.request_id.get() is None

    asyncio.run(main())


@pytest.mark.skipif(not EAGER, reason="Python before 3.12 has no eager tasks")
def test_without_a_turn_of_the_loop_for_each() -> None:
    """A callback for all of a read, and none for each task."""

    async def main() -> None:
        worker = server([])
        loop = asyncio.get_running_loop()
        before = len(loop._ready)  # type: ignore[attr-defined]
        for stream in range(1, 11):
            worker.deliver(request(stream, b"/"))
        assert len(loop._ready) == before + 1  # type: ignore[attr-defined]

    asyncio.run(main())


def test_by_the_task_factory_of_the_application() -> None:
    async def main() -> None:
        made = []

        def make(loop: Any, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
            made.append(coroutine.__qualname__)
            return asyncio.Task(coroutine, loop=loop, **options)

        seen: list[str] = []
        worker = server(seen)
        asyncio.get_running_loop().set_task_factory(make)
        worker.deliver(request(1, b"/a"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert (made, seen) == (["HTTPCycle.run"], ["/a", "/a ends"])

    asyncio.run(main())


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
FIELD = (b"traceparent", PARENT.encode())


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ([FIELD, (b"host", b"a")], PARENT),
        ([(b"host", b"a"), FIELD], PARENT),  # a hook has put another one before it
        ([(b"host", b"a")], None),
        ([], None),
        ([(b"traceparent", b"\xff")], None),
        ([(b"traceparent", PARENT.encode() + b"0")], None),
    ],
)
def test_each_task_knows_its_own_trace(
    headers: list[tuple[bytes, bytes]], told: str | None
) -> None:
    """And nothing else does: not the loop's reader, not a request without one."""

    async def main() -> None:
        seen: list[Any] = []

        async def app(scope: Any, _receive: Any, _send: Any) -> None:
            seen.append((scope["path"], _trace.traceparent()))

        worker = server([], trace=True)
        worker.app = app
        other = f"00-{TRACE}-{'1' * 16}-00"
        worker.deliver(framed(1, b"/a", [(b"traceparent", other.encode())]))
        worker.deliver(framed(2, b"/b", headers))
        assert _trace.traceparent() is None
        for _ in range(5):
            await asyncio.sleep(0)
        assert seen == [("/a", other), ("/b", told)]
        assert _trace.traceparent() is None

    asyncio.run(main())


def test_the_ids_of_a_trace() -> None:
    """Of what runs now; None where nothing is traced."""
    assert hornbeam_erlang.trace_ids() is None
    for flags, sampled in (("00", False), ("01", True), ("02", False), ("03", True)):
        with _trace.joined(f"00-{TRACE}-{SPAN}-{flags}"):
            assert hornbeam_erlang.trace_ids() == (TRACE, SPAN, sampled)
    assert hornbeam_erlang.trace_ids() is None
