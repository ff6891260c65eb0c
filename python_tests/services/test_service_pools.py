"""Service pools from the outside: calls from workers, streams and their ends, batches, buffers,
overload, deadlines, and what they have like web workers. The calls are made by services_pools:app.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from harness import ROOT, Hornbeam, StartError, wait_until

# What the application lets a stream be ahead of who takes it: a window, in values of 70 bytes.
AHEAD = 262_144 / 70


class Caller:
    """Has a worker of the application make calls."""

    def __init__(self, server: Hornbeam) -> None:
        self.server = server
        # A connection stays with its worker, so each call has one of its own.
        alone = {"connection": "close"}
        self._client = httpx.Client(base_url=server.url, timeout=60, headers=alone)
        self._threads = ThreadPoolExecutor(8)

    def __call__(self, how: str, method: str = "", *args: Any, **more: Any) -> Any:
        asked = {"how": how, "method": method, "args": args, **more}
        return self._client.post("/", json=asked).raise_for_status().json()

    def later(self, how: str, method: str = "", *args: Any, **more: Any) -> Future[Any]:
        return self._threads.submit(self, how, method, *args, **more)

    def state(self, key: str) -> Any:
        return self("state", key=key)

    def set(self, key: str, value: Any) -> None:
        self("state", key=key, value=value)

    def wait_for(self, key: str, value: Any) -> None:
        wait_until(lambda: self.state(key) == value, 20, f"{key} is {value}")

    @contextmanager
    def held(self, name: str) -> Iterator[Future[Any]]:
        """The gate's only place is taken until the block is left."""
        begun = self.state("gate:begun") or 0
        holding = self.later("await", "wait", name, service="gate")
        self.wait_for("gate:begun", begun + 1)
        try:
            yield holding
        finally:
            self.set(f"gate:{name}", 1)
        assert holding.result(20) == name

    def refused(self) -> int:
        """Calls for which the gate's queue had no place."""
        line = next(
            line for line in self.metrics().splitlines() if 'refused_total{service="gate' in line
        )
        return int(line.split()[-1])

    def metrics(self) -> str:
        url = self.server.wait_for_output(r"metrics on (http://\S+)").group(1)
        return httpx.get(f"{url}/metrics").text


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """Three workers, three services."""
    services = [
        "model=services_pools:Model;concurrency=8;env=WHO=model",
        "gate=services_pools:Gate;concurrency=1;queue=6",
        "managed=services_pools:make_managed",
    ]
    control = tmp_path_factory.mktemp("control") / "socket"
    with Hornbeam(
        "services_pools:app",
        workers=3,
        service=services,
        metrics_bind="127.0.0.1:0",
        control=str(control),
    ) as server:
        yield Caller(server)


def hornbeam(call: Caller, command: str) -> str:
    control = next(part for part in call.server.command if part.startswith("--control="))
    done = subprocess.run(
        [ROOT / "bin" / "hornbeam", command, control], capture_output=True, text=True, check=True
    )
    return done.stdout


def service_pid(call: Caller) -> int:
    return int(call("where")[1])


def test_one_object_for_all_workers(call: Caller) -> None:
    workers, services = set(), set()

    def both() -> bool:
        worker, service = call("where")
        workers.add(worker)
        services.add(service)
        return len(workers) == 3

    made = call.state("model:made")
    wait_until(both, 20, "all workers have called")
    assert len(services) == 1 and not services & workers
    assert call.state("model:made") == made


def test_plain_and_async_methods_with_arguments(call: Caller) -> None:
    assert call("await", "add", 1, kwargs={"b": 5}) == 6
    assert call("await", "aadd", 1, 2) == 3
    assert call("await", "echo", {"a": [1, None, "ü", 2.5, True]}) == {
        "a": [1, None, "ü", 2.5, True]
    }


def test_a_service_has_its_own_environment(call: Caller) -> None:
    assert call("await", "environment", "WHO") == "model"
    assert os.environ.get("WHO") is None


def test_a_service_calls_another_and_is_a_context_manager(call: Caller) -> None:
    assert call("await", "relay", 1, service="managed") == 11
    assert call.state("managed:entered") >= 1


def test_from_threads_and_from_a_blocked_loop(call: Caller) -> None:
    assert call("threads") == [[3, [0, 1, 2, 3, 4]], [7, [0, 1, 2, 3]]]


@pytest.mark.parametrize("method", ["fail", "afail"])
def test_an_exception_arrives_with_its_class_and_traceback(call: Caller, method: str) -> None:
    answer = call("await", method, "no such")
    assert (answer["error"], answer["class_name"]) == ("ServiceError", "KeyError")
    assert "raise KeyError(text)" in answer["traceback"]


@pytest.mark.parametrize("method", ["_secret", "nothing", "pid"])
def test_only_public_methods_are_called(call: Caller, method: str) -> None:
    answer = call("await", method)
    assert "AttributeError" in (answer["error"], answer["class_name"])


def test_values_and_streams_are_not_taken_for_each_other(call: Caller) -> None:
    for how, method in [("await", "count"), ("await", "acount"), ("list", "add"), ("list", "aadd")]:
        answer = call(how, method, *(["x", 3] if "count" in method else [1]))
        assert answer["class_name"] == "TypeError", (how, method)


@pytest.mark.parametrize("method", ["count", "acount"])
def test_a_stream_has_all_values_and_ends(call: Caller, method: str) -> None:
    key = f"all:{method}"
    assert call("list", method, key, 5000) == list(range(5000))
    assert call.state(f"{key}:closed") == 1


def test_a_stream_can_fail_in_the_middle(call: Caller) -> None:
    answer = call("list", "broken", 3)
    assert (answer["class_name"], "in the middle" in answer["text"]) == ("ValueError", True)


def test_a_stream_whose_next_value_does_not_come_in_time(call: Caller) -> None:
    assert call("list", "forever", "late", timeout=0.1)["error"] == "TimeoutError"
    call.wait_for("late:closed", 1)


@pytest.mark.parametrize("method", ["count", "acount"])
def test_a_break_ends_the_generator(call: Caller, method: str) -> None:
    key = f"break:{method}"
    assert call("some", method, key, 10_000_000) == [0, 1, 2]
    call.wait_for(f"{key}:closed", 1)


def test_a_cancelled_task_ends_the_generator(call: Caller) -> None:
    assert call("cancel", "forever", "cancelled") == "cancelled"
    call.wait_for("cancelled:closed", 1)


@pytest.mark.parametrize("method", ["count", "acount"])
def test_a_consumer_that_waits_stops_the_generator(call: Caller, method: str) -> None:
    key = f"pause:{method}"
    pausing = call.later("pause", method, key, 10_000_000, key=key)
    wait_until(lambda: (call.state(key) or 0) > AHEAD - 200, 20, "a window has been sent")
    call.set(f"{key}:go", 1)
    assert pausing.result(20) < AHEAD + 500
    call.wait_for(f"{key}:closed", 1)


def stream(call: Caller, key: str) -> socket.socket:
    """A client that follows a stream, of which it has had the first value."""
    asked = f'{{"service": "model", "method": "forever", "args": ["{key}"]}}'
    client = call.server.connect()
    head = f"POST /stream HTTP/1.1\r\nhost: x\r\ncontent-length: {len(asked)}\r\n\r\n"
    client.sendall(head.encode() + asked.encode())
    got = b""
    while b"\r\n0\n" not in got:
        got += client.recv(4096)
    return client


def test_a_client_that_leaves_ends_the_generator(call: Caller) -> None:
    client = stream(call, "left")
    assert call.state("left:closed") is None
    client.close()
    call.wait_for("left:closed", 1)


def test_a_worker_that_is_killed_ends_the_generator(call: Caller) -> None:
    service = service_pid(call)
    services = service_pids(call)
    with stream(call, "killed"):
        for pid in set(call.server.workers()) - services:
            os.kill(pid, 9)
        wait_until(lambda: answer(call, "state", key="killed:closed") == 1, 20, "it has ended")
    wait_until(lambda: (answer(call, "where") or [0, 0])[1] == service, 20, "the service is there")


def answer(call: Caller, how: str, **asked: Any) -> Any:
    """None from a worker that has just been killed."""
    try:
        return call(how, **asked)
    except httpx.HTTPError:
        return None


def service_pids(call: Caller) -> set[int]:
    """Those of all services, from `hornbeam status`, which does not show who is too busy."""
    wait_until(lambda: len(shown(call)) == 3, 20, "all are shown")
    return shown(call)


def shown(call: Caller) -> set[int]:
    pids, within = set(), False
    for line in hornbeam(call, "status").splitlines():
        if not line.startswith("  "):
            within = " at service " in line
        elif within and line.split()[0].isdigit() and line.split()[2].isdigit():
            pids.add(int(line.split()[2]))
    return pids


def test_status_and_metrics_show_services(call: Caller) -> None:
    status = hornbeam(call, "status")
    assert "services_pools:Model at service model: " in status
    assert service_pid(call) in service_pids(call)
    assert 'hornbeam_workers{service="gate",state="ready"} 1\n' in call.metrics()


def test_a_batch_has_all_who_come_and_each_gets_its_own(call: Caller) -> None:
    """Eight at once are a full batch: nobody waits two seconds."""
    texts = [["a"], ["b"], ["bad"], ["d"], ["e"], ["f"], ["g"], ["h"]]
    results = call("gather", "upper", *[text[0] for text in texts])
    assert results[:2] == ["A", "B"] and results[3:] == ["D", "E", "F", "G", "H"]
    assert "ServiceError" in results[2] and "not this one" in results[2]
    assert call.state("upper:last") == 8


def test_a_batch_runs_without_being_full(call: Caller) -> None:
    assert call("gather", "aupper", "a", "b") == ["A", "B"]


def test_a_wrong_number_of_results_is_an_error_for_all(call: Caller) -> None:
    results = call("gather", "upper", *["mismatch", *"bcdefgh"])
    assert all("7 results of a batched method for 8 items" in result for result in results)
    assert all("the whole batch" in one for one in call("gather", "aupper", "raise", "b"))


def test_buffers_arrive_as_they_were(call: Caller) -> None:
    *same, pickled, too_long = call("buffers")
    assert all(same), same
    assert "nothing is pickled" in pickled
    assert "can travel in one call" in too_long


def test_a_call_whose_time_is_over_is_not_begun(call: Caller) -> None:
    order = call.state("order") or 0
    with call.held("deadline"):
        answer = call("await", "order", "late", service="gate", timeout=0.1)
        assert answer["error"] == "TimeoutError"
    assert call("await", "order", "now", service="gate") == "now"
    assert call.state("order") == order + 1


def test_a_deadline_holds_for_what_is_called_on_the_way(call: Caller) -> None:
    with call.held("relay"):
        begun = call.state("gate:begun")
        answer = call("await", "patient_relay", service="managed", timeout=0.2)
        assert answer["error"] == "TimeoutError"
    assert call("await", "order", "after", service="gate") == "after"
    assert call.state("gate:begun") == begun


def test_callers_take_turns_and_who_has_most_is_refused(call: Caller) -> None:
    order, refused = call.state("order") or 0, call.refused()
    with call.held("turns"):
        # Six wait, then three are too many.
        many = call.later("gather", "order", *[f"a{number}" for number in range(9)], service="gate")
        wait_until(lambda: call.refused() == refused + 3, 20, "the queue is full")
        # From the worker that has nothing else to do.
        one = call.later("await", "order", "b", service="gate")
        wait_until(lambda: call.refused() == refused + 4, 20, "one makes room for another caller's")
    assert one.result(20) == "b"
    assert sum("ServiceOverloadedError" in str(result) for result in many.result(20)) == 4
    assert "b" in [call.state(f"order:{order + number}") for number in (1, 2)]


def test_a_service_that_dies_is_started_again(call: Caller) -> None:
    before = service_pid(call)
    assert call("await", "die")["error"] == "ServiceUnavailableError"
    assert service_pid(call) != before


def test_no_such_service(call: Caller) -> None:
    answer = call("await", "add", 1, service="none")
    assert answer["error"] == "NoSuchServiceError"
    assert '"none"' in answer["text"]


def test_a_reload_makes_services_anew_and_ends_the_old(call: Caller) -> None:
    before = service_pids(call)
    hornbeam(call, "reload")
    wait_until(lambda: not before & set(call.server.workers()), 30, "the old ones have ended")
    assert call.state("gate:closed") == 1 and call.state("managed:left") == 1
    assert call("await", "add", 1) == 2


def test_a_service_that_cannot_be_made_is_a_start_error() -> None:
    with (
        pytest.raises(StartError) as error,
        Hornbeam("services_pools:app", service="x=services_pools:Nope"),
    ):
        pass
    assert '"Nope" in module "services_pools"' in str(error.value)
