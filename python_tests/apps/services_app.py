"""Runs functions of `hornbeam_erlang`, and those below, for python_tests/services.

POST /HOW/NAME with [args, kwargs], packed; HOW is loop, thread or aio for the public functions, and
own for those of this module. The answer is ["ok", value] or ["error", class, text, attributes],
packed.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hornbeam_erlang
from hornbeam_erlang import aio
from hornbeam_worker import values

POOL = ThreadPoolExecutor(16)
# Further functions that "own" finds, of an application around this one.
OWN: dict[str, Any] = {}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The paths above."""
    _, how, name = scope["path"].split("/")
    arguments, keywords = await body_of(receive)
    await respond(send, run(how, name, arguments, keywords))


async def body_of(receive: Any) -> Any:
    """What was posted, unpacked."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    return values.unpack(body)


async def respond(send: Any, result: Awaitable[Any]) -> None:
    """Sends what is awaited, or what it raises."""
    try:
        answer = values.pack(["ok", await result])
    except Exception as error:
        shown = {key: repr(value) for key, value in vars(error).items()}
        answer = values.pack(["error", type(error).__name__, str(error), shown])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": answer})


async def run(how: str, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    if how == "own":
        return await (OWN.get(name) or globals()[name])(*arguments, **keywords)
    if how == "aio":
        return await getattr(aio, name)(*arguments, **keywords)
    function = getattr(hornbeam_erlang, name)
    if how == "thread":
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(POOL, lambda: function(*arguments, **keywords))
    return function(*arguments, **keywords)


# What Erlang calls back


def plain(*arguments: Any, **keywords: Any) -> Any:
    """Gives back what it got, and the thread it ran in."""
    return [list(arguments), keywords, threading.current_thread().name]


async def later(value: Any) -> Any:
    """Runs in the loop."""
    await asyncio.sleep(0)
    return value


def fails(text: str) -> None:
    raise LookupError(text)


def unpackable() -> Any:
    return {"a": [object()]}


def leaves() -> None:
    raise SystemExit(3)


async def sleeps(mark: str) -> None:
    """Says in the state how it ended."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        hornbeam_erlang.state_set(mark, "cancelled")
        raise


def counts_in_erlang(key: str) -> Any:
    """A plain function that calls Erlang itself."""
    return hornbeam_erlang.state_incr(key)


def nests(depth: int) -> int:
    """Calls Erlang, which calls this, and so on."""
    return 1 + (
        hornbeam_erlang.call("call_back", "services_app:nests", [depth - 1])[1] if depth else 0
    )


# Scenarios


async def pid() -> int:
    return os.getpid()


async def count_in_all_ways(key: str, threads: int, coroutines: int, each: int) -> None:
    """Adds 1 from threads that each run coroutines, and from this loop."""

    async def in_loop() -> None:
        for _ in range(each):
            await aio.state_incr(key)

    def in_thread() -> None:
        async def main() -> None:
            await asyncio.gather(*(in_loop() for _ in range(coroutines)))

        asyncio.run(main())
        for _ in range(each):
            hornbeam_erlang.state_incr(key)

    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.run_in_executor(POOL, in_thread) for _ in range(threads)))


async def race(name: str, arguments: list[Any], times: int) -> int:
    """How many of many attempts from threads and coroutines succeed."""
    function, twin = getattr(hornbeam_erlang, name), getattr(aio, name)
    loop = asyncio.get_running_loop()
    threads = [loop.run_in_executor(POOL, lambda: function(*arguments)) for _ in range(times)]
    done = await asyncio.gather(*threads, *(twin(*arguments) for _ in range(times)))
    return sum(result is True for result in done)


async def everybody_waits(times: int) -> list[Any]:
    """A coroutine, threads, Erlang calling back to this worker, and the loop itself, at once."""
    loop = asyncio.get_running_loop()
    target = ["services_app:counts_in_erlang", ["everybody"]]
    threads = [
        loop.run_in_executor(POOL, lambda: hornbeam_erlang.call("call_back", *target))
        for _ in range(times)
    ]
    tasks = [loop.create_task(aio.call("call_back", *target)) for _ in range(times)]
    for _ in range(times):
        # The loop's thread waits: Erlang's call back to this very worker must not wait for it.
        assert hornbeam_erlang.call("call_back", *target)[0] == "ok"
    await asyncio.gather(*threads, *tasks)
    return [hornbeam_erlang.state_get("everybody")]


async def blocked_loop_waits_for_async(timeout_ms: int) -> Any:
    """The one case that cannot work: the loop waits for an async function of its own."""
    return hornbeam_erlang.call("call_back", "services_app:later", [1], timeout_ms=timeout_ms)


async def slow_ones_delay_nobody() -> bool:
    """While slow calls run, the state answers."""
    slow = [asyncio.create_task(aio.call("sleep", 30_000, timeout_ms=1500)) for _ in range(50)]
    for _ in range(200):
        await aio.state_incr("meanwhile")
    before_they_end = not any(task.done() for task in slow)
    results = await asyncio.gather(*slow, return_exceptions=True)
    return before_they_end and all(isinstance(result, TimeoutError) for result in results)


async def cancelled_call(mark: str) -> None:
    """Cancels an await of a call that sleeps."""
    task = asyncio.create_task(aio.call("sleep_and_set", 60_000, mark))
    while not await aio.state_get(mark):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def start_many_calls(count: int) -> None:
    """Leaves calls running."""
    global _left
    _left = [
        asyncio.create_task(aio.call("sleep", 60_000, timeout_ms=60_000)) for _ in range(count)
    ]
    await aio.subscribe("left")
    await aio.state_get("x")


async def hold_subscription(topic: str) -> None:
    """Keeps a subscription in a task of its own."""
    entered = asyncio.Event()

    async def main() -> None:
        async with hornbeam_erlang.subscription(topic) as messages:
            entered.set()
            async for _ in messages:
                pass

    _tasks[topic] = asyncio.create_task(main())
    await entered.wait()


async def end_task(topic: str) -> None:
    task = _tasks.pop(topic)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


_left: list[asyncio.Task[Any]] = []
_tasks: dict[str, asyncio.Task[Any]] = {}


async def many_subscribers(count: int, topic: str) -> list[Any]:
    """Many coroutines wait for one message; whether each got it, and a value of its own."""
    ready = asyncio.Semaphore(0)

    async def one() -> Any:
        async with hornbeam_erlang.subscription(topic, "many:*") as messages:
            ready.release()
            return await anext(messages)

    tasks = [asyncio.create_task(one()) for _ in range(count)]
    for _ in range(count):
        await ready.acquire()
    reached = await aio.publish(topic, {"n": [1]})
    got = await asyncio.gather(*tasks)
    return [reached, got == [(topic, {"n": [1]})] * count, len({id(value) for _, value in got})]


async def overflow(size: int, count: int) -> list[Any]:
    """A full queue loses the oldest and counts."""
    async with hornbeam_erlang.subscription("overflow", queue_size=size) as messages:
        for number in range(count):
            await aio.publish("overflow", number)
        # The last message may come after the answer to its publish.
        deadline = asyncio.get_running_loop().time() + 10
        while messages.dropped < count - size:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.005)
        kept: list[Any] = []
        while len(kept) < size:
            message = await messages.receive(10)
            assert message is not None
            kept.append(message[1])
        return [kept, messages.dropped, await messages.receive(0)]


async def stopped_worker(count: int) -> list[Any]:
    """This process stands still while more is published than Erlang sends to such a one."""
    async with hornbeam_erlang.subscription("flood", queue_size=1_000_000) as messages:
        await aio.call("flood", os.getpid(), "flood", count, timeout_ms=60_000)
        received = 0
        while (await messages.receive(1)) is not None:
            received += 1
        await aio.publish("flood", "last")
        last = await messages.receive(10)
        return [received, messages.dropped, last == ("flood", "last")]


async def poll_in_loop(topic: str) -> list[Any]:
    """The polling form, in the loop's thread: None at the timeout, then a message."""
    hornbeam_erlang.subscribe(topic)
    nothing = hornbeam_erlang.receive_pubsub(0.05)
    reached = hornbeam_erlang.publish(topic, ("m", 1))
    message = hornbeam_erlang.receive_pubsub(10)
    left = [hornbeam_erlang.unsubscribe(topic), hornbeam_erlang.unsubscribe(topic)]
    return [nothing, reached, message, left, hornbeam_erlang.publish(topic, 2)]


async def poll_in_thread(topic: str) -> list[Any]:
    """As above in a thread that then ends: its other subscription goes with it."""
    result: list[Any] = []

    def work() -> None:
        hornbeam_erlang.subscribe(topic)
        hornbeam_erlang.subscribe(topic + ":*")
        result.append(hornbeam_erlang.receive_pubsub(0.05))
        hornbeam_erlang.publish(topic + ":x", b"bytes")
        result.append(hornbeam_erlang.receive_pubsub(10))

    thread = threading.Thread(target=work)
    thread.start()
    await asyncio.get_running_loop().run_in_executor(None, thread.join)
    return result


async def pass_a_set() -> None:
    hornbeam_erlang.call("echo", 1, {"x": {1}})


async def pass_too_much() -> None:
    hornbeam_erlang.call("echo", "x" * 70_000_000)


async def subscription_ends(topic: str) -> list[Any]:
    """How iterating ends when another task closes the subscription."""
    got = []
    async with hornbeam_erlang.subscription(topic) as messages:
        await aio.publish(topic, 1)
        async for _, value in messages:
            got.append(value)
            messages.close()
    return [got, await aio.publish(topic, 2)]


async def twice_entered() -> None:
    messages = hornbeam_erlang.subscription("twice")
    async with messages:
        await messages.__aenter__()


async def round_trip(way: str, value: Any) -> Any:
    """Through the state, and through a registered function."""
    if way == "aio":
        await aio.state_set("round-trip", value)
        return [await aio.state_get("round-trip"), await aio.call("echo", value)]
    hornbeam_erlang.state_set("round-trip", value)
    return [hornbeam_erlang.state_get("round-trip"), hornbeam_erlang.call("echo", value)]


async def keys_round_trip(keys: list[Any]) -> list[Any]:
    """Each key has its own value; what the keys are when they come back."""
    for number, key in enumerate(keys):
        hornbeam_erlang.state_set(("k", key), number)
    found = [hornbeam_erlang.state_pop(("k", key)) for key in keys]
    return found


async def surrogates(where: str) -> None:
    bad = {"x": "\ud800"} if where == "value" else "\ud800"
    if where == "value":
        hornbeam_erlang.state_set("surrogates", bad)
    elif where == "key":
        hornbeam_erlang.state_set(bad, 1)
    else:
        hornbeam_erlang.publish(str(bad), 1)


async def set_things(name: str) -> None:
    """Values and keys that cannot travel."""
    if name == "value":
        hornbeam_erlang.state_set("bad", {"users": [1, {2}]})
    elif name == "key":
        hornbeam_erlang.state_set(("a", {1}), 1)
    elif name == "aio":
        await aio.state_set("bad", [object()])
    else:
        hornbeam_erlang.publish("bad", {"x": bytearray(1)})
