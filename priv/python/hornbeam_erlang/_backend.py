"""What carries the operations of the public functions: the contract of a worker (`calls`) and of
the stand-in of unit tests (`_standalone`)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Protocol

from hornbeam_erlang._hook_handlers import Handlers
from hornbeam_erlang._hub import Hub, Mailbox

__all__ = ["ABSENT", "END", "NOTHING", "Backend", "HookRequest", "ServiceFeed", "ServiceRequest"]


class _Absent:
    """There is no value: the caller's default holds."""


ABSENT: Final = _Absent()


class _Mark:
    """Stands for what is no value."""


# What a feed has instead of a value: none yet, none any more.
NOTHING: Final = _Mark()
END: Final = _Mark()


class ServiceRequest(NamedTuple):
    """A call of a service's method; `timeout_ms` None: no limit."""

    service: str
    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    timeout_ms: int | None


class HookRequest(NamedTuple):
    """A call of a hook; `operation` one of hook_call, hook_start and hook_stream, `timeout_ms`
    None: no limit, `node` None: this one."""

    operation: str
    name: str
    action: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    timeout_ms: int | None
    node: str | None


class ServiceFeed(Protocol):
    """The values of a stream, as they come. `mailbox` is ready when there is something to take."""

    mailbox: Mailbox

    def take(self) -> Any:
        """The next value, NOTHING or END; or raises why there is none."""

    def close(self) -> None:
        """Nobody wants more. Takes no lock, so a finalizer may call it."""


class Backend(Protocol):
    """What carries operations; their codes are those of `_operations`."""

    @property
    def hub(self) -> Hub:
        """The subscriptions of this process."""

    @property
    def hooks(self) -> Handlers:
        """The hooks that this process handles."""

    def call(self, operation: int, arguments: list[Any]) -> Any:
        """Runs an operation and returns its value or ABSENT; from any thread."""

    async def acall(self, operation: int, arguments: list[Any]) -> Any:
        """As `call`, without blocking the loop."""

    def post(self, operation: int, arguments: list[Any]) -> None:
        """Runs an operation whose result nobody wants. Never waits, takes no lock."""

    def expect(self, operation: int, arguments: list[Any]) -> Mailbox:
        """Begins a call that takes its time: the mailbox gets its value, or is closed where there
        will be none. From any thread."""

    def wait(self, mailbox: Mailbox, timeout: float | None) -> None:
        """Blocks until the mailbox has something, is closed, or `timeout` seconds have passed."""

    def service_call(self, asked: ServiceRequest) -> Any:
        """Calls a service's method and returns its value; from any thread."""

    async def aservice_call(self, asked: ServiceRequest) -> Any:
        """As `service_call`, without blocking the loop."""

    def service_stream(self, asked: ServiceRequest) -> ServiceFeed:
        """Begins a stream of values."""

    def hook_call(self, asked: HookRequest) -> Any:
        """Calls a hook and returns its value, or begins a call and returns its id."""

    async def ahook_call(self, asked: HookRequest) -> Any:
        """As `hook_call`, without blocking the loop."""

    def hook_await(self, timeout_ms: int, task: str) -> Any:
        """The value of a call that was begun."""

    async def ahook_await(self, timeout_ms: int, task: str) -> Any:
        """As `hook_await`, without blocking the loop."""

    def hook_stream(self, asked: HookRequest) -> ServiceFeed:
        """Begins a stream of a hook's values."""
