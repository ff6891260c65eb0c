"""The stand-in's hooks: those that the test or the application registers, called as if elsewhere.

Used by `_standalone`. Arguments and results make the journey that those of services make
(`_standalone_services`); what a handler raises is a HookError. There is one node.
"""

from __future__ import annotations

import concurrent.futures
import secrets
import threading
from typing import Any

from hornbeam_erlang._backend import HookRequest, ServiceRequest
from hornbeam_erlang._errors import HookError, HookNotFoundError
from hornbeam_erlang._hook_handlers import Handlers
from hornbeam_erlang._standalone_services import Feed, Services, travelled

__all__ = ["Hooks"]


class Hooks(Services):
    """The handlers by their names, and the calls whose value is fetched later."""

    error = HookError

    def __init__(self, handlers: Handlers) -> None:
        super().__init__()
        self._handlers = handlers
        self._tasks: dict[str, concurrent.futures.Future[Any]] = {}

    def execute(self, asked: HookRequest) -> Any:
        """The value; or the id of a call that has begun."""
        if asked.operation == "hook_call":
            return self.call(_as_service(asked))
        task = secrets.token_hex(16)
        future = self._tasks[task] = concurrent.futures.Future()

        def run() -> None:
            try:
                future.set_result(self.call(_as_service(asked)))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, name="hornbeam-standalone", daemon=True).start()
        return task

    def fetch(self, timeout_ms: int, task: str) -> Any:
        """The value of a call that has begun."""
        if task not in self._tasks:
            raise HookNotFoundError("there is no such task, or its value was fetched already")
        try:
            value = self._tasks[task].result(timeout_ms / 1000)
        except concurrent.futures.TimeoutError:
            if not self._tasks[task].done():
                raise TimeoutError("the call has not been answered in time") from None
            del self._tasks[task]
            raise
        except BaseException:
            del self._tasks[task]
            raise
        del self._tasks[task]
        return value

    def values(self, asked: HookRequest) -> Feed:
        """The values of a stream."""
        return self.stream(_as_service(asked))

    def _prepared(self, asked: ServiceRequest) -> Any:
        name = f'the hook "{asked.service}"'
        positional, keywords = travelled([list(asked.args), asked.kwargs], name)

        def start() -> Any:
            try:
                function = self._handlers.find(asked.service, asked.method)
            except KeyError:
                raise HookNotFoundError(f'nobody handles the hook "{asked.service}"') from None
            return function(*positional, **keywords)

        return start


def _as_service(asked: HookRequest) -> ServiceRequest:
    if asked.node is not None:
        raise ConnectionError(f"node {asked.node} cannot be reached: this is the stand-in")
    return ServiceRequest(asked.name, asked.action, asked.args, asked.kwargs, asked.timeout_ms)
