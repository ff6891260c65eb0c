"""Hornbeam from Python: `run` serves an application, `Server` is a server for a `with` block.

The command line does not come here; it is `__main__` and `launcher`, which import little.
"""

from __future__ import annotations

TYPE_CHECKING = False  # without importing typing; type checkers know the name
if TYPE_CHECKING:
    from hornbeam.server import Server, ServerError, run

__all__ = ["Server", "ServerError", "run"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hornbeam import server

    return getattr(server, name)
