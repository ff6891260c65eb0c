"""An application that calls services, and the services that it calls, for test_services.py."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from hornbeam_erlang import aio, batched, service, state_get, state_incr, state_set


class Model:
    """What tests call: the service "model"."""

    def __init__(self) -> None:
        state_incr("model:made")
        self.pid = os.getpid()
        self._secret = "no"

    def where(self) -> int:
        return self.pid

    def environment(self, name: str) -> str | None:
        return os.environ.get(name)

    def add(self, a: int, b: int = 1) -> int:
        return a + b

    async def aadd(self, a: int, b: int = 1) -> int:
        await asyncio.sleep(0)
        return a + b

    def echo(self, value: Any) -> Any:
        return value

    def shape(self, value: Any) -> tuple[str, str, list[int]]:
        return type(value).__name__, str(value.dtype), list(value.shape)

    def fail(self, text: str) -> None:
        raise KeyError(text)

    async def afail(self, text: str) -> None:
        raise KeyError(text)

    def count(self, key: str, limit: int) -> Iterator[int]:
        try:
            for number in range(limit):
                if not number % 50:
                    state_set(key, number)
                yield number
        finally:
            state_incr(f"{key}:closed")

    async def acount(self, key: str, limit: int) -> AsyncIterator[int]:
        try:
            for number in range(limit):
                if not number % 50:
                    state_set(key, number)
                await asyncio.sleep(0)
                yield number
        finally:
            state_incr(f"{key}:closed")

    async def forever(self, key: str) -> AsyncIterator[int]:
        try:
            yield 0
            await asyncio.Event().wait()
        finally:
            state_incr(f"{key}:closed")

    def broken(self, limit: int) -> Iterator[int]:
        yield from range(limit)
        raise ValueError("broken in the middle")

    def die(self) -> None:
        os.kill(os.getpid(), 9)

    @batched(max_size=8, max_wait_ms=2000)
    def upper(self, texts: list[str]) -> list[Any]:
        state_set("upper:last", len(texts))
        if "mismatch" in texts:
            return texts[1:]
        return [ValueError("not this one") if text == "bad" else text.upper() for text in texts]

    @batched(max_size=4, max_wait_ms=20)
    async def aupper(self, texts: list[str]) -> list[str]:
        if "raise" in texts:
            raise RuntimeError("the whole batch")
        return [text.upper() for text in texts]


class Gate:
    """One call at a time, which waits to be let through: the service "gate"."""

    def wait(self, name: str) -> str:
        state_incr("gate:begun")
        _wait_for(f"gate:{name}")
        return name

    def order(self, name: str) -> str:
        state_set(f"order:{state_incr('order')}", name)
        return name

    def close(self) -> None:
        state_incr("gate:closed")


async def make_managed() -> Managed:
    """An async factory: the service "managed"."""
    return Managed()


class Managed:
    """A context manager that calls another service."""

    async def __aenter__(self) -> Managed:
        state_incr("managed:entered")
        return self

    async def __aexit__(self, *_error: object) -> None:
        state_incr("managed:left")

    async def relay(self, a: int) -> int:
        return int(await service("model").aadd(a, 10))

    async def patient_relay(self) -> str:
        """Waits for another service no longer than its own caller does."""
        return str(await service("gate", timeout=None).wait("never"))


async def app(scope: Any, receive: Any, send: Any) -> None:
    """POST /: the JSON body is evaluated as what to do; the answer is JSON."""
    assert scope["type"] == "http"
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"] == "/stream":
        # As frameworks do it: what is sent ends when the client has gone.
        sending = asyncio.ensure_future(_stream(json.loads(body), send))
        left = asyncio.ensure_future(receive())
        await asyncio.wait([sending, left], return_when=asyncio.FIRST_COMPLETED)
        sending.cancel()
        left.cancel()
        return
    try:
        answer: Any = await _do(json.loads(body))
    except Exception as error:
        answer = {
            "error": type(error).__name__,
            "text": str(error),
            "class_name": getattr(error, "class_name", None),
            "traceback": getattr(error, "traceback", None),
        }
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


async def _stream(asked: dict[str, Any], send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    call = getattr(service(asked["service"]), asked["method"])(*asked["args"])
    async for value in call:
        piece = f"{value}\n".encode()
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _do(asked: dict[str, Any]) -> Any:
    timeout = asked.get("timeout", 30)
    handle = service(asked.get("service", "model"), timeout=timeout)
    how, method, args = asked["how"], asked.get("method", ""), asked.get("args", [])
    call = getattr(handle, method) if method else None
    if how == "await":
        assert call is not None
        return await call(*args, **asked.get("kwargs", {}))
    if how == "gather":
        assert call is not None
        results = await asyncio.gather(*map(call, args), return_exceptions=True)
        return [repr(r) if isinstance(r, Exception) else r for r in results]
    if how == "list":
        assert call is not None
        return [value async for value in call(*args)]
    if how == "some":
        assert call is not None
        got = []
        async for value in call(*args):
            got.append(value)
            if len(got) == 3:
                break
        return got
    if how == "cancel":
        assert call is not None
        return await _cancelled(call(*args))
    return await _HOWS[how](asked)


async def _cancelled(call: Any) -> str:
    got = asyncio.Event()

    async def iterate() -> None:
        async for _ in call:
            got.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(iterate())
    await got.wait()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return "cancelled"
    return "ended"


async def _threads(asked: dict[str, Any]) -> Any:
    def run() -> Any:
        model = service("model")
        return [model.add(1, 2).result(), list(model.count("thread", 5)), threading.get_ident()]

    in_thread = await asyncio.to_thread(run)
    here = [service("model").add(3, 4).result(), list(service("model").acount("loop", 4))]
    return [in_thread[:2], here]


async def _state(asked: dict[str, Any]) -> Any:
    if "value" in asked:
        state_set(asked["key"], asked["value"])
    return state_get(asked["key"])


async def _pid(_asked: dict[str, Any]) -> Any:
    return os.getpid()


async def _where(_asked: dict[str, Any]) -> Any:
    return [os.getpid(), await service("model").where()]


def _wait_for(key: str) -> None:
    while state_get(key) is None:
        time.sleep(0.005)


async def _pause(asked: dict[str, Any]) -> Any:
    """Takes one value of many, then no other until it is told to go on; how many there were."""
    key = asked["key"]
    async for _ in getattr(service("model"), asked["method"])(*asked["args"]):
        await asyncio.to_thread(_wait_for, f"{key}:go")
        break
    return await aio.state_get(key)


async def _buffers(_asked: dict[str, Any]) -> Any:
    import array

    import numpy

    model = service("model")
    large = numpy.arange(4 * 1024 * 1024, dtype="<f4").reshape(4, -1)  # 16 MiB
    back = await model.echo(large)
    nested = {"a": [numpy.ones((2, 3), "int16"), b"x" * 100_000], "t": (bytearray(b"y"), 1)}
    again = await model.echo(nested)
    same = [
        bool((back == large).all() and back.dtype == large.dtype and back.shape == large.shape),
        back.flags.aligned and back.ctypes.data % 16 == 0,
        bool((again["a"][0] == nested["a"][0]).all()),
        again["a"][0].dtype == numpy.int16,
        again["a"][1] == nested["a"][1],
        again["t"] == nested["t"] and type(again["t"][0]) is bytearray,
        await model.echo(array.array("d", [1.5, 2.5])) == array.array("d", [1.5, 2.5]),
        (await model.echo(memoryview(b"abcd"))).tobytes() == b"abcd",
        await model.shape(numpy.zeros((0, 3))) == ("ndarray", "float64", [0, 3]),
        await model.echo(numpy.float32(1.5)) == numpy.float32(1.5),
        await model.shape(numpy.asfortranarray(numpy.ones((3, 4))))
        == ("ndarray", "float64", [3, 4]),
    ]
    try:
        await model.echo(numpy.array([object()]))
    except TypeError as error:
        same.append(str(error))
    try:
        await model.echo(b"x" * (65 * 1024 * 1024))
    except ValueError as error:
        same.append(str(error))
    return [part if isinstance(part, str) else bool(part) for part in same]


_HOWS = {
    "threads": _threads,
    "state": _state,
    "pid": _pid,
    "where": _where,
    "pause": _pause,
    "buffers": _buffers,
}
