"""hornbeam_worker.transport over a pipe of the test's own: what waits, and who waits for it."""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Iterator

import pytest

from hornbeam_worker import frames
from hornbeam_worker import transport as module
from hornbeam_worker.transport import MUCH, TURNS, Transport


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Stands for descriptors 3 and 4; the ends to which the BEAM writes and from which it reads."""
    read_3, write_3 = os.pipe()
    read_4, write_4 = os.pipe()
    ends = {3: read_3, 4: write_4}
    for end in (*ends.values(), read_4):
        os.set_blocking(end, False)
    monkeypatch.setattr(module, "_own", ends.__getitem__)
    yield write_3, read_4
    for end in (read_3, write_3, read_4, write_4):
        os.close(end)


@pytest.fixture
def pipes(both: tuple[int, int]) -> int:
    """The end from which the BEAM reads."""
    return both[1]


async def read(end: int, size: int) -> bytes:
    """Reads as the loop goes on, a little at a time."""
    data = bytearray()
    while len(data) < size:
        await asyncio.sleep(0)
        try:
            data += os.read(end, 65_536)
        except BlockingIOError:
            continue
    return bytes(data)


def started() -> Transport:
    transport = Transport()
    transport._loop = asyncio.get_running_loop()
    return transport


def is_full(transport: Transport) -> bool:
    return transport.full


def test_everything_arrives_in_order_however_much_waits(pipes: int) -> None:
    parts = [number.to_bytes(4, "big") * 2000 for number in range(800)]

    async def main() -> bytes:
        transport = started()
        for part in parts:
            transport.send(part)
        assert is_full(transport)
        data = await read(pipes, sum(map(len, parts)))
        await asyncio.sleep(0)
        assert not is_full(transport)
        return data

    assert asyncio.run(main()) == b"".join(parts)


def test_parts_of_all_sizes_arrive_in_order(pipes: int) -> None:
    """Small ones are joined, large ones are not, and the pipe is full in the middle of any."""
    sizes = [1, 40_000, 0, 3, 32_767, 32_768, 200_000, 5, 5, 1_000_000, 0, 70_000] * 9

    async def main() -> bytes:
        transport = started()
        for number, size in enumerate(sizes):
            transport.send(b"%04d" % number, bytes([number]) * size)
            if number % 5 == 0:
                transport.flush()
        return await read(pipes, sum(sizes) + 4 * len(sizes))

    whole = b"".join(b"%04d" % n + bytes([n]) * size for n, size in enumerate(sizes))
    assert asyncio.run(main()) == whole


def test_no_byte_is_copied_more_than_a_few_times(pipes: int) -> None:
    """What waits is kept in the pieces in which it was written: the rest of one is a view."""

    async def main() -> None:
        transport = started()
        for _ in range(200):
            transport.send(bytes(50_000))
            transport.flush()
        kept = [view.obj for view in transport._unwritten]
        await read(pipes, 5_000_000)
        left = [view.obj for view in transport._unwritten]
        assert 0 < len(left) < len(kept)
        behind = kept[len(kept) - len(left) :]
        assert all(one is another for one, another in zip(left, behind, strict=True))

    asyncio.run(main())


def test_those_who_send_bodies_wait_for_room(pipes: int) -> None:
    """60 responses of a window each begin at once; what waits stays near what a pipe holds."""
    tasks, window = 60, 262_144
    most = 0

    async def respond(transport: Transport) -> None:
        nonlocal most
        for _ in range(4):
            if transport.full:
                await transport.room()
            transport.send(bytes(window // 4))
            most = max(most, transport._waiting)

    async def main() -> None:
        transport = started()
        senders = [asyncio.ensure_future(respond(transport)) for _ in range(tasks)]
        await read(pipes, tasks * window)
        await asyncio.gather(*senders)

    asyncio.run(asyncio.wait_for(main(), 60))
    # What is collected before a write, and one turn of those who wait.
    assert most < MUCH + (module.MANY + TURNS) * window // 4


VARIABLE = contextvars.ContextVar("VARIABLE", default="nobody's")


@pytest.mark.parametrize("kind", [frames.REQUEST, frames.INVOKE], ids=["request", "invoke"])
def test_what_comes_during_a_call_has_no_variables_of_the_caller(
    both: tuple[int, int], kind: int
) -> None:
    """A request that is read while a coroutine waits for Erlang in the loop's thread."""
    seen: list[str] = []

    async def main(to_worker: int) -> None:
        transport = Transport()
        transport.attach(lambda _: seen.append(VARIABLE.get()), lambda *_: None, lambda: None)
        transport.start(asyncio.get_running_loop())
        await asyncio.sleep(0)
        VARIABLE.set("the caller's")
        os.write(to_worker, frames.encode(kind, 1, b"\0" * 9))
        transport.wait_in_loop(lambda: bool(transport._deferred) or bool(seen), 10)
        await asyncio.sleep(0)
        assert seen == ["nobody's"] and VARIABLE.get() == "the caller's"
        asyncio.get_running_loop().remove_reader(transport._read_fd)

    asyncio.run(main(both[0]))
