"""Workers that grow old, block, stand still or die: requests do not notice, the log does."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from harness import Hornbeam, wait_until

from ops.faults import Faults, with_faults
from ops.support import await_in_flight, load, pids


def test_max_requests_replaces_workers_and_no_request_notices() -> None:
    with Hornbeam("ops_app:app", workers=2, max_requests=100, max_requests_jitter=20) as server:
        before = pids(server)
        with load(server) as wrong:
            wait_until(lambda: not before & pids(server), 20, "both workers have been replaced")
        assert wrong == []
        wait_until(lambda: len(server.workers()) <= 3, 10, "the old ones have ended")
        assert "has reached max_requests and is replaced" in server.output


def test_a_worker_is_replaced_before_its_streams_have_no_number_left(tmp_path: Path) -> None:
    with with_faults("ops_app:app", tmp_path, workers=1) as server, Faults(server) as faults:
        (old,) = pids(server)
        faults.run(
            "[atomics:put(element(3, Slot), 2, 16#7fffffff - 20)"
            " || Row <- ets:tab2list(hornbeam_pools), Slot <- tuple_to_list(element(7, Row))]"
        )
        with load(server, 2) as wrong:
            wait_until(lambda: old not in pids(server), 20, "the worker has been replaced")
        assert wrong == []
        assert "has reached last_stream_id and is replaced" in server.output


def test_max_worker_memory_and_lifetime() -> None:
    with Hornbeam("ops_app:app", workers=1, max_worker_memory=90_000_000) as server:
        (old,) = pids(server)
        with load(server, 2) as wrong:
            assert httpx.get(f"{server.url}/grow?kib=100000", timeout=20).text == str(old)
            wait_until(lambda: old not in pids(server), 15, "the large worker has been replaced")
        assert wrong == []
        assert "has reached max_worker_memory" in server.output
    with Hornbeam("ops_app:app", workers=1, max_worker_lifetime=1500) as server:
        (old,) = pids(server)
        with load(server, 2) as wrong:
            wait_until(lambda: old not in pids(server), 15, "the old worker has been replaced")
        assert wrong == []


def test_a_request_in_progress_outlives_the_retirement_of_its_worker() -> None:
    with Hornbeam("ops_app:app", workers=1, max_requests=3) as server:
        (old,) = pids(server)
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(httpx.get, f"{server.url}/sleep?s=2", timeout=20)
            wait_until(lambda: httpx.get(server.url).text != str(old), 15, "another worker answers")
            assert slow.result().text == str(old)
        wait_until(lambda: old not in pids(server), 10, "the old worker has ended")


def test_a_blocked_loop_is_logged_with_its_stacks_and_replaced() -> None:
    with Hornbeam("ops_app:app", workers=2, worker_heartbeat=1500) as server:
        with ThreadPoolExecutor(1) as pool:
            blocked = pool.submit(httpx.get, f"{server.url}/block?s=3600", timeout=30)
            server.wait_for_output(r"worker \d \(pid \d+\) has not answered for 1500 ms", 15)
            # A GET is safe: it went to the other worker, which it blocks as well, and no further.
            assert blocked.result().status_code == 502
        assert "in block" in server.output
        assert 'ops_app.py", line' in server.output
        wait_until(lambda: httpx.get(server.url, timeout=20).is_success, 20, "it serves again")


def test_new_requests_avoid_a_late_worker() -> None:
    with Hornbeam("ops_app:app", workers=2, worker_heartbeat=20_000) as server:
        with ThreadPoolExecutor(1) as pool:
            blocked = pool.submit(httpx.get, f"{server.url}/block?s=4", timeout=30)
            time.sleep(0.1)
            for _ in range(60):
                httpx.get(server.url, timeout=20)
            late = blocked.result().text
        assert late in {str(pid) for pid in pids(server)}, "it was not replaced"
        # It takes requests again.
        wait_until(lambda: httpx.get(server.url, timeout=5).text == late, 10, "it is back")


def test_a_busy_worker_is_left_alone() -> None:
    with Hornbeam("ops_app:app", workers=1, worker_heartbeat=1500) as server:
        (pid,) = pids(server)
        with ThreadPoolExecutor(4) as pool:
            url = f"{server.url}/burn?s=3"
            burning = [pool.submit(httpx.get, url, timeout=60) for _ in range(2)]
            assert [b.result().text for b in burning] == [str(pid)] * 2
        assert pids(server) == {pid}


def test_a_stopped_process_is_replaced_and_its_gets_are_answered() -> None:
    with Hornbeam("ops_app:app", workers=2, worker_heartbeat=1500) as server:
        stopped = min(pids(server))
        with load(server) as wrong:
            os.kill(stopped, signal.SIGSTOP)
            server.wait_for_output(r"is killed. It wrote no stack: the whole process stands still")
            wait_until(lambda: len(pids(server) - {stopped}) == 2, 15, "it has been replaced")
        assert wrong == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_a_killed_worker_was_answering(method: str, tmp_path: Path) -> None:
    reply = tmp_path / "reply"
    with Hornbeam("ops_app:app", workers=2, metrics_bind="127.0.0.1:0") as server:
        with ThreadPoolExecutor(8) as pool:
            url = f"{server.url}/wait?until={reply}"
            asked = [pool.submit(httpx.request, method, url, timeout=40) for _ in range(8)]
            await_in_flight(server, 8)
            killed = min(pids(server))
            os.kill(killed, signal.SIGKILL)
            server.wait_for_output(rf"\(pid {killed}\) ended")
            reply.touch()
            statuses = [task.result().status_code for task in asked]
        if method == "GET":
            assert statuses == [200] * 8
        else:
            assert set(statuses) == {200, 502}
        wait_until(lambda: len(pids(server) - {killed}) == 2, 15, "it has been replaced")


def test_a_broken_restart_backs_off(tmp_path: pytest.TempPathFactory) -> None:
    marker = f"{tmp_path}/fail"
    with Hornbeam("ops_app:app", workers=1, env={"OPS_FAIL_WHEN": marker}) as server:
        with open(marker, "w"):  # noqa: PTH123
            pass
        os.kill(server.workers()[0], signal.SIGKILL)
        server.wait_for_output(r"lifespan failed: told to fail; it is started again in 500 ms", 15)
        server.wait_for_output(r"told to fail; it is started again in 1000 ms", 15)
        os.unlink(marker)  # noqa: PTH108
        wait_until(lambda: httpx.get(server.url, timeout=30).status_code == 200, 15, "it serves")
        # One failure in half a second, then in one: not a loop.
        assert server.output.count("told to fail") <= 4


def test_a_worker_that_sends_garbage_is_killed_and_nobody_else_notices(tmp_path: Path) -> None:
    reply = tmp_path / "reply"
    with (
        Hornbeam("ops_app:app", workers=2, metrics_bind="127.0.0.1:0") as server,
        ThreadPoolExecutor(2) as pool,
    ):
        before = pids(server)
        slow = pool.submit(httpx.get, f"{server.url}/wait?until={reply}", timeout=60)
        # The two are not on the same worker: the less loaded is taken.
        await_in_flight(server, 1)
        assert httpx.post(server.url + "/garbage", timeout=20).status_code == 502
        server.wait_for_output(r"worker \d \(pid \d+\) sent what is no frame .* and is killed")
        reply.touch()
        assert slow.result().status_code == 200
        wait_until(lambda: len(pids(server) & before) == 1, 10, "one of them has been killed")
        wait_until(lambda: len(pids(server)) == 2, 15, "it has been replaced")
