"""Hooks: handlers in Python and in Erlang, called from both, on two nodes."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Hornbeam, wait_until

from services.conftest import RemoteError, Services
from services.test_rpc import distributed

A, B = "ha@127.0.0.1", "hb@127.0.0.2"
ALLOW = ["hornbeam_hooks:execute", "hornbeam_hooks:stream"]


@pytest.fixture(scope="module")
def nodes(functions: Path) -> Iterator[list[Services]]:
    """Two servers of two workers and of one, on nodes of their own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def made(name: str, **options: Any) -> Hornbeam:
        flags = f"-pa {functions} -s services_functions start {distributed(name, port)}"
        env = {"HORNBEAM_ERL_FLAGS": flags}
        return Hornbeam(
            "services_hooks:app", env=env, cluster_node=[A, B], lifespan="off", **options
        )

    with made(A, workers=2, rpc_allow=ALLOW) as one, made(B) as other:
        found = [Services(one), Services(other)]
        for services in found:
            wait_until(lambda s=services: _registered(s), 10, "the functions are registered")  # type: ignore[misc]
        assert found[0]("aio/connect", B) is True
        yield found


def _registered(services: Services) -> bool:
    try:
        return bool(services("aio/call", "ready"))
    except RemoteError:
        return False


@pytest.fixture(scope="module")
def a(nodes: list[Services]) -> Services:
    return nodes[0]


def erlang(services: Services, what: str, *arguments: Any) -> Any:
    """What Erlang does with hooks (services_functions)."""
    return services("aio/call", "hooks", what, list(arguments), timeout_ms=60_000)


# Handlers


def test_a_function_a_class_an_object_and_erlang_are_called_alike(a: Services) -> None:
    assert a("aio/execute", "function", "go", 1, b"b", key=None) == [
        "go", [1, b"b"], {"key": None}, True,
    ]  # fmt: skip
    assert a("aio/execute", "coroutine", "go", 2) == ["go", 2]
    pid, made, calls = a("aio/execute", "thing", "count")
    assert made == 1
    assert calls >= 1
    assert pid in a.server.workers()
    assert a("aio/execute", "thing", "where") in a.server.workers()
    assert a("aio/execute", "my.pkg:Configured", "who") == "one"
    assert a("aio/execute", "my.pkg:Configured", "other", 1) == ["one", "other", 1]
    assert a("aio/execute", "erlang", "add", 1, 2, more=4) == 7
    assert a("aio/execute", "erlang.module", "echo", (1, None), k="v") == [[(1, None)], {"k": "v"}]


def test_the_loop_an_await_and_a_thread_may_all_call(a: Services) -> None:
    assert a("own/in_all_ways", "erlang", "add", 1, 2) == [3, 3, 3]
    assert a("own/in_all_ways", "my.pkg:Configured", "who") == ["one"] * 3


def test_erlang_calls_hooks_of_both_languages(a: Services) -> None:
    assert erlang(a, "execute", "thing", "kind", ["four"], {}) == ["ok", "str 4"]
    assert erlang(a, "execute", "function", "go", [1], {"k": 2}) == [
        "ok", ["go", [1], {"k": 2}, True],
    ]  # fmt: skip
    assert erlang(a, "execute", "erlang", "add", [1, 2], {}) == ["ok", 3]
    assert erlang(a, "later", "thing", "kind", ["four"]) == [
        ["ok", "str 4"],
        ["error", "not_found"],
    ]


def test_all_workers_serve_a_hook_that_all_have_registered(a: Services) -> None:
    assert erlang(a, "find", "thing") == ["python", 2]
    assert erlang(a, "find", "erlang") == ["erlang"]
    assert erlang(a, "find", "nobody") == ["not_found"]
    assert {"coroutine", "erlang", "function", "my.pkg:Configured", "thing"} <= set(
        erlang(a, "all")
    )
    wait_until(
        lambda: len({found[0] for found in a("own/many", 8, "thing", "count")}) == 2, 10, "both do"
    )


def test_hooks_that_call_hooks_do_not_wait_for_each_other(a: Services) -> None:
    assert a("loop/execute", "thing", "nests", 40) == 41
    assert a("aio/execute", "thing", "through_erlang", 20) == 21
    assert a("own/many", 20, "thing", "nests", 3) == [4] * 20


def test_large_buffers_travel_to_both_languages(a: Services) -> None:
    assert a("own/numpy_there", "thing", "kind") == "bytearray 40000"
    assert a("own/numpy_there", "erlang", "kind").startswith("{bytes,<<")
    assert erlang(a, "execute", "thing", "big", [100_000], {}) == ["ok", bytes(100_000)]
    assert a("aio/execute", "thing", "big", 1_000_000) == bytes(1_000_000)


# Errors


def test_errors_say_what_happened(a: Services) -> None:
    cases = [
        (("thing", "fail", "no"), "HookError", "ValueError: no"),
        (("function", "raise", "k"), "HookError", "KeyError: 'k'"),
        (("thing", "_secret"), "HookError", "AttributeError"),
        (("thing", "looked_at"), "HookError", "AttributeError"),
        (("thing", "numbers", "n", 1), "HookError", "iterate over it"),
        (("erlang", "refuse", "why"), "ErlangError", "error: <<\"why\">>"),
        (("erlang", "crash", 1), "ErlangError", "crashed"),
        (("erlang", "nothing"), "ErlangError", "function_clause"),
        (("erlang", "list", [1]), "TypeError", "iterate over it"),
        (("nobody", "go"), "HookNotFoundError", "nobody handles the hook"),
        (("", "go"), "ValueError", "app_path"),
        (("thing", "x" * 256), "ValueError", "action"),
    ]  # fmt: skip
    for (name, action, *arguments), kind, text in cases:
        with pytest.raises(RemoteError) as caught:
            a("aio/execute", name, action, *arguments)
        assert caught.value.kind == kind, caught.value
        assert text in caught.value.text
    with pytest.raises(RemoteError) as caught:
        a("loop/execute", "thing", "fail", "no")
    assert "services_hooks.py" in caught.value.attributes["traceback"]
    python = erlang(a, "execute", "thing", "fail", ["no"], {})
    assert python[:3] == ["python", "ValueError", "no"]
    assert "services_hooks.py" in python[3]
    assert erlang(a, "execute", "erlang", "refuse", ["why"], {}) == ["error", "why"]
    assert erlang(a, "execute", "erlang", "crash", [1], {}) == ["raised", "error", ("crashed", 1)]
    assert erlang(a, "execute", "nobody", "go", [], {}) == ["error", "not_found"]
    assert erlang(a, "stream", "nobody", "go", [], 1) == ["error", "not_found"]


def test_a_call_ends_when_its_time_is_over_or_nobody_waits(a: Services) -> None:
    for name, action, argument in (("thing", "sleeps", "slow"), ("erlang", "sleep", 60_000)):
        with pytest.raises(RemoteError) as caught:
            a("own/with_timeout", 0.2, None, name, action, argument)
        assert caught.value.kind == "TimeoutError"
    assert erlang(a, "execute", "thing", "sleeps", ["slower"], {}, 200) == ["error", "timeout"]
    a("own/cancelled", "thing", "sleeps", "cancelled")
    for key in ("slow", "slower", "cancelled"):
        wait_until(lambda k=key: a("loop/state_get", k) == "over", 10, "it is cancelled")  # type: ignore[misc]
    wait_until(lambda: a.left()[0] == 0, 10, "nothing is left")


# Later


def test_a_value_is_fetched_once_by_any_worker(a: Services) -> None:
    task = a("loop/execute_async", "thing", "kind", "abc")
    assert a("aio/await_result", task) == "str 3"
    with pytest.raises(RemoteError) as caught:
        a("loop/await_result", task)
    assert caught.value.kind == "HookNotFoundError"
    failing = a("own/later", "thing", "fail", "no")
    with pytest.raises(RemoteError) as caught:
        a("thread/await_result", failing)
    assert caught.value.kind == "HookError"
    slow = a("own/later", "erlang", "sleep", 300)
    with pytest.raises(RemoteError) as caught:
        a("aio/await_result", slow, timeout_ms=1)
    assert caught.value.kind == "TimeoutError"
    assert a("aio/await_result", slow) == "ok"
    with pytest.raises(RemoteError) as caught:
        a("aio/await_result", "0" * 32)
    assert caught.value.kind == "HookNotFoundError"


# Streams


def test_streams_of_both_languages_reach_both(a: Services) -> None:
    assert a("own/collect", "thing", "numbers", "s1", 50) == list(range(50))
    assert a("own/collect_in_thread", "thing", "anumbers", "s2", 3)[2][0] == 2
    assert a("own/collect", "erlang", "list", [1, "two", None]) == [1, "two", None]
    assert len(a("own/collect_in_thread", "erlang", "count", "s3", 100)) == 100
    assert erlang(a, "stream", "thing", "numbers", ["s4", 3], 10) == [0, 1, 2, "done"]
    assert erlang(a, "stream", "erlang", "list", [[1, 2]], 10) == [1, 2, "done"]
    assert len(erlang(a, "stream", "thing", "anumbers", ["s5", 200], 300)) == 201


def test_a_stream_that_breaks_says_so(a: Services) -> None:
    for name, action, kind, text in (
        ("thing", "broken", "HookError", "in the middle"),
        ("erlang", "broken", "ErlangError", "broken"),
        ("my.pkg:Configured", "who", "HookError", "no stream of values but a str"),
        ("erlang", "add", "ErlangError", "function_clause"),
        ("nobody", "go", "HookNotFoundError", "nobody handles"),
    ):
        with pytest.raises(RemoteError) as caught:
            a("own/collect", name, action)
        assert (caught.value.kind, text in caught.value.text) == (kind, True), caught.value
    assert erlang(a, "stream", "thing", "broken", [], 10)[1][:3] == [
        "python", "ValueError", "in the middle",
    ]  # fmt: skip
    assert erlang(a, "stream", "erlang", "broken", [], 10) == [["raised", "error", "broken"]]


def test_a_stream_waits_for_who_takes_it_and_ends_with_them(nodes: list[Services]) -> None:
    a, b = nodes
    assert [value[0] for value in a("own/first", 3, "thing", "anumbers", "f1", 10_000)] == [0, 1, 2]
    assert len(erlang(a, "stream", "thing", "anumbers", ["f2", 10_000], 3)) == 4
    for key in ("f1", "f2"):
        wait_until(lambda k=key: a("loop/state_get", f"{k}:closed") == 1, 10, "it is closed")  # type: ignore[misc]
        assert a("loop/state_get", key) < 100
    # What Erlang makes, and on another node.
    assert len(a("own/first", 3, "erlang", "count", "f3", 10_000)) == 3
    assert len(a("own/first", 3, "thing", "anumbers", "f4", 10_000, node=B)) == 3
    wait_until(lambda: b("loop/state_get", "f4:closed") == 1, 10, "it is closed there")
    wait_until(lambda: a.left()[0] == 0 and b.left()[0] == 0, 10, "nothing is left")
    assert a("loop/state_get", "f3") < 100
    assert b("loop/state_get", "f4") < 100


# Who handles a hook


def test_a_name_has_one_owner(a: Services) -> None:
    assert erlang(a, "reg", "thing") == ["error", "taken"]
    with pytest.raises(RemoteError) as caught:
        a("own/own_hook", "erlang")
    assert (caught.value.kind, "by Erlang" in caught.value.text) == ("ValueError", True)
    assert erlang(a, "reg", "x" * 513) == ["error", "bad_name"]
    assert erlang(a, "reg", "mine") == ["ok"]
    assert erlang(a, "reg", "mine") == ["ok"]
    assert a("aio/execute", "mine", "go") == "go"
    long = "é" * 256
    with pytest.raises(RemoteError) as caught:
        a("aio/execute", long, "go")
    assert long[:50] in caught.value.text
    assert erlang(a, "unreg", "mine") == ["ok"]
    assert erlang(a, "find", "mine") == ["not_found"]


def test_a_hook_of_one_worker_is_called_from_all_until_it_is_unregistered(a: Services) -> None:
    a("own/own_hook", "single")
    found = a("own/many", 10, "single", "go")
    assert len({pid for _, pid in found}) == 1
    wait_until(lambda: _unregistered(a, "single"), 10, "its worker has unregistered it")
    with pytest.raises(RemoteError) as caught:
        a("aio/execute", "single", "go")
    assert caught.value.kind == "HookNotFoundError"


def _unregistered(services: Services, name: str) -> bool:
    services("own/no_hook", name)
    return bool(erlang(services, "find", name) == ["not_found"])


def test_there_are_so_many_hooks_and_no_more(a: Services) -> None:
    assert a("own/too_many") == "too many hooks: 1000 may be registered on a node"
    assert "many:1" not in erlang(a, "all")


# Other nodes


def test_hooks_of_another_node_are_called_as_rpc_allows(nodes: list[Services]) -> None:
    a, b = nodes
    assert a("own/with_timeout", 10, B, "thing", "where") in b.server.workers()
    assert a("own/with_timeout", 10, B, "erlang", "add", 1, 2) == 3
    assert a("own/collect", "thing", "numbers", "n1", 5, node=B) == list(range(5))
    assert len(a("own/collect", "erlang", "count", "n2", 100, node=B)) == 100
    assert a("loop/rpc_call", B, "hornbeam_hooks", "execute", ["erlang", "add", [1, 2], {}]) == (
        "ok", 3,
    )  # fmt: skip
    assert erlang(a, "at", B, "thing", "kind", ["ab"]) == ["ok", "str 2"]
    assert erlang(a, "stream", B, "thing", "numbers", ["n4", 2], 5) == [0, 1, "done"]
    assert erlang(a, "stream", B, "erlang", "list", [[1, 2]], 5) == [1, 2, "done"]
    assert erlang(a, "stream", B, "nobody", "go", [], 5) == [["error", "not_found"]]
    for name, action, argument, kind in (
        ("thing", "fail", "no", "HookError"),
        ("erlang", "crash", 1, "ErlangError"),
        ("nobody", "go", 1, "HookNotFoundError"),
    ):
        with pytest.raises(RemoteError) as caught:
            a("own/with_timeout", 10, B, name, action, argument)
        assert caught.value.kind == kind
    with pytest.raises(RemoteError) as caught:
        b("own/with_timeout", 10, A, "thing", "where")
    assert (caught.value.kind, "rpc_allow" in caught.value.text) == ("PermissionError", True)
    with pytest.raises(RemoteError) as caught:
        b("own/collect", "thing", "numbers", "n3", 5, node=A)
    assert caught.value.kind == "PermissionError"
    with pytest.raises(RemoteError) as caught:
        a("own/with_timeout", 10, "nobody@127.0.0.9", "thing", "where")
    assert caught.value.kind == "ConnectionError"


# Workers that end


def test_what_a_worker_had_registered_goes_and_comes_with_it(nodes: list[Services]) -> None:
    """The other node has one worker: a call waits for its successor."""
    _, b = nodes
    with pytest.raises(RemoteError) as caught:
        nodes[0]("own/with_timeout", 30, B, "thing", "die")
    assert caught.value.kind == "ServiceUnavailableError"
    assert nodes[0]("own/with_timeout", 30, B, "thing", "where") in b.server.workers()
    assert erlang(b, "find", "thing") == ["python", 1]


def test_a_reload_replaces_who_handles_a_hook(a: Services) -> None:
    before = set(a.server.workers())
    os.kill(a.server.pid, signal.SIGHUP)
    wait_until(
        lambda: not before & set(a.server.workers()) and len(a.server.workers()) == 2,
        30,
        "reloaded",
    )
    for _ in range(4):
        assert a("aio/execute", "thing", "where") not in before
    # A worker that has ended is forgotten by its Erlang process, a moment later.
    wait_until(
        lambda: erlang(a, "find", "thing") == ["python", 2], 20, "only the new ones handle it"
    )


def test_the_owner_of_a_worker_that_is_killed_leaves_nothing(a: Services) -> None:
    """Not the Python process: the Erlang one that keeps it."""
    a("aio/cast", "kill_worker_process")
    wait_until(lambda: erlang(a, "find", "thing") == ["python", 2], 30, "there are two again")
    assert a("own/many", 10, "thing", "kind", "ab") == ["str 2"] * 10
