"""What an application served by Hornbeam can ask of Erlang.

    from hornbeam_erlang import state_incr
    views = state_incr("views")

State           state_get state_set state_delete state_incr state_decr state_get_multi state_keys
                state_items state_add state_cas state_pop; get set delete incr decr for short
Of a cluster    cluster_state: the same over all nodes, replicated; cluster_info; lock semaphore
                leader
Publish and     publish subscription; subscribe unsubscribe receive_pubsub for code that polls
subscribe
Functions       call cast: Erlang functions that are registered by name
Other nodes     rpc_call rpc_cast nodes node connect ping
Services        service: objects in processes of their own; batched: their methods that get lists
Computed once   cached_inference, the decorator cached; cache_stats clear_cache
Hooks           register_hook unregister_hook execute execute_async await_result stream
                stream_async hooks: handlers in either language, by name and action
Tasks           spawn task_status task_info task_result await_task cancel_task retry_task
                list_tasks task_events; in a task current_task task_progress; at times: scheduled
Traces          traceparent: what a request to another server says of its parent; trace_ids
Errors          ErlangError NotRegisteredError, ServiceError ServiceUnavailableError
                ServiceOverloadedError NoSuchServiceError, ComputationError, HookError
                HookNotFoundError, TaskError and its kinds; else Python's own
`channels`      topics with handlers over one WebSocket; `presence`: who is there
`aio`           the same functions to await
`ratelimit`     rate limits; `socketio`: client managers for python-socketio
`testing`       a stand-in for an application's unit tests

The functions block until Erlang has answered (about 10 µs for the state), in any thread. Reference:
docs/erlang-from-python.md.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hornbeam_erlang import aio
    from hornbeam_erlang._batched import batched
    from hornbeam_erlang._cached import cache_stats, cached, cached_inference, clear_cache
    from hornbeam_erlang._cluster_changes import Change, Versioned
    from hornbeam_erlang._cluster_state import ClusterState, cluster_info, cluster_state
    from hornbeam_erlang._errors import (
        ClusterError,
        ClusterOverloadedError,
        ComputationError,
        ErlangError,
        HookError,
        HookNotFoundError,
        InDoubtError,
        LockLostError,
        NoClusterError,
        NoQuorumError,
        NoSuchServiceError,
        NotRegisteredError,
        ServiceError,
        ServiceOverloadedError,
        ServiceUnavailableError,
        TaskCancelledError,
        TaskError,
        TaskFailedError,
        TaskNotFinishedError,
        TaskNotFoundError,
        TaskRefusedError,
    )
    from hornbeam_erlang._functions import (
        call,
        cast,
        connect,
        node,
        nodes,
        ping,
        rpc_call,
        rpc_cast,
    )
    from hornbeam_erlang._hooks import (
        await_result,
        execute,
        execute_async,
        hooks,
        register_hook,
        stream,
        unregister_hook,
    )
    from hornbeam_erlang._leader import Leader, leader
    from hornbeam_erlang._locks import Lock, Token, lock, semaphore
    from hornbeam_erlang._pubsub import (
        Subscription,
        publish,
        receive_pubsub,
        subscribe,
        subscription,
        unsubscribe,
    )
    from hornbeam_erlang._run import TaskContext, current_task
    from hornbeam_erlang._schedules import scheduled
    from hornbeam_erlang._services import service
    from hornbeam_erlang._state import (
        state_add,
        state_cas,
        state_decr,
        state_delete,
        state_get,
        state_get_multi,
        state_incr,
        state_items,
        state_keys,
        state_pop,
        state_set,
    )
    from hornbeam_erlang._task_requests import TaskEvent, TaskInfo
    from hornbeam_erlang._tasks import (
        await_task,
        cancel_task,
        list_tasks,
        retry_task,
        spawn,
        task_arguments,
        task_events,
        task_info,
        task_progress,
        task_result,
        task_status,
    )
    from hornbeam_erlang._trace import TraceIds, trace_ids, traceparent

    # The short names of the state's five basic functions.
    get = state_get
    set = state_set
    delete = state_delete
    incr = state_incr
    decr = state_decr
    # And those of hooks. A stream serves `for` and `async for`.
    hook = register_hook
    unhook = unregister_hook
    stream_async = stream
else:
    import importlib

    # Where a name is from. A worker needs few of these modules, and many applications none: each is
    # imported when it is asked for, which spares a worker 1.3 MB and 5 ms.
    _NAMES = {
        "_batched": "batched",
        "_cached": "cache_stats cached cached_inference clear_cache",
        "_cluster_changes": "Change Versioned",
        "_cluster_state": "ClusterState cluster_info cluster_state",
        "_errors": (
            "ClusterError ClusterOverloadedError ComputationError ErlangError HookError "
            "HookNotFoundError InDoubtError LockLostError NoClusterError NoQuorumError "
            "NoSuchServiceError NotRegisteredError ServiceError ServiceOverloadedError "
            "ServiceUnavailableError TaskCancelledError TaskError TaskFailedError "
            "TaskNotFinishedError TaskNotFoundError TaskRefusedError"
        ),
        "_functions": "call cast connect node nodes ping rpc_call rpc_cast",
        "_hooks": "await_result execute execute_async hooks register_hook stream unregister_hook",
        "_leader": "Leader leader",
        "_locks": "Lock Token lock semaphore",
        "_pubsub": "Subscription publish receive_pubsub subscribe subscription unsubscribe",
        "_run": "TaskContext current_task",
        "_schedules": "scheduled",
        "_services": "service",
        "_state": (
            "state_add state_cas state_decr state_delete state_get state_get_multi "
            "state_incr state_items state_keys state_pop state_set"
        ),
        "_task_requests": "TaskEvent TaskInfo",
        "_tasks": (
            "await_task cancel_task list_tasks retry_task spawn task_arguments task_events "
            "task_info task_progress task_result task_status"
        ),
        "_trace": "TraceIds trace_ids traceparent",
    }
    _SHORT = {
        "get": "state_get",
        "set": "state_set",
        "delete": "state_delete",
        "incr": "state_incr",
        "decr": "state_decr",
        "hook": "register_hook",
        "unhook": "unregister_hook",
        "stream_async": "stream",
    }
    _PLACES = {name: place for place, names in _NAMES.items() for name in names.split()}

    def __getattr__(name: str) -> object:
        if name == "aio":
            return importlib.import_module("hornbeam_erlang.aio")
        place = _PLACES.get(_SHORT.get(name, name))
        if place is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(f"hornbeam_erlang.{place}")
        value = globals()[name] = getattr(module, _SHORT.get(name, name))
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "Change",
    "ClusterError",
    "ClusterOverloadedError",
    "ClusterState",
    "ComputationError",
    "ErlangError",
    "HookError",
    "HookNotFoundError",
    "InDoubtError",
    "Leader",
    "Lock",
    "LockLostError",
    "NoClusterError",
    "NoQuorumError",
    "NoSuchServiceError",
    "NotRegisteredError",
    "ServiceError",
    "ServiceOverloadedError",
    "ServiceUnavailableError",
    "Subscription",
    "TaskCancelledError",
    "TaskContext",
    "TaskError",
    "TaskEvent",
    "TaskFailedError",
    "TaskInfo",
    "TaskNotFinishedError",
    "TaskNotFoundError",
    "TaskRefusedError",
    "Token",
    "TraceIds",
    "Versioned",
    "aio",
    "await_result",
    "await_task",
    "batched",
    "cache_stats",
    "cached",
    "cached_inference",
    "call",
    "cancel_task",
    "cast",
    "clear_cache",
    "cluster_info",
    "cluster_state",
    "connect",
    "current_task",
    "decr",
    "delete",
    "execute",
    "execute_async",
    "get",
    "hook",
    "hooks",
    "incr",
    "leader",
    "list_tasks",
    "lock",
    "node",
    "nodes",
    "ping",
    "publish",
    "receive_pubsub",
    "register_hook",
    "retry_task",
    "rpc_call",
    "rpc_cast",
    "scheduled",
    "semaphore",
    "service",
    "set",
    "spawn",
    "state_add",
    "state_cas",
    "state_decr",
    "state_delete",
    "state_get",
    "state_get_multi",
    "state_incr",
    "state_items",
    "state_keys",
    "state_pop",
    "state_set",
    "stream",
    "stream_async",
    "subscribe",
    "subscription",
    "task_arguments",
    "task_events",
    "task_info",
    "task_progress",
    "task_result",
    "task_status",
    "trace_ids",
    "traceparent",
    "unhook",
    "unregister_hook",
    "unsubscribe",
]
