"""Python calling registered Erlang functions, and Erlang calling Python functions."""

from __future__ import annotations

import os
import signal

import pytest
from harness import wait_until

from hornbeam_worker import values
from services.conftest import RemoteError, Services, Start

WAYS = ["loop", "thread", "aio"]


@pytest.mark.parametrize("way", WAYS)
def test_a_function_is_called_by_its_name(services: Services, way: str) -> None:
    assert services(f"{way}/call", "echo", {"a": (1, b"b", None)}) == {"a": (1, b"b", None)}
    assert services(f"{way}/call", "double", 21) == 42


def test_ok_tuples_arrive_as_their_value(services: Services) -> None:
    assert services("loop/call", "add", 1, 2) == 3


@pytest.mark.parametrize("way", WAYS)
def test_error_tuples_are_erlang_errors(services: Services, way: str) -> None:
    with pytest.raises(RemoteError) as error:
        services(f"{way}/call", "refuse", ["no", 1])
    assert error.value.kind == "ErlangError"
    assert error.value.attributes["reason"] == "['no', 1]"
    assert error.value.attributes["error_class"] == "'error'"
    assert error.value.attributes["stack"] == "''"


@pytest.mark.parametrize(
    ("name", "error_class", "reason"),
    [("crash", "error", "('crashed', 7)"), ("throw", "throw", "7"), ("exit", "exit", "7")],
)
def test_exceptions_have_class_reason_and_stack(
    services: Services, name: str, error_class: str, reason: str
) -> None:
    with pytest.raises(RemoteError) as error:
        services("loop/call", name, 7)
    assert error.value.attributes["error_class"] == repr(error_class)
    assert error.value.attributes["reason"] == reason
    assert "services_functions" in error.value.attributes["stack"]


def test_a_function_that_is_killed_is_an_error(services: Services) -> None:
    with pytest.raises(RemoteError, match="killed") as error:
        services("aio/call", "killed")
    assert error.value.attributes["error_class"] == "'exit'"


def test_wrong_arguments_are_an_error_that_says_so(services: Services) -> None:
    with pytest.raises(RemoteError, match=r"add|badarity"):
        services("loop/call", "add", 1)


@pytest.mark.parametrize("function", ["call", "cast"])
def test_an_unknown_name_is_an_error_that_says_so(services: Services, function: str) -> None:
    with pytest.raises(RemoteError, match='no function is registered as "nothing"') as error:
        services(f"loop/{function}", "nothing")
    assert error.value.kind == "NotRegisteredError"


@pytest.mark.parametrize("way", WAYS)
def test_a_call_ends_at_its_deadline(services: Services, way: str) -> None:
    with pytest.raises(RemoteError) as error:
        services(f"{way}/call", "sleep", 60_000, timeout_ms=50)
    assert error.value.kind == "TimeoutError"
    wait_until(lambda: services.left()[0] == 0, 5, "the function has been killed")


def test_an_answer_that_cannot_travel_names_the_part(services: Services) -> None:
    with pytest.raises(RemoteError, match=r"cannot travel to Python: <\d+\.\d+\.\d+>") as error:
        services("loop/call", "a_pid")
    assert error.value.kind == "TypeError"


def test_an_argument_that_cannot_travel_names_the_part(services: Services) -> None:
    with pytest.raises(RemoteError) as error:
        services("own/pass_a_set")
    assert error.value.text.startswith("args[1]['x']: a set cannot travel")


def test_an_answer_that_is_too_long_is_an_error_and_costs_nothing_else(services: Services) -> None:
    before = services("own/pid")
    with pytest.raises(RemoteError, match="longer than a frame") as error:
        services("loop/call", "huge", 70_000_000)
    assert error.value.kind == "ValueError"
    assert services("own/pid") == before


def test_a_call_that_is_too_long_is_an_error_and_costs_nothing_else(services: Services) -> None:
    before = services("own/pid")
    with pytest.raises(RemoteError, match="can travel at once") as error:
        services("own/pass_too_much")
    assert error.value.kind == "ValueError"
    assert services("own/pid") == before


def test_cast_runs_without_waiting(services: Services) -> None:
    services("loop/cast", "sleep_and_set", 0, "cast:mark")
    wait_until(lambda: services("loop/state_get", "cast:mark") is True, 5, "it has run")


def test_an_error_in_a_cast_is_logged(services: Services) -> None:
    services("loop/cast", "refuse", "lost-and-found")
    services.server.wait_for_output("a cast ended with erlang_error.*lost-and-found")


def test_slow_calls_delay_nobody(services: Services) -> None:
    assert services("own/slow_ones_delay_nobody") is True
    assert services.left()[0] == 0


def test_a_cancelled_await_ends_the_call_in_erlang(services: Services) -> None:
    services("own/cancelled_call", "cancelled:mark")
    wait_until(lambda: services.left()[0] == 0, 5, "the function has been killed")


# hornbeam:call


def test_a_plain_function_runs_in_a_thread(services: Services) -> None:
    status, (arguments, keywords, thread) = services(
        "aio/call", "call_back", "services_app:plain", [1, b"b", (2,)]
    )
    assert (status, arguments, keywords) == ("ok", [1, b"b", (2,)], {})
    assert thread == "hornbeam-call"


def test_keyword_arguments(services: Services) -> None:
    _, (arguments, keywords, _) = services("aio/call", "call_with", "services_app:plain", {"k": 1})
    assert (arguments, keywords) == ([1], {"k": 1})


def test_an_async_function_runs_in_the_loop(services: Services) -> None:
    assert services("aio/call", "call_back", "services_app:later", [{"a": 1}]) == ["ok", {"a": 1}]


def test_pythons_exception_and_traceback_arrive(services: Services) -> None:
    status, kind, name, message, trace = services(
        "aio/call", "call_back", "services_app:fails", ["wrong"]
    )
    assert (status, kind, name, message) == ("error", "python", "LookupError", "wrong")
    assert "raise LookupError(text)" in trace and "services_app.py" in trace
    assert "hornbeam_worker" not in trace


@pytest.mark.parametrize(
    ("target", "name", "text"),
    [
        ("no_such_module:f", "ModuleNotFoundError", "no_such_module"),
        ("services_app:no_such_function", "AttributeError", "no_such_function"),
        ("services_app", "ValueError", "module:function"),
        ("services_app:unpackable", "TypeError", "the result['a'][0]: an object cannot travel"),
        ("services_app:leaves", "SystemExit", "3"),
    ],
)
def test_mistakes_are_named(services: Services, target: str, name: str, text: str) -> None:
    _, kind, raised, message, _ = services("aio/call", "call_back", target, [])
    assert (kind, raised) == ("python", name)
    assert text in message


def test_a_call_that_is_given_up_is_cancelled(services: Services) -> None:
    answer = services("aio/call", "call_back_in", "services_app:sleeps", ["given-up"], 100)
    assert answer == ["error", "timeout"]
    wait_until(lambda: services("loop/state_get", "given-up") == "cancelled", 5, "cancelled")
    assert services("own/pid")


def test_a_mount_that_is_not_there(services: Services) -> None:
    assert services("aio/call", "call_mount", "services_app:pid", "/nowhere") == [
        "error", "no_application", "default", "/nowhere",
    ]  # fmt: skip


# No deadlock


def test_everybody_waits_at_once(services: Services) -> None:
    assert services("own/everybody_waits", 8) == [24]


def test_calls_back_and_forth_nest(services: Services) -> None:
    assert services("thread/call", "call_back", "services_app:nests", [20]) == ["ok", 21]


def test_a_loop_that_waits_for_its_own_async_function_ends_at_the_deadline(
    services: Services,
) -> None:
    with pytest.raises(RemoteError) as error:
        services("own/blocked_loop_waits_for_async", 200)
    assert error.value.kind == "TimeoutError"
    assert services("aio/call", "call_back", "services_app:later", [2]) == ["ok", 2]


# What a worker leaves behind


@pytest.mark.parametrize("victim", ["python", "erlang"])
def test_a_killed_worker_leaves_nothing_behind(start: Start, victim: str) -> None:
    services = start()
    assert services.left() == (0, 0)
    before = services("aio/call", "left")[2]
    pid = services("own/pid")
    services("own/start_many_calls", 50)
    services("own/hold_subscription", "held:*")
    wait_until(lambda: services.left()[0] == 50, 5, "the calls are running")
    if victim == "python":
        os.kill(pid, signal.SIGKILL)
    else:
        # The answer to this very request may be what is lost.
        content = values.pack([["kill_worker_process"], {}])
        assert services.client.post("/loop/cast", content=content).status_code in (200, 502)
    # A request sent to a worker's process while it is killed is lost: look from the outside.
    wait_until(lambda: pid not in services.server.workers(), 20, "the worker has gone")
    wait_until(services.server.workers, 20, "there is another one")
    wait_until(lambda: _answers(services), 20, "it answers")
    assert services("own/pid") != pid
    wait_until(lambda: services.left() == (0, 0), 10, "calls and subscriptions are gone")
    wait_until(lambda: services("aio/call", "left")[2] <= before + 2, 10, "processes are gone")


def _answers(services: Services) -> bool:
    return services.client.post("/own/pid", content=values.pack([[], {}])).status_code == 200
