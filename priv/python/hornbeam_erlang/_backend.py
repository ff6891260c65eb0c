"""What carries the operations of the public functions: the contract of a worker (`calls`) and of
the stand-in of unit tests (`_standalone`)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Protocol

from hornbeam_erlang._hub import Hub, Mailbox

__all__ = ["ABSENT", "END", "NOTHING", "Backend", "ServiceFeed", "ServiceRequest"]


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

    def call(self, operation: int, arguments: list[Any]) -> Any:
        """Runs an operation and returns its value or ABSENT; from any thread."""

    async def acall(self, operation: int, arguments: list[Any]) -> Any:
        """As `call`, without blocking the loop."""

    def post(self, operation: int, arguments: list[Any]) -> None:
        """Runs an operation whose result nobody wants. Never waits, takes no lock."""

    def wait(self, mailbox: Mailbox, timeout: float | None) -> None:
        """Blocks until the mailbox has something, is closed, or `timeout` seconds have passed."""

    def service_call(self, asked: ServiceRequest) -> Any:
        """Calls a service's method and returns its value; from any thread."""

    async def aservice_call(self, asked: ServiceRequest) -> Any:
        """As `service_call`, without blocking the loop."""

    def service_stream(self, asked: ServiceRequest) -> ServiceFeed:
        """Begins a stream of values."""
