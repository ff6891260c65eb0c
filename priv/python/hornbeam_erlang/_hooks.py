"""Hooks: handlers that Python and Erlang register by name, and call by name and action.

    register_hook("embeddings", Embeddings)
    vector = execute("embeddings", "encode", text)
    for token in stream("llm", "generate", prompt): ...

A name is handled either by Erlang (`hornbeam_hooks:reg`) or by the workers of one application that
have registered it; a call does not say which. Not to be confused with the option `http_hooks`:
functions of Erlang's that see HTTP requests.
"""

from __future__ import annotations

from typing import Any, Final

from hornbeam_erlang import _deadline
from hornbeam_erlang import _requests as requests
from hornbeam_erlang._backend import HookRequest
from hornbeam_erlang._client import backend, call
from hornbeam_erlang._services import TIMEOUT, Values, check_timeout

__all__ = [
    "HERE", "Hooks", "await_result", "execute", "execute_async", "hooks", "register_hook", "stream",
    "unregister_hook",
]  # fmt: skip


def register_hook(app_path: str, handler: Any) -> None:
    """Has this process handle a hook: each worker of the application registers it, at import or in
    its lifespan, and calls go to the least loaded of those that have.

    `handler` is a function `(action, *args, **kwargs)`, a class, of which one object is made now,
    or an object, whose methods are the actions; plain ones run in threads, async ones in the loop,
    generators are streams. ValueError: the name is Erlang's or another application's, is empty or
    longer than 512 bytes, or 1,000 hooks are registered. It is registered until `unregister_hook`,
    or until the process ends.
    """
    request = requests.hook_register(app_path)
    take_back = backend().hooks.add(app_path, handler)
    try:
        call(*request)
    except BaseException:
        take_back()
        raise


def unregister_hook(app_path: str) -> None:
    """This process handles the hook no longer; other workers may. What has begun goes on."""
    call(*requests.hook_unregister(app_path))
    backend().hooks.remove(app_path)


def hooks(*, node: str | None = None, timeout: float | None = TIMEOUT) -> Hooks:
    """The functions `execute`, `execute_async` and `stream` for another node, which the option
    `rpc_allow` must let call `hornbeam_hooks:execute` or `hornbeam_hooks:stream`, or with another
    time limit: in seconds, for a value, or for each value of a stream; None: as long as it takes.
    """
    if node is not None and type(node) is not str:
        raise TypeError(f"node must be a str or None, not {node!r}")
    return Hooks(node, check_timeout(timeout))


class Hooks:
    """Calls hooks of a node, with a time limit; see `hooks`. `aexecute` and `aexecute_async` are to
    be awaited; a stream is for `for` and for `async for`."""

    __slots__ = ("_node", "_timeout")

    def __init__(self, node: str | None = None, timeout: float | None = TIMEOUT) -> None:
        self._node = node
        self._timeout = timeout

    def stream(self, app_path: str, action: str, /, *args: Any, **kwargs: Any) -> Values:
        """See `hornbeam_erlang.stream`."""
        asked = self._asked("hook_stream", app_path, action, args, kwargs)
        return Values(backend().hook_stream(asked))

    def _asked(
        self,
        operation: str,
        app_path: str,
        action: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> HookRequest:
        name, action = requests.hook_name(app_path), requests.hook_action(action)
        left = None
        if operation != "hook_start":
            left = _deadline.limit_ms(self._timeout, f'the hook "{name}"')
        return HookRequest(operation, name, action, args, kwargs, left, self._node)

    def execute(self, app_path: str, action: str, /, *args: Any, **kwargs: Any) -> Any:
        """See `hornbeam_erlang.execute`."""
        return backend().hook_call(self._asked("hook_call", app_path, action, args, kwargs))

    def execute_async(self, app_path: str, action: str, /, *args: Any, **kwargs: Any) -> str:
        """See `hornbeam_erlang.execute_async`."""
        asked = self._asked("hook_start", app_path, action, args, kwargs)
        return str(backend().hook_call(asked))

    async def aexecute(self, app_path: str, action: str, /, *args: Any, **kwargs: Any) -> Any:
        """Calls a hook and returns its value; cancelling the await ends the call."""
        asked = self._asked("hook_call", app_path, action, args, kwargs)
        return await backend().ahook_call(asked)

    async def aexecute_async(self, app_path: str, action: str, /, *args: Any, **kwargs: Any) -> str:
        """Begins a call and returns the id by which `await_result` fetches its value."""
        asked = self._asked("hook_start", app_path, action, args, kwargs)
        return str(await backend().ahook_call(asked))


def await_result(task_id: str, timeout_ms: int = 30_000) -> Any:
    """The value of a call that `execute_async` has begun; raises as `execute`.

    TimeoutError after `timeout_ms` milliseconds: it can be asked for again. HookNotFoundError:
    there is no such call, or its value was fetched already.
    """
    milliseconds, task = requests.hook_await(task_id, timeout_ms)
    return backend().hook_await(milliseconds, task)


# Of this node, with the time limit by default.
HERE: Final = Hooks()


def execute(app_path: str, action: str, /, *args: Any, **kwargs: Any) -> Any:
    """Calls a hook and returns its value; `{ok, V}` of Erlang's arrives as V.

    Raises HookError for what a handler in Python raised, with its traceback as text; ErlangError
    for `{error, Reason}` and for exceptions of Erlang's; HookNotFoundError; TimeoutError after 60
    seconds (`hooks`); ServiceUnavailableError when the process that handled it ended;
    ServiceOverloadedError when those that handle it are full; TypeError and ValueError for what
    cannot travel.
    """
    return HERE.execute(app_path, action, *args, **kwargs)


def execute_async(app_path: str, action: str, /, *args: Any, **kwargs: Any) -> str:
    """Begins a call and returns the id by which `await_result` fetches its value, in any worker of
    the node, once. It is kept for ten minutes."""
    return HERE.execute_async(app_path, action, *args, **kwargs)


def stream(app_path: str, action: str, /, *args: Any, **kwargs: Any) -> Values:
    """The values that a hook yields, as they come, for `for` and for `async for`. Whoever wants no
    more of them closes it, or just drops it: the handler's generator is closed. Raises as
    `execute`, with the first value."""
    return HERE.stream(app_path, action, *args, **kwargs)
