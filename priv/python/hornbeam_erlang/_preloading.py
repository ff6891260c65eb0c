"""What carries calls while an application is imported for workers that are forked later.

Called by `hornbeam_worker.preload`. There is no Erlang side yet: what a module declares for each
process that imports it (hooks, schedules) is kept, and said again by each worker; anything else
raises. Hooks that are handled are those of this object, with what was made of them.
"""

from __future__ import annotations

import sys
from typing import Any, Final, Protocol

from hornbeam_erlang import _client
from hornbeam_erlang._backend import Backend
from hornbeam_erlang._client import Nothing
from hornbeam_erlang._hook_handlers import Handlers
from hornbeam_erlang._operations import OPERATIONS

__all__ = ["Preloading"]

_DECLARATIONS: Final = frozenset(
    OPERATIONS[name] for name in ("hook_register", "hook_unregister", "schedule_declare")
)


class Worker(Protocol):
    """`hornbeam_worker.calls.Calls`."""

    hooks: Handlers

    def call(self, operation: int, arguments: list[Any]) -> Any: ...


class Preloading(Nothing):
    """Keeps declarations, in their order."""

    def __init__(self) -> None:
        self._handlers = Handlers()
        self._declared: list[tuple[int, list[Any]]] = []

    @property
    def hooks(self) -> Handlers:
        """Those that workers are to have."""
        return self._handlers

    def call(self, operation: int, arguments: list[Any]) -> Any:
        """Keeps a declaration."""
        if operation not in _DECLARATIONS:
            super().call(operation, arguments)
        self._declared.append((operation, arguments))

    def declare(self, worker: Worker) -> None:
        """Says all of it, in a worker."""
        _client.end_preloading()
        worker.hooks = self._handlers
        for operation, arguments in self._declared:
            worker.call(operation, arguments)
        if (metrics := sys.modules.get("hornbeam_erlang._metrics")) is not None:
            metrics.resume()

    def _stand_in(self) -> Backend:
        raise RuntimeError(
            "with the option preload the application is imported before its workers run, so that "
            "hornbeam_erlang cannot be used while modules are imported; use it in the lifespan's "
            "startup or in a request"
        )
