"""Processes inside the VM are killed: what ends nothing, what ends the server, how one can tell.

docs/architecture.md, "Supervision", says what the failure of each part means.
"""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from harness import Hornbeam, wait_until

from ops.faults import Faults, with_faults

ENDED = 70
POOL = "element(3, hd(ets:lookup(hornbeam_pools, {default, <<>>})))"
HELPERS = ["hornbeam_access_log", "hornbeam_metrics_listener", "hornbeam_watch", "hornbeam_control"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def status(server: Hornbeam) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [server.command[0], "status", str(server.beam())],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hornbeam]:
    server = with_faults("ops_app:app", tmp_path_factory.mktemp("ebin"))
    with server:
        yield server


def test_helpers_that_crash_all_the_time_cost_nothing(tmp_path: Path) -> None:
    log, metrics = tmp_path / "access.log", f"127.0.0.1:{free_port()}"
    server = with_faults(
        "ops_app:app",
        tmp_path,
        access_log="combined",
        access_log_file=str(log),
        metrics_bind=metrics,
        reload=True,
    )
    with server, Faults(server) as faults, httpx.Client(base_url=server.url) as client:
        before = client.get("/").text
        client.get("/")
        first = faults.run("hornbeam_server_sup:find(default)")
        for _ in range(6):  # one more than the server's own limit
            for helper in HELPERS:
                faults.kill(f"ops_faults:helper({helper})")
            assert client.get("/").text == before  # the same worker, over the same connection
        wait_until(
            lambda: len(re.findall("is started again in", server.output)) == 6 * len(HELPERS),
            5,
            "each end is a line in the log",
        )
        for helper in HELPERS:
            faults.wait_for(f"is_pid(ops_faults:helper({helper}))")
        assert faults.run("hornbeam_server_sup:find(default)") == first
        wait_until(lambda: status(server).returncode == 0, 10, "the control socket answers")
        assert httpx.get(f"http://{metrics}/readyz").text == "ready\n"
        lines = log.read_text().count("\n")
        client.get("/")
        wait_until(lambda: log.read_text().count("\n") > lines, 5, "the access log is written")


def test_a_control_socket_that_has_vanished_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    path = folder / "control"
    with Hornbeam("ops_app:app", control=str(path)) as server:
        ask = [server.command[0], "status", "--control", str(path)]
        path.unlink()
        wait_until(path.exists, 10, "it is made again")
        assert subprocess.run(ask, capture_output=True, timeout=60, check=False).returncode == 0
        path.unlink()
        folder.rmdir()
        server.wait_for_output("no control socket .* no such file or directory")
        folder.mkdir()
        wait_until(path.exists, 10, "it is made again")
        assert server.output.count("no control socket") == 1
    assert not path.exists()


@pytest.mark.parametrize(
    "name",
    [
        "hornbeam_websockets",
        "hornbeam_connections",
        "hornbeam_call_sup",
        "hornbeam_subscriptions",
        "hornbeam_memory",
        "hornbeam_signaller",
        "hornbeam_websocket_relay_1",
        "hornbeam_state_sweeper",
        "hornbeam_server_monitor",
    ],
)
def test_a_service_that_is_killed_is_back_at_once(quiet: Hornbeam, name: str) -> None:
    with Faults(quiet) as faults, httpx.Client(base_url=quiet.url) as client:
        before = client.get("/").text
        for _ in range(2):
            faults.kill(f"whereis({name})")
            assert client.get("/").text == before
        faults.wait_for(f"is_pid(whereis({name}))")
        assert faults.run("hornbeam_connections:count(default)") == "1"
        assert httpx.get(quiet.url).text == before


def test_a_killed_listener_is_taken_over_with_its_connections(quiet: Hornbeam) -> None:
    with Faults(quiet) as faults, httpx.Client(base_url=quiet.url) as client:
        before = client.get("/").text
        with quiet.connect() as idle:
            for _ in range(2):
                faults.kill("ops_faults:helper(hornbeam_listener)")
                assert client.get("/").text == before
                assert httpx.get(quiet.url).text == before
            idle.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert idle.recv(100).startswith(b"HTTP/1.1 200 ")
        wait_until(lambda: quiet.url in status(quiet).stdout, 10, "status shows the address")


def test_a_killed_pool_costs_its_workers_and_no_connection(quiet: Hornbeam) -> None:
    with Faults(quiet) as faults, httpx.Client(base_url=quiet.url) as client:
        before = client.get("/").text
        faults.kill(POOL)
        wait_until(lambda: _answer(client) not in ("", before), 15, "another worker answers")


def _answer(client: httpx.Client) -> str:
    """The worker's process id; "" while there is none. It is always the same connection."""
    response = client.get("/", timeout=30)
    assert response.status_code in (200, 502, 503)
    return response.text if response.status_code == 200 else ""


def test_a_pool_that_cannot_start_again_goes_on_trying(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    server = with_faults("ops_app:app", tmp_path, env={"OPS_FAIL_WHEN": str(broken)})
    with server, Faults(server) as faults, httpx.Client(base_url=server.url) as client:
        client.get("/")
        broken.touch()
        faults.kill(POOL)
        server.wait_for_output("told to fail; it is started again in")
        broken.unlink()
        wait_until(lambda: _answer(client) != "", 15, "a worker answers")


def test_a_listener_of_ranch_that_ends_is_opened_again(tmp_path: Path) -> None:
    bind = f"127.0.0.1:{free_port()}"
    server = with_faults("ops_app:app", tmp_path, bind=bind)
    with server, Faults(server) as faults:
        faults.kill("maps:get(pid, ranch:info({hornbeam, default, 1}))")
        server.wait_for_output("has ended .* and is opened again")
        wait_until(lambda: _connects(server), 10, "it is open")
        assert httpx.get(server.url).status_code == 200
        for acceptor in range(8):
            faults.kill(
                f"lists:nth({acceptor} + 1, ranch:procs({{hornbeam, default, 1}}, acceptors))"
            )
        wait_until(lambda: _connects(server), 10, "it is open")
        assert httpx.get(server.url).status_code == 200


def _connects(server: Hornbeam) -> bool:
    try:
        return httpx.get(server.url).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("process", "times"),
    [
        ("element(2, hornbeam_server_sup:find(default))", 1),
        ("whereis(hornbeam_server_sup)", 1),
        ("whereis(hornbeam_sup)", 1),
        ("whereis(hornbeam_tables)", 1),
        ("whereis(ranch_sup)", 1),
        ("ops_faults:helper(hornbeam_listener)", 6),
        ("ops_faults:helper({pool, {default, <<>>}})", 6),
        ("whereis(hornbeam_websockets)", 11),
    ],
)
def test_the_end_of_a_server_is_an_exit_status(tmp_path: Path, process: str, times: int) -> None:
    server = with_faults("ops_app:app", tmp_path)
    try:
        server.start()
        with Faults(server) as faults, server.connect():
            for _ in range(times):
                faults.kill(process)
        assert server.wait(30) == ENDED
        assert re.search(
            r" critical Hornbeam has ended by itself: exit status 70$", server.output, re.M
        )
        wait_until(lambda: not _connects(server), 5, "nobody listens")
    finally:
        server.kill()
