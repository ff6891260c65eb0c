"""hornbeam_worker.performance, batches and service without a worker: what is begun, what ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest
from worker_host import WorkerHost

from hornbeam_erlang import batched
from hornbeam_worker import envelope, frames, service, values
from hornbeam_worker.failure import FailureKind, StartFailure
from hornbeam_worker.performance import Performance
from hornbeam_worker.threads import Threads

STREAM = 1


class Host(WorkerHost):
    """With calls of a service's methods."""

    def call(self, found: service.Service, name: str, *args: Any, **how: int) -> Performance:
        packed = envelope.join(envelope.pack([list(args), {}], "x"))
        left, flags = how.get("left", 0), how.get("flags", 0)
        zeros = (frames.ENVELOPE_AT - 7 - len(name)) % 16
        head = frames._PERFORM.pack(flags, left, len(name)) + name.encode() + bytes(zeros)
        made = Performance(self, how.get("stream", 1), head + packed, found.find)
        made.start()
        return made

    def raised(self) -> list[str]:
        return [values.unpack(payload)[0] for flags, payload in self.sent if flags == 3]

    def values(self) -> list[Any]:
        return [envelope.unpack(memoryview(data)) for flags, data in self.sent if flags < 2]


class Made:
    """A service."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.go = asyncio.Event()
        self.value = 1

    @property
    def dear(self) -> int:
        raise AssertionError("looked at")

    def plain(self) -> str:
        self.log.append("plain")
        return "plain"

    async def waits(self) -> str:
        self.log.append("begun")
        await self.go.wait()
        return "waited"

    async def numbers(self) -> AsyncIterator[int]:
        try:
            for number in range(1000):
                yield number
        finally:
            self.log.append("closed")

    def plain_numbers(self) -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            self.log.append("closed")

    async def leaves(self) -> None:
        raise SystemExit(3)

    def late_stream(self) -> Any:
        return self.numbers()

    @batched(max_size=3, max_wait_ms=60_000)
    async def batch(self, items: list[str]) -> list[str]:
        self.log.append("+".join(items))
        await self.go.wait()
        return items

    def close(self) -> None:
        self.log.append("ended")


Test = Callable[[Host, service.Service, Made], Coroutine[Any, Any, None]]


def run(test: Test, window: int = 262_144) -> None:
    async def main() -> None:
        made: list[Made] = []
        host = Host(asyncio.get_running_loop(), window)
        TARGET[0] = lambda: made.append(Made()) or made[0]  # type: ignore[func-returns-value]
        found = await service.start(host, f"{__name__}:make", 8)
        await test(host, found, made[0])

    asyncio.run(main())


TARGET: list[Callable[[], Any]] = [Made]


def make() -> Any:
    return TARGET[0]()


def test_a_call_that_is_given_up_before_its_task_begins_is_over() -> None:
    async def test(host: Host, found: service.Service, made: Made) -> None:
        call = host.call(found, "waits")
        call.on_frame(frames.DISCONNECT, b"\0")
        await host.until(lambda: host.ended)
        assert made.log == [] and host.sent == []

    run(test)


def test_a_coroutine_is_cancelled_and_a_late_plain_call_is_not_begun() -> None:
    async def test(host: Host, found: service.Service, made: Made) -> None:
        call = host.call(found, "waits")
        await host.until(lambda: made.log == ["begun"])
        host.threads = Threads(0)  # none is free
        late = host.call(found, "plain", stream=2)
        for one in (call, late):
            one.on_frame(frames.DISCONNECT, b"\0")
        await host.until(lambda: host.ended == [1])
        host.threads._limit = 1
        host.threads.run(lambda: None)
        await host.until(lambda: host.ended == [1, 2])
        assert made.log == ["begun"] and host.sent == []

    run(test)


def test_a_call_whose_time_is_over_is_an_error() -> None:
    async def test(host: Host, found: service.Service, made: Made) -> None:
        made.go.set()
        first = host.call(found, "batch", "a", left=1)
        first._deadline = time.monotonic() - 1
        for name in ("b", "c"):
            host.call(found, "batch", name)
        await host.until(lambda: len(host.ended) == 3)
        assert made.log == ["b+c"]
        assert host.raised() == ["hornbeam_worker.performance.GivenUpError"]

    run(test)


@pytest.mark.parametrize("method", ["numbers", "plain_numbers", "late_stream"])
def test_values_wait_for_credit_and_end_with_the_caller(method: str) -> None:
    async def test(host: Host, found: service.Service, made: Made) -> None:
        call = host.call(found, method, flags=STREAM)
        # Each counts 5 bytes and 64: sixteen of them reach the window.
        await host.until(lambda: len(host.sent) == 15)
        call.on_frame(frames.CREDIT, (69 * 10).to_bytes(4, "big"))
        await host.until(lambda: len(host.sent) == 25)
        call.on_frame(frames.DISCONNECT, b"\0")
        await host.until(lambda: host.ended)
        assert made.log == ["closed"] and host.values() == list(range(25))

    run(test, 1024)


def test_batches_take_turns() -> None:
    async def test(host: Host, found: service.Service, made: Made) -> None:
        for number in range(7):
            host.call(found, "batch", str(number), stream=number)
        await host.until(lambda: made.log == ["0+1+2"])
        made.go.set()
        await host.until(lambda: len(host.sent) == 6)
        # The seventh waits for others.
        assert made.log == ["0+1+2", "3+4+5"]
        assert host.values() == ["0", "1", "2", "3", "4", "5"]

    run(test)


def test_a_service_has_methods_and_an_end() -> None:
    async def test(host: Host, found: service.Service, made: Made) -> None:
        for name in ("close", "value", "dear", "_secret", "log"):
            with pytest.raises(AttributeError, match="there are: batch, late_stream, leaves"):
                found.find(name)
        host.call(found, "leaves")
        await host.until(lambda: host.ended)
        assert host.raised() == ["SystemExit"]
        await found.close()
        assert made.log == ["ended"]

    run(test)


def test_what_cannot_be_made_is_a_start_failure() -> None:
    class Enters:
        def __enter__(self) -> None:
            raise ValueError("not today")

        def __exit__(self, *_error: object) -> None: ...

    async def failing() -> None:
        raise KeyError("x")

    for target in (Enters, failing):
        TARGET[0] = target
        with pytest.raises(StartFailure) as error:
            asyncio.run(_started())
        assert error.value.kind is FailureKind.FACTORY_FAILED
    with pytest.raises(StartFailure) as error:
        asyncio.run(_started(f"{__name__}:_PAIR"))
    assert error.value.kind is FailureKind.NOT_CALLABLE


_PAIR = (1, 2)


async def _started(target: str = f"{__name__}:make") -> None:
    await service.start(Host(asyncio.get_running_loop()), target, 1)
