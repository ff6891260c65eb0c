"""What the application prints and logs, and its calls to hornbeam_erlang, seen from the outside."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from harness import Hornbeam


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("core_services:app", env={"PYTHONIOENCODING": "utf-8"}) as running:
        yield running


def get(server: Hornbeam, path: str) -> Any:
    return httpx.get(f"{server.url}{path}", timeout=30).raise_for_status().json()


# print and logging


def test_print_reaches_the_terminal(server: Hornbeam) -> None:
    assert get(server, "/output") == "done"
    for line in (
        "printed at import",
        "print, ünïcode",
        "print to stderr",
        "write to descriptor 1",
        "print of a child",
    ):
        server.wait_for_output(f"^{re.escape(line)}$")


def test_logging_reaches_the_terminal_with_level_logger_and_worker(server: Hornbeam) -> None:
    get(server, "/output")
    for line in (
        "info worker 1 core_services: logged at import",
        "info worker 1 core_services: an info record of a coroutine",
        "warning worker 1 core_services: a warning of a thread",
        "error worker 1 core_services: a record with a traceback",
        r"critical worker 1 core_services: last \\ud800 record, ünïcode",
    ):
        server.wait_for_output(f"^\\S+ {line}$")
    server.wait_for_output(r"^Traceback \(most recent call last\):\n(  .*\n)+LookupError: logged$")
    assert "a debug record" not in server.output


def test_each_worker_logs_with_its_own_number() -> None:
    with Hornbeam("core_services:app", workers=3, env={"APP_LOG_LEVEL": "DEBUG"}) as server:
        for number in (1, 2, 3):
            server.wait_for_output(f"info worker {number} core_services: logged at import")
        get(server, "/output")
        server.wait_for_output(r"debug worker \d core_services: a debug record")


def test_a_long_message_is_cut(server: Hornbeam) -> None:
    get(server, "/long_log")
    match = server.wait_for_output(r"core_services: long (x+) \[cut\]$")
    assert 60_000 < len(match.group(1)) <= 65_536


def test_many_records_from_threads_arrive_whole_while_requests_are_answered(
    server: Hornbeam,
) -> None:
    with ThreadPoolExecutor(5) as pool:
        logs = pool.submit(get, server, "/many_logs")
        answers = list(pool.map(lambda _: get(server, "/values")[0], range(20)))
        assert logs.result() == "done"
    assert answers == [True] * 20
    server.wait_for_output("thread 3 line 99 y{1000}$")
    whole = re.findall(r"core_services: thread (\d) line (\d+) y{1000}$", server.output, re.M)
    # The logger drops records of a flood rather than slow anybody; those that come are whole.
    assert len(whole) == server.output.count("core_services: thread ")
    assert "no frame" not in server.output


def test_children_do_not_get_the_pipes_to_erlang(server: Hornbeam) -> None:
    assert get(server, "/descriptors") is True


# The shared state


def test_values_come_back_equal(server: Hornbeam) -> None:
    assert get(server, "/values") == [
        True,
        None,
        "default",
        5,
        4,
        {"counter": 4, "missing": None},
        ["counter"],
        True,
        False,
        [2, 1],
        [1, None],
        ["x", True],
    ]


def test_errors_are_python_exceptions(server: Hornbeam) -> None:
    counter, a_set, ttl = get(server, "/errors")
    assert counter == "TypeError: the stored value is not a number"
    assert a_set.startswith("TypeError: ")
    assert "a set cannot travel to Erlang" in a_set
    assert ttl == "ValueError: ttl must be more than 0 seconds, not 0"


def test_ttl(server: Hornbeam) -> None:
    assert get(server, "/ttl") == [1, "gone"]


def test_calls_from_the_loop_and_from_threads(server: Hornbeam) -> None:
    assert get(server, "/loop_calls") == 500
    assert get(server, "/thread_calls") == 500
    assert get(server, "/plain_thread") == 1


def test_large_values(server: Hornbeam) -> None:
    assert get(server, "/large") == 3_000_000


def test_calls_of_concurrent_requests_do_not_mix() -> None:
    with Hornbeam("core_services:app", workers=2) as server, ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: get(server, "/loop_calls"), range(10)))
        assert get(server, "/loop_calls") == 5500


def test_the_state_survives_a_worker() -> None:
    with Hornbeam("core_services:app") as own:
        assert get(own, "/plain_thread") == 1
        os.kill(own.workers()[0], signal.SIGKILL)
        assert get(own, "/plain_thread") == 2
