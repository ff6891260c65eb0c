"""Errors that an application can meet in `receive` and `send`."""

from __future__ import annotations

__all__ = ["ClientDisconnected", "caused_by_disconnect"]


class ClientDisconnected(OSError):
    """`send()` to a client that has gone (ASGI, "Disconnected client")."""


def caused_by_disconnect(error: BaseException) -> bool:
    """Whether the error is, or was raised while handling, a ClientDisconnected."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        if isinstance(current, ClientDisconnected):
            return True
        seen.add(id(current))
        waiting += [current.__cause__, current.__context__]
        waiting += getattr(current, "exceptions", ())
    return False
