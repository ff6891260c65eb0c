"""The stand-in for Erlang in a process that is no worker: the same operations, in this process
alone.

Values make the same journey as through the port (packed and unpacked), so what could not travel
there cannot here, and nobody shares a mutable value with the state. Registered functions are Python
functions.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Final

from hornbeam_erlang._backend import ABSENT, HookRequest, ServiceRequest
from hornbeam_erlang._channel import Channels
from hornbeam_erlang._errors import ErlangError, NotRegisteredError
from hornbeam_erlang._hook_handlers import Handlers
from hornbeam_erlang._hub import Hub, Mailbox, wait_in_thread
from hornbeam_erlang._operations import ARGUMENTS, OPERATIONS
from hornbeam_erlang._rates import ROWS, decide
from hornbeam_erlang._standalone_cache import Cache
from hornbeam_erlang._standalone_channels import Rooms
from hornbeam_erlang._standalone_cluster import Cluster
from hornbeam_erlang._standalone_hooks import Hooks
from hornbeam_erlang._standalone_layer import Layers
from hornbeam_erlang._standalone_locks import Locks
from hornbeam_erlang._standalone_metrics import Metrics
from hornbeam_erlang._standalone_services import Feed, Services
from hornbeam_erlang._standalone_tasks import Tasks

__all__ = ["Standalone"]

NODE: Final = "nonode@nohost"
_NAMES: Final = {code: name for name, code in OPERATIONS.items()}
# Operations that run something of the user's: outside the lock, in a thread, with a deadline.
_FUNCTIONS: Final = frozenset(
    ["call", "cast", "rpc_call", "rpc_cast", "task_spawn", "task_retry", "task_progress"]
)
# The operation that waits for another caller.
_WAITS: Final = OPERATIONS["cache_get"]
_LAYER_WAITS: Final = OPERATIONS["layer_wait"]
_LOCK_WAITS: Final = OPERATIONS["lock_acquire"]


class _Entry:
    """A value, packed, and when it expires (monotonic seconds)."""

    __slots__ = ("expires", "packed")

    def __init__(self, packed: bytes, expires: float) -> None:
        self.packed = packed
        self.expires = expires


class Standalone(Tasks):
    """A backend (`_backend.Backend`) with what Erlang would hold.

    functions  the registered functions by their names: what `call` and `cast` reach
    remote     what `rpc_call` and `rpc_cast` reach on this node: (module, function) -> function
    schedules  what `scheduled` has declared, by its name
    """

    def __init__(self) -> None:
        super().__init__()
        self.hub = Hub()
        self.functions: dict[str, Callable[..., Any]] = {}
        self.remote: dict[tuple[str, str], Callable[..., Any]] = {}
        self.hooks = Handlers()
        self._services = Services()
        self._hooks = Hooks(self.hooks)
        self._entries: dict[bytes, _Entry] = {}
        self._cache = Cache()
        self._rooms = Rooms(Channels())
        self._layers = Layers()
        self._locks = Locks(NODE)
        self._metrics = Metrics()
        self._cluster = Cluster(
            lambda value: _pack(value, "value"), _unpack, self._now, self._on_publish
        )
        self._ahead = 0.0
        self._lock = threading.RLock()

    # What tests use

    def register_function(self, name: str, function: Callable[..., Any]) -> None:
        """As `hornbeam:register_function/2`: `call(name, ...)` runs it; what it raises is an
        ErlangError."""
        self.functions[name] = function

    def unregister_function(self, name: str) -> None:
        """As `hornbeam:unregister_function/1`."""
        self.functions.pop(name, None)

    def register_service(self, name: str, made: object) -> None:
        """As the option `services`: `service(name)` calls the methods of this object."""
        self._services.objects[name] = made

    def unregister_service(self, name: str) -> None:
        """There is no such service any more."""
        self._services.objects.pop(name, None)

    def register_hook(self, name: str, handler: Any) -> None:
        """As `hornbeam_hooks:reg` in Erlang: `execute(name, ...)` calls this handler, of the forms
        that `hornbeam_erlang.register_hook` takes."""
        self.hooks.add(name, handler)

    def unregister_hook(self, name: str) -> None:
        """There is no such hook any more."""
        self.hooks.remove(name)

    def serve(self, channels: Channels) -> Rooms:
        """As the option `channels`: what clients connect to."""
        self._rooms = Rooms(channels)
        return self._rooms

    def advance(self, seconds: float) -> None:
        """As if so many seconds had passed: values of the state expire, rate limits recover."""
        self._ahead += seconds

    def lose(self, name: str) -> None:
        """As if the leases of all who hold the lock, the semaphore or the election of this name had
        ended: they hear that it is lost, and those who wait get it."""
        self._locks.lose(name)

    def clear(self) -> None:
        """Forgets the whole state, and what was computed."""
        with self._lock:
            self._entries.clear()
        self._cache.clear(None)

    # Backend

    def call(self, operation: int, arguments: list[Any]) -> Any:
        if operation == _WAITS:
            return _unpacked(self._cache.wait(*_asked(*arguments)))
        if operation == _LOCK_WAITS:
            return self._locks.wait(*arguments)
        name = _NAMES[operation]
        copies = [_unpack(_pack(part, label)) for part, label in _labelled(operation, arguments)]
        handler = self._handler(name)
        if name in _FUNCTIONS:
            value = handler(*copies)
        else:
            with self._lock:
                value = handler(*copies)
        return ABSENT if value is ABSENT else _unpack(_pack(value, "the answer"))

    def _handler(self, name: str) -> Callable[..., Any]:
        found: Callable[..., Any]
        if name.startswith(("channel_", "presence_")):
            found = getattr(self._rooms, f"on_{name}")
        elif name.startswith("cluster_"):
            found = getattr(self._cluster, f"on_{name}")
        elif name.startswith("lock_"):
            found = getattr(self._locks, f"on_{name}")
        elif name.startswith("metrics_"):
            found = getattr(self._metrics, f"on_{name}")
        elif name.startswith("layer_"):
            found = getattr(self._layers, f"on_{name}")
        else:
            found = getattr(self, f"_on_{name}")
        return found

    async def acall(self, operation: int, arguments: list[Any]) -> Any:
        if operation == _WAITS:
            return _unpacked(await self._cache.await_(*_asked(*arguments)))
        if operation == _LOCK_WAITS:
            return await self._locks.await_(*arguments)
        if operation == _LAYER_WAITS:
            with self._lock:
                told = self._layers.wait(*arguments[:2])
            return await told
        if _NAMES[operation] in _FUNCTIONS:
            return await asyncio.to_thread(self.call, operation, arguments)
        await asyncio.sleep(0)
        return self.call(operation, arguments)

    def post(self, operation: int, arguments: list[Any]) -> None:
        if _NAMES[operation] != "unsubscribe":  # of which the hub knows already
            self.call(operation, arguments)

    def expect(self, operation: int, arguments: list[Any]) -> Mailbox:
        (token,) = arguments  # the operation is lock_lost
        return self._locks.watch(token)

    def wait(self, mailbox: Mailbox, timeout: float | None) -> None:
        wait_in_thread(mailbox, timeout)

    def service_call(self, asked: ServiceRequest) -> Any:
        return self._services.call(asked)

    async def aservice_call(self, asked: ServiceRequest) -> Any:
        return await asyncio.to_thread(self._services.call, asked)

    def service_stream(self, asked: ServiceRequest) -> Feed:
        return self._services.stream(asked)

    def hook_call(self, asked: HookRequest) -> Any:
        return self._hooks.execute(asked)

    async def ahook_call(self, asked: HookRequest) -> Any:
        return await asyncio.to_thread(self._hooks.execute, asked)

    def hook_await(self, timeout_ms: int, task: str) -> Any:
        return self._hooks.fetch(timeout_ms, task)

    async def ahook_await(self, timeout_ms: int, task: str) -> Any:
        return await asyncio.to_thread(self._hooks.fetch, timeout_ms, task)

    def hook_stream(self, asked: HookRequest) -> Feed:
        return self._hooks.values(asked)

    def _on_hook_register(self, _name: str) -> None:
        return None

    def _on_hook_unregister(self, _name: str) -> bool:
        return True

    # State

    def _now(self) -> float:
        return time.monotonic() + self._ahead

    def _find(self, packed_key: bytes) -> _Entry | None:
        entry = self._entries.get(packed_key)
        if entry is not None and entry.expires <= self._now():
            del self._entries[packed_key]
            return None
        return entry

    def _on_state_get(self, key: Any) -> Any:
        entry = self._find(_pack(key, "key"))
        return ABSENT if entry is None else _unpack(entry.packed)

    def _on_state_set(self, key: Any, value: Any, ttl: int | None) -> None:
        self._entries[_pack(key, "key")] = _Entry(
            _pack(value, "value"), _expires(ttl) + self._ahead
        )

    def _on_state_delete(self, key: Any) -> bool:
        return self._on_state_pop(key) is not ABSENT

    def _on_state_pop(self, key: Any) -> Any:
        entry = self._find(_pack(key, "key"))
        if entry is None:
            return ABSENT
        del self._entries[_pack(key, "key")]
        return _unpack(entry.packed)

    def _on_state_incr(self, key: Any, delta: float, ttl: int | None) -> float:
        entry = self._find(_pack(key, "key"))
        if entry is None:
            self._on_state_set(key, delta, ttl)
            return delta
        value = _unpack(entry.packed)
        if type(value) not in (int, float):
            raise TypeError("the stored value is not a number")
        try:
            total: float = value + delta
            in_range = type(total) is int or math.isfinite(total)
        except OverflowError:
            in_range = False
        if not in_range:
            raise ValueError("the sum is out of the range of a float")
        entry.packed = _pack(total, "value")
        return total

    def _on_state_get_multi(self, keys: list[Any]) -> list[Any]:
        values = [self._on_state_get(key) for key in keys]
        return [None if value is ABSENT else value for value in values]

    def _on_state_keys(self, prefix: str | bytes | None) -> list[Any]:
        return [key for key, _ in self._on_state_items(prefix)]

    def _on_state_items(self, prefix: str | bytes | None) -> list[tuple[Any, Any]]:
        found = []
        for packed in list(self._entries):
            entry, key = self._find(packed), _unpack(packed)
            matches = prefix is None or _has_prefix(key, prefix)
            if entry is not None and matches:
                found.append((key, _unpack(entry.packed)))
        return found

    def _on_state_add(self, key: Any, value: Any, ttl: int | None) -> bool:
        if self._find(_pack(key, "key")) is not None:
            return False
        self._on_state_set(key, value, ttl)
        return True

    def _on_state_touch(self, key: Any, ttl: int | None) -> bool:
        entry = self._find(_pack(key, "key"))
        if entry is None:
            return False
        entry.expires = _expires(ttl) + self._ahead
        return True

    def _on_state_cas(self, key: Any, old: Any, new: Any) -> bool:
        entry = self._find(_pack(key, "key"))
        if entry is None or not _same(_unpack(entry.packed), old):
            return False
        entry.packed = _pack(new, "new")
        return True

    # Rate limits, on the state

    def _on_rate_hit(self, row: bytes, cost: int, windows: list[tuple[int, int]]) -> Any:
        key = (ROWS, row)
        until = self._on_state_get(key)
        if until is ABSENT:
            until = [0] * len(windows)
        now = time.monotonic_ns() + round(self._ahead * 1e9)
        answer, new = decide(now, cost, windows, until)
        if answer[0] and cost:
            self._on_state_set(key, new, max(answer[2]) // 1_000_000 + 1)
        return answer

    def _on_rate_hit_cluster(
        self, row: bytes, cost: int, windows: list[tuple[int, int]], _exact: bool, _failing: int
    ) -> Any:
        return self._on_rate_hit(row, cost, windows)

    def _on_rate_reset(self, row: bytes, _exact: bool) -> bool:
        return bool(self._on_state_delete((ROWS, row)))

    # Publish and subscribe: the hub has been told already

    def _on_publish(self, topic: str, message: Any) -> int:
        return self.hub.deliver(topic, _pack(message, "message"))

    def _on_subscribe(self, _topic: str) -> None:
        return None

    def _on_unsubscribe(self, _topic: str) -> bool:
        return True

    # What is computed once

    def _on_cache_put(self, token: int, packed: bytes, ttl: int | None) -> None:
        self._cache.put(token, packed, _expires(ttl))

    def _on_cache_fail(self, token: int, failure: list[Any]) -> None:
        self._cache.fail(token, failure)

    def _on_cache_leave(self, token: int) -> None:
        self._cache.leave(token)

    def _on_cache_clear(self, namespace: str | None) -> int:
        return self._cache.clear(namespace)

    def _on_cache_stats(self, nodes: bool) -> dict[str, Any]:
        stats = self._cache.stats()
        return {NODE: stats} if nodes else stats

    # Functions

    def _on_call(self, timeout_ms: int, name: str, arguments: list[Any]) -> Any:
        return _run(self._registered(name), arguments, timeout_ms)

    def _on_cast(self, name: str, arguments: list[Any]) -> None:
        _start(self._registered(name), arguments)

    def _registered(self, name: str) -> Callable[..., Any]:
        try:
            return self.functions[name]
        except KeyError:
            text = f'no function is registered as "{name}"'
            raise NotRegisteredError("error", "not_registered", text, "") from None

    def _on_rpc_call(
        self, timeout_ms: int, node: str, module: str, function: str, arguments: list[Any]
    ) -> Any:
        return _run(self._remote(node, module, function), arguments, timeout_ms)

    def _on_rpc_cast(self, node: str, module: str, function: str, arguments: list[Any]) -> None:
        _start(self._remote(node, module, function), arguments)

    def _remote(self, node: str, module: str, function: str) -> Callable[..., Any]:
        if (module, function) not in self.remote:
            raise PermissionError(f"{module}:{function} may not be called from Python")
        if node != NODE:
            raise ConnectionError(f"node {node} cannot be reached: there is only {NODE}")
        return self.remote[module, function]

    def _on_nodes(self) -> list[str]:
        return []

    def _on_node(self) -> str:
        return NODE

    def _on_connect(self, node: str) -> bool:
        if node != NODE:
            raise PermissionError(f'connect: "{node}" is not in the option cluster_nodes')
        return True

    def _on_ping(self, node: str) -> bool:
        return node == NODE


def _labelled(operation: int, arguments: list[Any]) -> list[tuple[Any, str]]:
    return list(zip(arguments, ARGUMENTS.get(operation, ()), strict=True))


def _has_prefix(key: Any, prefix: Any) -> bool:
    return type(key) is type(prefix) and bool(key.startswith(prefix))


def _expires(ttl: int | None) -> float:
    return math.inf if ttl is None else time.monotonic() + ttl / 1000


def _asked(
    namespace: str, digest: bytes, token: int, mode: int, timeout: int | None
) -> tuple[tuple[str, bytes], int, int, float | None]:
    # Nothing is to be shared with: the node is all there is.
    return (namespace, digest), token, mode & 3, None if timeout is None else timeout / 1000


def _unpacked(packed: Any) -> Any:
    return ABSENT if packed is ABSENT else _unpack(packed)


def _pack(value: Any, label: str) -> bytes:
    from hornbeam_worker import values  # needs msgpack, which an import of this package does not

    return values.pack_argument(label, value)


def _unpack(packed: bytes) -> Any:
    from hornbeam_worker import values

    return values.unpack(packed)


def _same(one: Any, other: Any) -> bool:
    """Equal in value and type, as Erlang's =:= has it: dicts in any order, nan equal to nan."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict):
        pairs = {_pack(key, "key"): value for key, value in one.items()}
        others = {_pack(key, "key"): value for key, value in other.items()}
        return pairs.keys() == others.keys() and all(_same(pairs[k], others[k]) for k in pairs)
    return bool(one == other or (one != one and other != other))


def _start(function: Callable[..., Any], arguments: list[Any]) -> concurrent.futures.Future[Any]:
    """Runs a function in a thread of its own, which does not keep the process alive."""
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def run() -> None:
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, name="hornbeam-standalone", daemon=True).start()
    return future


def _run(function: Callable[..., Any], arguments: list[Any], timeout_ms: int) -> Any:
    future = _start(function, arguments)
    try:
        error = future.exception(timeout_ms / 1000)
    except concurrent.futures.TimeoutError:
        raise TimeoutError("the call has not been answered in time") from None
    if isinstance(error, ErlangError):
        raise error
    if error is not None:
        stack = "".join(traceback.format_exception(error))
        raise ErlangError("error", str(error), repr(error), stack)
    return future.result()
