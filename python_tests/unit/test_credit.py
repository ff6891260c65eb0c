"""Flow control: the rule of hornbeam_worker.credit, and the cycles that keep it, each with a model
of Erlang's side. Whatever the windows, sizes and orders: nothing hangs, and no limit is passed."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hornbeam_worker import credit, frames
from hornbeam_worker.asgi.http import HTTPCycle
from hornbeam_worker.asgi.websocket import WebSocketCycle
from hornbeam_worker.credit import Piece, Sender
from hornbeam_worker.host import Host

VECTORS = json.loads((Path(__file__).parents[2] / "test" / "wire_vectors.json").read_text())
STREAM = 7
CREDITED = (frames.RESPONSE, frames.DATA, frames.WS_SEND_TEXT, frames.WS_SEND_BYTES)

windows = st.one_of(st.integers(1, 10), st.integers(1, 2000), st.just(262_144))
# Around the windows and their quarters, as the 1 and 262,143 that once hung.
sizes = st.one_of(
    *(st.integers(0, 3), st.integers(200, 1100)),
    *(st.integers(65_470, 65_540), st.integers(262_070, 262_150)),
)
# What happens next: "turn" lets the tasks run, "arrive" has Erlang take a frame, "credit" brings
# one credit frame back.
orders = st.lists(st.sampled_from(["turn", "arrive", "arrive", "credit"]), max_size=60)


@pytest.mark.parametrize(
    ("rule", "vector"), [(rule, row) for rule, rows in VECTORS["credit"].items() for row in rows]
)
def test_vectors(rule: str, vector: list[Any]) -> None:
    *arguments, expected = vector
    assert getattr(credit, rule)(*arguments) == expected


class Erlang:
    """The other side of one stream, with a window in each direction: counts and checks."""

    full = False

    def __init__(self, window: int, prefetch: int = 65_536) -> None:
        self.window, self.prefetch, self.piece = window, prefetch, max(1, window // 4)
        self.measure = None
        self.loop = asyncio.get_running_loop()
        self.transport = self
        self.on_credit: Callable[[int], None] = lambda _count: None
        self.pieces: deque[bytes | bytearray] = deque()  # frames on their way
        self.arrived: list[bytes] = []
        self.uncredited = 0
        self._taken = 0
        self._credits: deque[int] = deque()
        # The other direction: what has been given and is not reported as taken.
        self.unread = 0

    def send(self, *parts: bytes | bytearray | memoryview) -> None:
        """What Python queues. It may grow (`is_newest`) until the next step, when it is written."""
        frame = parts[0] if isinstance(parts[0], bytearray) else b"".join(parts)
        if frame[4] == frames.DEMAND:
            self.unread -= int.from_bytes(frame[10:14], "big")
            assert self.unread >= 0
        elif frame[4] in CREDITED:
            self.pieces.append(frame)

    def is_newest(self, frame: bytearray) -> bool:
        return bool(self.pieces) and self.pieces[-1] is frame

    def weight(self, frame: bytes) -> int:
        """What a frame counts."""
        assert int.from_bytes(frame[:4], "big") == len(frame) - 4
        if frame[4] == frames.RESPONSE:
            return len(frame) - 16 - int.from_bytes(frame[12:16], "big")
        return len(frame) - 10 + (0 if frame[4] == frames.DATA else 64)

    def arrive(self) -> None:
        """Erlang takes a frame: no sender may have gone beyond the window before."""
        if self.pieces:
            frame = bytes(self.pieces.popleft())
            count = self.weight(frame)
            assert self.uncredited < self.window
            self.arrived.append(frame)
            self.uncredited += count
            self._taken += count
            if self._taken * 4 >= self.window:
                self.uncredited -= self._taken
                self._credits.append(self._taken)
                self._taken = 0

    def credit(self) -> None:
        """A credit frame reaches Python."""
        if self._credits:
            self.on_credit(self._credits.popleft())

    async def run(self, order: list[str], tasks: list[asyncio.Task[None]]) -> None:
        """The order first, then everything in turn until the tasks are done, which must come."""
        for step in order:
            await self._step(step)
        for _ in range(30_000):
            if all(task.done() for task in tasks):
                break
            for step in ("turn", "arrive", "credit"):
                await self._step(step)
        assert all(task.done() for task in tasks), "a sender hangs"
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _step(self, step: str) -> None:
        self.pieces = deque(map(bytes, self.pieces))
        if step == "turn":
            await asyncio.sleep(0)
        else:
            getattr(self, step)()

    def finished(self, stream: int) -> None:
        """A cycle's application has returned."""
        assert stream == STREAM


def sized(size: int, mark: int) -> Piece:
    """A piece that counts `size`; its frame says whose it is."""
    return size, (mark.to_bytes(4, "big"),)


class Line(Erlang):
    """For a Sender alone: its pieces are no frames but their marks."""

    def __init__(self, window: int) -> None:
        super().__init__(window)
        self.counts: dict[bytes, int] = {}

    def send(self, *parts: bytes | bytearray | memoryview) -> None:
        self.pieces.append(b"".join(parts))

    def weight(self, frame: bytes) -> int:
        return self.counts[frame]


messages = st.lists(sizes, min_size=1, max_size=4)  # each a list of its pieces


@given(
    windows,
    st.lists(st.lists(messages, max_size=5), min_size=1, max_size=4),
    orders,
    st.sets(st.integers(0, 3)),
)
@example(262_144, [[[1], [262_143]]], [], set())
@settings(max_examples=200, deadline=None)
def test_senders_take_turns(
    window: int, tasks: list[list[list[int]]], order: list[str], cancelled: set[int]
) -> None:
    """Several tasks, each with messages of some pieces: whole, in order, in turn."""

    async def main() -> None:
        erlang = Line(window)
        sender = Sender(cast(Host, erlang))
        erlang.on_credit = sender.credit
        asked: list[bytes] = []  # the first piece of each message, in the order of the sends

        async def task(number: int, messages: list[list[int]]) -> None:
            for place, message in enumerate(messages):
                marks = [number * 1000 + place * 10 + at for at in range(len(message))]
                pieces = [sized(size, mark) for size, mark in zip(message, marks, strict=True)]
                for size, (mark,) in pieces:
                    erlang.counts[bytes(mark)] = size
                asked.append(bytes(pieces[0][1][0]))
                pieces.reverse()
                assert await sender.send(pieces)
                assert not pieces

        running = [erlang.loop.create_task(task(*each)) for each in enumerate(tasks)]
        for step in order:
            await erlang._step(step)
        for number in cancelled:
            if number < len(running):
                running[number].cancel()
        await erlang.run([], running)
        while erlang.pieces:
            erlang.arrive()
            erlang.credit()
        firsts = [
            mark for mark in erlang.arrived if mark[3:] and int.from_bytes(mark, "big") % 10 == 0
        ]
        assert firsts == [mark for mark in asked if mark in firsts]
        alive = [number for number in range(len(tasks)) if number not in cancelled]
        for number in alive:
            own = [int.from_bytes(mark, "big") for mark in erlang.arrived]
            own = [mark for mark in own if mark // 1000 == number]
            expected = [
                number * 1000 + place * 10 + at
                for place, message in enumerate(tasks[number])
                for at in range(len(message))
            ]
            assert own == expected
        # Nothing gets between the pieces of a message.
        seen = [int.from_bytes(mark, "big") // 10 for mark in erlang.arrived]
        assert len([message for message, _ in itertools.groupby(seen)]) == len(set(seen))

    asyncio.run(main())


@given(windows, st.lists(st.lists(sizes, max_size=8), min_size=1, max_size=3), orders)
@example(262_144, [[1, 262_143]], [])
@settings(max_examples=100, deadline=None)
def test_a_websocket_sends_everything(
    window: int, tasks: list[list[int]], order: list[str]
) -> None:
    async def main() -> None:
        erlang = Erlang(window)

        async def app(_scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})

            async def one(messages: list[int]) -> None:
                for size in messages:
                    await send({"type": "websocket.send", "bytes": b"x" * size})

            await asyncio.gather(*(one(messages) for messages in tasks))

        cycle = WebSocketCycle(cast(Host, erlang), STREAM, {"type": "websocket"}, app)
        erlang.on_credit = cycle.on_credit
        cycle.task = erlang.loop.create_task(cycle.run())
        await asyncio.sleep(0)
        cycle.on_credit(0)
        await erlang.run(order, [cycle.task])
        while erlang.pieces:
            erlang.arrive()
        assert sorted(len(frame) - 10 for frame in erlang.arrived) == sorted(
            size for task in tasks for size in task
        )

    asyncio.run(main())


@given(windows, st.lists(sizes, max_size=20), st.lists(st.booleans(), max_size=40))
@settings(max_examples=100, deadline=None)
def test_a_websocket_receives_everything(
    window: int, messages: list[int], order: list[bool]
) -> None:
    """Erlang sends a message while less than a window is unread; the application takes some."""

    async def main() -> None:
        erlang = Erlang(window)
        got: list[int] = []
        wanted = asyncio.Semaphore(0)

        async def app(_scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            while len(got) < len(messages):
                await wanted.acquire()
                got.append(len((await receive())["bytes"]))

        cycle = WebSocketCycle(cast(Host, erlang), STREAM, {"type": "websocket"}, app)
        cycle.task = erlang.loop.create_task(cycle.run())
        await asyncio.sleep(0)
        cycle.on_credit(0)
        left = deque(messages)
        for wants in [*order, *[True] * (2 * len(messages) + 2)]:
            if wants:
                wanted.release()
                await asyncio.sleep(0)
            if left and credit.may_send(erlang.unread, window):
                erlang.unread += credit.message(left[0])
                cycle.on_message(b"x" * left.popleft())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert got == messages
        await asyncio.wait_for(cycle.task, 5)

    asyncio.run(main())


def test_small_parts_of_one_turn_share_frames_and_none_is_held_back() -> None:
    async def main() -> None:
        erlang = Erlang(262_144)

        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200})
            for number in range(10_000):
                body = b"%010d" % number
                await send({"type": "http.response.body", "body": body, "more_body": True})
                if number == 5:
                    await asyncio.sleep(0)
            await send({"type": "http.response.body"})

        erlang.app = app  # type: ignore[attr-defined]
        cycle = HTTPCycle(cast(Host, erlang), STREAM, {"type": "http"}, 1, b"")
        task = cycle.task = erlang.loop.create_task(cycle.run())
        await erlang.run(["turn", "arrive", "arrive"], [task])
        first, second = erlang.arrived[:2]
        assert first.endswith(b"%010d" % 0)
        assert second[10:] == b"".join(b"%010d" % number for number in range(1, 6))
        while erlang.pieces:
            erlang.arrive()
        rest = b"".join(frame[10:] for frame in erlang.arrived[2:])
        assert rest == b"".join(b"%010d" % number for number in range(6, 10_000))
        assert len(erlang.arrived) <= 2 + 2
        assert [frame[9] for frame in erlang.arrived[1:]] == [0, 0, 1]

    asyncio.run(main())


@given(
    st.one_of(st.integers(1024, 3000), st.just(262_144)),
    st.lists(sizes, min_size=1, max_size=8),
    orders,
    st.booleans(),
)
@example(262_144, [1, 262_143], [], False)
@settings(max_examples=100, deadline=None)
def test_a_response_is_complete(
    window: int, parts: list[int], order: list[str], ends: bool
) -> None:
    """`ends`: the last part says so itself; else an empty one follows."""

    async def main() -> None:
        erlang = Erlang(window)

        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200})
            for at, size in enumerate(parts):
                more = not ends or at + 1 < len(parts)
                await send({"type": "http.response.body", "body": b"x" * size, "more_body": more})
            if not ends:
                await send({"type": "http.response.body"})

        erlang.app = app  # type: ignore[attr-defined]
        cycle = HTTPCycle(cast(Host, erlang), STREAM, {"type": "http"}, 1, b"")
        erlang.on_credit = cycle.on_credit
        cycle.task = erlang.loop.create_task(cycle.run())
        await erlang.run(order, [cycle.task])
        while erlang.pieces:
            erlang.arrive()
        got = sum(
            len(frame)
            - (10 if frame[4] == frames.DATA else 16 + int.from_bytes(frame[12:16], "big"))
            for frame in erlang.arrived
        )
        assert got == sum(parts)
        assert [frame[9] for frame in erlang.arrived] == [0] * (len(erlang.arrived) - 1) + [1]

    asyncio.run(main())


@given(
    st.integers(0, 3000),
    st.lists(st.integers(1, 4000), max_size=20),
    st.lists(st.booleans(), max_size=40),
)
@settings(max_examples=100, deadline=None)
def test_a_body_is_read_to_its_end(prefetch: int, reads: list[int], order: list[bool]) -> None:
    """Erlang passes on what it reads while less than `prefetch` (at least 1) is unread."""

    async def main() -> None:
        erlang = Erlang(262_144, prefetch)
        got = 0
        wanted = asyncio.Semaphore(0)

        async def app(_scope: Any, receive: Any, send: Any) -> None:
            nonlocal got
            more = True
            while more:
                await wanted.acquire()
                event = await receive()
                got += len(event["body"])
                more = event["more_body"]
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body"})

        erlang.app = app  # type: ignore[attr-defined]
        cycle = HTTPCycle(cast(Host, erlang), STREAM, {"type": "http"}, 0, b"")
        cycle.task = erlang.loop.create_task(cycle.run())
        left = deque([*reads, 0])
        for wants in [*order, *[True] * (2 * len(reads) + 4)]:
            if wants:
                wanted.release()
            if left and credit.may_send(erlang.unread, max(1, prefetch)):
                erlang.unread += left[0]
                cycle.on_body(len(left) == 1, b"x" * left.popleft())
            for _ in range(3):
                await asyncio.sleep(0)
        assert got == sum(reads)
        await asyncio.wait_for(cycle.task, 5)

    asyncio.run(main())


def test_one_that_waits_is_told_of_the_end() -> None:
    async def main() -> None:
        erlang = Line(100)
        erlang.counts = dict.fromkeys((mark.to_bytes(4, "big") for mark in range(3)), 100)
        sender = Sender(cast(Host, erlang))
        assert await sender.send([sized(100, 0)])
        waiting = [erlang.loop.create_task(sender.send([sized(100, mark)])) for mark in (1, 2)]
        await asyncio.sleep(0)
        sender.close()
        assert await asyncio.gather(*waiting) == [False, False]

    asyncio.run(main())
