"""What each public function sends: its operation and its checked arguments. Shared by the functions
that wait and their twins in `aio`; raises TypeError and ValueError for wrong arguments."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from hornbeam_erlang._operations import OPERATIONS

Request = tuple[int, list[Any]]

# The longest time that Erlang's timers take, about 49 days.
_MAX_MS: Final = 0xFFFFFFFF
# hornbeam_pubsub: bytes before the "*" of a pattern; hornbeam_events: bytes of a topic.
_MAX_PREFIX: Final = 128
_MAX_TOPIC: Final = 65_535

# hornbeam_hook_registry, hornbeam_hook_run: bytes of a hook's name and of an action.
_MAX_HOOK: Final = 512
_MAX_ACTION: Final = 255

_GET: Final = OPERATIONS["state_get"]
_SET: Final = OPERATIONS["state_set"]
_INCR: Final = OPERATIONS["state_incr"]
_CACHE_GET: Final = OPERATIONS["cache_get"]


def state_get(key: Any) -> Request:
    return _GET, [key]


def state_set(key: Any, value: Any, ttl: float | None) -> Request:
    return _SET, [key, value, ttl_ms(ttl)]


def state_delete(key: Any) -> Request:
    return OPERATIONS["state_delete"], [key]


def state_incr(key: Any, delta: float, ttl: float | None) -> Request:
    if type(delta) is not int:
        _check_number(delta)
    return _INCR, [key, delta, ttl_ms(ttl)]


def state_get_multi(keys: Iterable[Any]) -> Request:
    return OPERATIONS["state_get_multi"], [list(keys)]


def state_keys(prefix: str | bytes | None) -> Request:
    return OPERATIONS["state_keys"], [_prefix(prefix)]


def state_items(prefix: str | bytes | None) -> Request:
    return OPERATIONS["state_items"], [_prefix(prefix)]


def state_add(key: Any, value: Any, ttl: float | None) -> Request:
    return OPERATIONS["state_add"], [key, value, ttl_ms(ttl)]


def state_cas(key: Any, old: Any, new: Any) -> Request:
    return OPERATIONS["state_cas"], [key, old, new]


def state_pop(key: Any) -> Request:
    return OPERATIONS["state_pop"], [key]


def publish(topic: str, message: Any) -> Request:
    if _topic(topic).endswith("*"):
        raise ValueError(f"{topic!r} is a pattern: one can subscribe to it, not publish")
    return OPERATIONS["publish"], [topic, message]


def subscribe(topic: str) -> Request:
    return OPERATIONS["subscribe"], [_topic(topic)]


def unsubscribe(topic: str) -> Request:
    return OPERATIONS["unsubscribe"], [_topic(topic)]


def function_call(name: str, arguments: tuple[Any, ...], timeout_ms: int) -> Request:
    return OPERATIONS["call"], [_timeout(timeout_ms), _text("name", name), list(arguments)]


def function_cast(name: str, arguments: tuple[Any, ...]) -> Request:
    return OPERATIONS["cast"], [_text("name", name), list(arguments)]


def rpc_call(
    node: str, module: str, function: str, arguments: Sequence[Any], timeout_ms: int
) -> Request:
    target = [_text("node", node), _text("module", module), _text("function", function)]
    return OPERATIONS["rpc_call"], [_timeout(timeout_ms), *target, list(arguments)]


def rpc_cast(node: str, module: str, function: str, arguments: Sequence[Any]) -> Request:
    target = [_text("node", node), _text("module", module), _text("function", function)]
    return OPERATIONS["rpc_cast"], [*target, list(arguments)]


def nodes() -> Request:
    return OPERATIONS["nodes"], []


def node() -> Request:
    return OPERATIONS["node"], []


def connect(node: str) -> Request:
    return OPERATIONS["connect"], [_text("node", node)]


def ping(node: str) -> Request:
    return OPERATIONS["ping"], [_text("node", node)]


def cache_get(
    namespace: str, digest: bytes, token: int, mode: int, timeout: float | None
) -> Request:
    # The mode is one of hornbeam_service_cache: 4 more for what the cluster shares.
    wait = None if timeout is None else min(_seconds("timeout", timeout), _MAX_MS)
    return _CACHE_GET, [namespace, digest, token, mode, wait]


def cache_put(token: int, packed: bytes, ttl_ms: int | None) -> Request:
    return OPERATIONS["cache_put"], [token, packed, ttl_ms]


def cache_fail(token: int, failure: list[Any]) -> Request:
    return OPERATIONS["cache_fail"], [token, failure]


def cache_leave(token: int) -> Request:
    return OPERATIONS["cache_leave"], [token]


def cache_clear(namespace: str | None) -> Request:
    named = namespace if namespace is None else _text("namespace", namespace)
    return OPERATIONS["cache_clear"], [named]


def cache_stats(nodes: bool) -> Request:
    return OPERATIONS["cache_stats"], [bool(nodes)]


def hook_register(name: str) -> Request:
    return OPERATIONS["hook_register"], [hook_name(name)]


def hook_unregister(name: str) -> Request:
    return OPERATIONS["hook_unregister"], [hook_name(name)]


def hook_await(task: str, timeout_ms: int) -> tuple[int, str]:
    return _timeout(timeout_ms), _text("task_id", task)


def hook_name(name: str) -> str:
    size = len(_text("app_path", name).encode("utf-8", "surrogatepass"))
    if not 0 < size <= _MAX_HOOK or "\0" in name:
        text = f"app_path must have 1 to {_MAX_HOOK} bytes, none of them NUL, not {size}"
        raise ValueError(text)
    return name


def hook_action(action: str) -> str:
    size = len(_text("action", action).encode("utf-8", "surrogatepass"))
    if size > _MAX_ACTION or "\0" in action:
        raise ValueError(f"action must have at most {_MAX_ACTION} bytes, none of them NUL")
    return action


def ttl_ms(ttl: float | None) -> int | None:
    return None if ttl is None else _milliseconds(ttl)


def _milliseconds(ttl: float) -> int:
    return _seconds("ttl", ttl)


def _seconds(what: str, seconds: float) -> int:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{what} must be a number of seconds, not {seconds!r}")
    if not (seconds > 0 and math.isfinite(seconds)):
        raise ValueError(f"{what} must be more than 0 seconds, not {seconds!r}")
    return max(1, round(seconds * 1000))


def _check_number(delta: object) -> None:
    if type(delta) is not float:
        raise TypeError(f"delta must be an int or a float, not {delta!r}")
    if not math.isfinite(delta):
        raise ValueError(f"delta must be finite, not {delta!r}")


def _timeout(timeout_ms: int) -> int:
    if isinstance(timeout_ms, bool) or not isinstance(timeout_ms, int):
        raise TypeError(f"timeout_ms must be an int, not {timeout_ms!r}")
    if not 0 < timeout_ms <= _MAX_MS:
        raise ValueError(f"timeout_ms must be from 1 to {_MAX_MS}, not {timeout_ms!r}")
    return timeout_ms


def _text(what: str, value: str) -> str:
    if type(value) is not str:
        raise TypeError(f"{what} must be a str, not {value!r}")
    return value


def _prefix(prefix: str | bytes | None) -> str | bytes | None:
    if prefix is not None and type(prefix) not in (str, bytes):
        raise TypeError(f"prefix must be a str, bytes or None, not {prefix!r}")
    return prefix


def _topic(topic: str) -> str:
    size = len(_text("topic", topic).encode("utf-8", "surrogatepass"))
    if size > (_MAX_PREFIX + 1 if topic.endswith("*") else _MAX_TOPIC):
        raise ValueError(
            f"a topic of {size} bytes: {_MAX_TOPIC} are allowed, {_MAX_PREFIX} before the * of a "
            "pattern"
        )
    return topic
