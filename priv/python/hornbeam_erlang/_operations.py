"""The operations that Python can ask of Erlang, by name: the mirror of `hornbeam_services`.

`ARGUMENTS` names the arguments of those that carry values of the caller's, for the text of a
TypeError.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ARGUMENTS", "OPERATIONS"]

OPERATIONS: Final = {
    "state_get": 1,
    "state_set": 2,
    "state_delete": 3,
    "state_incr": 4,
    "state_get_multi": 5,
    "state_keys": 6,
    "state_items": 7,
    "state_add": 8,
    "state_cas": 9,
    "state_pop": 10,
    "publish": 20,
    "subscribe": 21,
    "unsubscribe": 22,
    "call": 30,
    "cast": 31,
    "rpc_call": 40,
    "rpc_cast": 41,
    "nodes": 42,
    "node": 43,
    "connect": 44,
    "ping": 45,
    "cache_get": 50,
    "cache_put": 51,
    "cache_fail": 52,
    "cache_leave": 53,
    "cache_clear": 54,
    "cache_stats": 55,
    "cancel": 60,
    "events_taken": 61,
    "taken": 62,
    "service_call": 70,
    "service_stream": 71,
    "hook_register": 80,
    "hook_unregister": 81,
    "hook_language": 82,
    "hook_call": 83,
    "hook_stream": 84,
    "hook_start": 85,
    "hook_await": 86,
}

ARGUMENTS: Final = {
    OPERATIONS[name]: arguments
    for name, arguments in {
        "state_get": ("key",),
        "state_set": ("key", "value", "ttl"),
        "state_delete": ("key",),
        "state_incr": ("key", "delta", "ttl"),
        "state_get_multi": ("keys",),
        "state_keys": ("prefix",),
        "state_items": ("prefix",),
        "state_add": ("key", "value", "ttl"),
        "state_cas": ("key", "old", "new"),
        "state_pop": ("key",),
        "publish": ("topic", "message"),
        "subscribe": ("topic",),
        "unsubscribe": ("topic",),
        "call": ("timeout_ms", "name", "args"),
        "cast": ("name", "args"),
        "rpc_call": ("timeout_ms", "node", "module", "function", "args"),
        "rpc_cast": ("node", "module", "function", "args"),
        "connect": ("node",),
        "ping": ("node",),
        "hook_register": ("app_path",),
        "hook_unregister": ("app_path",),
        "hook_await": ("timeout_ms", "task_id"),
        "cache_get": ("namespace", "digest", "token", "mode", "timeout"),
        "cache_put": ("token", "result", "ttl"),
        "cache_fail": ("token", "failure"),
        "cache_leave": ("token",),
        "cache_clear": ("namespace",),
    }.items()
}
