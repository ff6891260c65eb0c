"""What carries the operations of the public functions: the contract of a worker (`calls`) and of
the stand-in of unit tests (`_standalone`)."""

from __future__ import annotations

from typing import Any, Final, Protocol

from hornbeam_erlang._hub import Hub, Mailbox

__all__ = ["ABSENT", "Backend"]


class _Absent:
    """There is no value: the caller's default holds."""


ABSENT: Final = _Absent()


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
