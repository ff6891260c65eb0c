"""The awaitable twins of `hornbeam_erlang`: the same names, arguments, values and errors.

    from hornbeam_erlang import aio
    views, user = await asyncio.gather(aio.state_incr("views"), aio.state_get("user:1"))

They never block the loop, and pipeline: what is asked in one iteration of the loop goes out in one
write. Cancelling an await ends the call on Erlang's side too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hornbeam_erlang import _cached, _hooks, _leader, _locks, _pubsub, _services, _tasks
from hornbeam_erlang import _requests as requests
from hornbeam_erlang import _task_requests as tasks
from hornbeam_erlang._backend import ABSENT
from hornbeam_erlang._client import acall, backend
from hornbeam_erlang._cluster_aio import cluster_info, cluster_state
from hornbeam_erlang._task_requests import Duration, Function, TaskInfo, TaskOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "await_result", "await_task", "cache_stats", "cached_inference", "call", "cancel_task", "cast",
    "clear_cache", "cluster_info", "cluster_state", "connect", "execute", "execute_async", "hooks",
    "leader", "list_tasks", "lock", "node", "nodes", "ping", "publish", "receive_pubsub",
    "register_hook", "retry_task", "rpc_call", "rpc_cast", "semaphore", "service", "spawn",
    "state_add", "state_cas", "state_decr", "state_delete", "state_get", "state_get_multi",
    "state_incr", "state_items", "state_keys", "state_pop", "state_set", "stream", "subscribe",
    "subscription", "task_arguments", "task_events", "task_info", "task_progress", "task_result",
    "task_status", "unregister_hook", "unsubscribe",
]  # fmt: skip

subscription = _pubsub.subscription
service = _services.service
hooks = _hooks.hooks
stream = _hooks.stream
task_events = _tasks.atask_events
lock = _locks.lock
semaphore = _locks.semaphore
leader = _leader.leader


async def state_get(key: Any, default: Any = None) -> Any:
    """The value of a key, or `default` when there is none or it has expired."""
    value = await acall(*requests.state_get(key))
    return default if value is ABSENT else value


async def state_set(key: Any, value: Any, ttl: float | None = None) -> None:
    """Stores a value; with `ttl` it expires after so many seconds."""
    await acall(*requests.state_set(key, value, ttl))


async def state_delete(key: Any) -> bool:
    """Deletes a key; whether there was one."""
    return bool(await acall(*requests.state_delete(key)))


async def state_incr(key: Any, delta: float = 1, ttl: float | None = None) -> Any:
    """Adds to a number and returns the sum; `ttl`, in seconds, when this call makes it."""
    return await acall(*requests.state_incr(key, delta, ttl))


async def state_decr(key: Any, delta: float = 1) -> Any:
    """Subtracts from a number and returns the difference."""
    return await acall(*requests.state_incr(key, -delta, None))


async def state_get_multi(keys: Iterable[Any]) -> dict[Any, Any]:
    """The values of several keys in one call; None for those that are missing."""
    wanted = list(keys)
    return dict(zip(wanted, await acall(*requests.state_get_multi(wanted)), strict=True))


async def state_keys(prefix: str | bytes | None = None) -> list[Any]:
    """All keys, or those that begin with `prefix`."""
    keys: list[Any] = await acall(*requests.state_keys(prefix))
    return keys


async def state_items(prefix: str | bytes | None = None) -> list[tuple[Any, Any]]:
    """Pairs of keys and values, all or those whose key begins with `prefix`."""
    items: list[tuple[Any, Any]] = await acall(*requests.state_items(prefix))
    return items


async def state_add(key: Any, value: Any, ttl: float | None = None) -> bool:
    """Stores a value unless the key has one; whether it did."""
    return bool(await acall(*requests.state_add(key, value, ttl)))


async def state_cas(key: Any, old: Any, new: Any) -> bool:
    """Stores `new` if the value is exactly `old`; whether it did."""
    return bool(await acall(*requests.state_cas(key, old, new)))


async def state_pop(key: Any, default: Any = None) -> Any:
    """Removes a key and returns its value, or `default`."""
    value = await acall(*requests.state_pop(key))
    return default if value is ABSENT else value


async def publish(topic: str, message: Any) -> int:
    """Sends a message to every subscriber; how many subscriptions it reached."""
    return int(await acall(*requests.publish(topic, message)))


def subscribe(topic: str) -> _pubsub.Subscribing:
    """Subscribes to a topic or pattern, in one of two ways.

        async with aio.subscribe("chat:1") as messages:
            async for topic, message in messages: ...

    is `subscription("chat:1")`, and ends with the block. `await aio.subscribe("chat:1")` subscribes
    the current task until it ends; see `receive_pubsub`.
    """
    return _pubsub.Subscribing(topic)


async def unsubscribe(topic: str) -> bool:
    """Takes back one `subscribe` of the current task; whether there was one."""
    request = requests.unsubscribe(topic)
    left = backend().hub.leave(_pubsub.mailbox_of_caller(), topic)
    return left and bool(await acall(*request))


async def receive_pubsub(timeout: float | None = None) -> tuple[str, Any] | None:
    """The next message for the current task's `subscribe`, or None after `timeout` seconds."""
    return await _pubsub.get(_pubsub.mailbox_of_caller(), timeout)


async def call(name: str, *args: Any, timeout_ms: int = 5000) -> Any:
    """Calls a registered Erlang function and returns its value."""
    return await acall(*requests.function_call(name, args, timeout_ms))


async def cast(name: str, *args: Any) -> None:
    """Has a registered Erlang function run; returns when it has been started."""
    await acall(*requests.function_cast(name, args))


async def rpc_call(
    node: str, module: str, function: str, args: Sequence[Any] = (), timeout_ms: int = 5000
) -> Any:
    """Runs a function on an Erlang node and returns its value."""
    return await acall(*requests.rpc_call(node, module, function, args, timeout_ms))


async def rpc_cast(node: str, module: str, function: str, args: Sequence[Any] = ()) -> None:
    """Has a function run on an Erlang node."""
    await acall(*requests.rpc_cast(node, module, function, args))


async def nodes() -> list[str]:
    """The names of the connected Erlang nodes."""
    names: list[str] = await acall(*requests.nodes())
    return names


async def node() -> str:
    """The name of this Erlang node."""
    return str(await acall(*requests.node()))


async def connect(node: str) -> bool:
    """Connects to a node; whether it is connected now."""
    return bool(await acall(*requests.connect(node)))


async def ping(node: str) -> bool:
    """Whether a node answers."""
    return bool(await acall(*requests.ping(node)))


async def cached_inference(
    fn: Callable[[Any], Any],
    input: Any,
    key: Any = None,
    ttl: float | None = None,
    namespace: str | None = None,
    timeout: float | None = None,
    shared: bool = False,
) -> Any:
    """`fn(input)`, computed once for equal inputs. A coroutine function runs in the loop, another
    one in a thread."""
    call = _cached.call_of(fn, input, key, namespace)
    return await _cached.awaited(fn, input, call, ttl, timeout, shared)


async def cache_stats(nodes: bool = False) -> dict[str, Any]:
    """The figures of what `cached_inference` and `cached` keep; with `nodes`, by nodes."""
    stats: dict[str, Any] = await acall(*requests.cache_stats(nodes))
    return stats


async def clear_cache(namespace: str | None = None) -> int:
    """Forgets all results, or those of a namespace; how many."""
    return int(await acall(*requests.cache_clear(namespace)))


async def register_hook(app_path: str, handler: Any) -> None:
    """Has this process handle a hook."""
    request = requests.hook_register(app_path)
    take_back = backend().hooks.add(app_path, handler)
    try:
        await acall(*request)
    except BaseException:
        take_back()
        raise


async def unregister_hook(app_path: str) -> None:
    """This process handles the hook no longer."""
    await acall(*requests.hook_unregister(app_path))
    backend().hooks.remove(app_path)


async def execute(app_path: str, action: str, /, *args: Any, **kwargs: Any) -> Any:
    """Calls a hook and returns its value; cancelling the await ends the call."""
    return await _hooks.HERE.aexecute(app_path, action, *args, **kwargs)


async def execute_async(app_path: str, action: str, /, *args: Any, **kwargs: Any) -> str:
    """Begins a call and returns the id by which `await_result` fetches its value."""
    return await _hooks.HERE.aexecute_async(app_path, action, *args, **kwargs)


async def await_result(task_id: str, timeout_ms: int = 30_000) -> Any:
    """The value of a call that `execute_async` has begun."""
    return await backend().ahook_await(*requests.hook_await(task_id, timeout_ms))


async def spawn(
    function: Function,
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    **options: Unpack[TaskOptions],
) -> str:
    """Has a function run in the background and returns the task's id."""
    return tasks.spawned(await acall(*tasks.spawn(function, args, kwargs, options)))


async def task_status(task: str) -> str:
    """Its state."""
    return (await task_info(task))["state"]


async def task_info(task: str) -> TaskInfo:
    """All there is to know of it."""
    return tasks.info(await acall(*tasks.of_id("task_info", task)), task)


async def task_result(task: str) -> Any:
    """What it returned."""
    return tasks.result(await acall(*tasks.of_id("task_result", task)), task)


async def task_arguments(task: str) -> tuple[list[Any], dict[str, Any]]:
    """What its function is called with."""
    return tasks.arguments(await acall(*tasks.of_id("task_body", task)), task)


async def await_task(task: str, timeout: Duration | None = None) -> Any:
    """Waits until it is over; what it returned."""
    return tasks.result(await acall(*tasks.wait(task, timeout)), task)


async def cancel_task(task: str) -> bool:
    """Ends it; whether it was not over yet."""
    return tasks.found(await acall(*tasks.of_id("task_cancel", task)), task)


async def retry_task(task: str) -> bool:
    """Runs one that has failed or was cancelled once more."""
    return tasks.found(await acall(*tasks.of_id("task_retry", task)), task)


async def list_tasks(
    state: str | None = None, queue: str | None = None, limit: int = 100
) -> list[TaskInfo]:
    """The tasks of this server, the newest first."""
    return tasks.infos(await acall(*tasks.listing(state, queue, limit)))


async def task_progress(value: Any) -> None:
    """In a task: says how far it is."""
    await acall(*tasks.progress(value))
