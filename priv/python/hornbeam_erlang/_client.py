"""The way from the public functions to what carries them: a worker, or the stand-in of unit tests.

A worker connects itself at its start (`connect`). Elsewhere there is nothing, unless
HORNBEAM_STANDALONE=1 is set or `hornbeam_erlang.testing.standalone()` is entered.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from hornbeam_erlang._backend import Backend, HookRequest, ServiceFeed, ServiceRequest
from hornbeam_erlang._hook_handlers import Handlers
from hornbeam_erlang._hub import Hub, Mailbox

__all__ = [
    "Nothing", "acall", "backend", "begin_preloading", "call", "connect", "disconnect",
    "end_preloading", "is_connected", "is_preloading", "post",
]  # fmt: skip


class Nothing:
    """This process is no worker. The first call decides whether it gets the stand-in."""

    @property
    def hub(self) -> Hub:
        return self._stand_in().hub

    @property
    def hooks(self) -> Handlers:
        return self._stand_in().hooks

    def call(self, operation: int, arguments: list[Any]) -> Any:
        return self._stand_in().call(operation, arguments)

    async def acall(self, operation: int, arguments: list[Any]) -> Any:
        return await self._stand_in().acall(operation, arguments)

    def post(self, operation: int, arguments: list[Any]) -> None:
        self._stand_in().post(operation, arguments)

    def expect(self, operation: int, arguments: list[Any]) -> Mailbox:
        return self._stand_in().expect(operation, arguments)

    def wait(self, mailbox: Mailbox, timeout: float | None) -> None:
        self._stand_in().wait(mailbox, timeout)

    def service_call(self, asked: ServiceRequest) -> Any:
        return self._stand_in().service_call(asked)

    async def aservice_call(self, asked: ServiceRequest) -> Any:
        return await self._stand_in().aservice_call(asked)

    def service_stream(self, asked: ServiceRequest) -> ServiceFeed:
        return self._stand_in().service_stream(asked)

    def hook_call(self, asked: HookRequest) -> Any:
        return self._stand_in().hook_call(asked)

    async def ahook_call(self, asked: HookRequest) -> Any:
        return await self._stand_in().ahook_call(asked)

    def hook_await(self, timeout_ms: int, task: str) -> Any:
        return self._stand_in().hook_await(timeout_ms, task)

    async def ahook_await(self, timeout_ms: int, task: str) -> Any:
        return await self._stand_in().ahook_await(timeout_ms, task)

    def hook_stream(self, asked: HookRequest) -> ServiceFeed:
        return self._stand_in().hook_stream(asked)

    def _stand_in(self) -> Backend:
        if os.environ.get("HORNBEAM_STANDALONE") != "1":
            raise RuntimeError(
                "hornbeam_erlang works in an application that Hornbeam serves, and this process is "
                "none of its workers. For unit tests set HORNBEAM_STANDALONE=1 or enter "
                "hornbeam_erlang.testing.standalone()"
            )
        from hornbeam_erlang._standalone import Standalone

        made = Standalone()
        connect(made)
        return made


_NOTHING: Final = Nothing()
_backend: Backend = _NOTHING
_call: Callable[[int, list[Any]], Any] = _NOTHING.call
_preloading = False


def connect(new: Backend) -> Backend:
    """From now on `new` carries every call; returns what did before."""
    global _backend, _call
    before, _backend, _call = _backend, new, new.call
    return before


def disconnect() -> None:
    """Nothing carries calls any more."""
    connect(_NOTHING)


def begin_preloading(new: Backend) -> None:
    """The application is imported in this process for workers that are forked from it."""
    global _preloading
    _preloading = True
    connect(new)


def end_preloading() -> None:
    """This process is one of those workers."""
    global _preloading
    _preloading = False


def is_preloading() -> bool:
    """Between the two."""
    return _preloading


def is_connected() -> bool:
    """Whether something carries calls, a worker or a stand-in."""
    return _backend is not _NOTHING


def backend() -> Backend:
    """What carries calls now."""
    return _backend


def call(operation: int, arguments: list[Any]) -> Any:
    """Runs an operation and returns its value or ABSENT."""
    return _call(operation, arguments)


async def acall(operation: int, arguments: list[Any]) -> Any:
    """As `call`, without blocking the loop."""
    return await _backend.acall(operation, arguments)


def post(operation: int, arguments: list[Any]) -> None:
    """Runs an operation whose result nobody wants. Never waits."""
    _backend.post(operation, arguments)


# A forked child has the pipe of its parent, which must not hear two voices.
os.register_at_fork(after_in_child=disconnect)
