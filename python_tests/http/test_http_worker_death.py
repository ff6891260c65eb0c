"""A worker that dies costs only what it was answering (docs/architecture.md)."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from harness import Hornbeam, wait_until
from raw_http import Incomplete, RawClient, request

APP = "core_death:app"


def get(server: Hornbeam, path: str) -> str:
    return httpx.get(f"{server.url}/{path}", timeout=20).raise_for_status().text


def held(server: Hornbeam, count: int) -> None:
    """Waits until so many requests are held up in the application."""
    wait_until(lambda: int(get(server, "count")) >= count, 15, f"{count} requests are held")


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


class Load:
    """GET and POST requests of several clients, one after the other, until told to stop."""

    def __init__(self, server: Hornbeam, clients: int) -> None:
        self.statuses: dict[str, list[int]] = {"GET": [], "POST": []}
        self.broken: list[str] = []
        self.pids: dict[int, float] = {}  # when each worker answered last
        self._address = server.address
        self._clients = clients
        self._stop = asyncio.Event()

    async def run(self, script: asyncio.Future[None] | asyncio.Task[None]) -> None:
        """Loads the server for as long as the script runs."""
        methods = ["GET", "POST"]
        tasks = [asyncio.create_task(self._client(methods[n % 2])) for n in range(self._clients)]
        try:
            await script
        finally:
            self._stop.set()
            await asyncio.wait_for(asyncio.gather(*tasks), 30)

    async def _client(self, method: str) -> None:
        while not self._stop.is_set():
            try:
                reader, writer = await asyncio.open_connection(*self._address)
                while not self._stop.is_set():
                    await self._one(method, reader, writer)
                writer.close()
            except (OSError, asyncio.IncompleteReadError) as error:  # noqa: PERF203
                self.broken.append(f"{method}: {error!r}")

    async def _one(
        self, method: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(request("/pid", method=method, body=b"body" if method == "POST" else b""))
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).decode()
        length = re.search(r"content-length: (\d+)", head)
        assert length is not None, head
        body = await reader.readexactly(int(length.group(1)))
        status = int(head.split(" ")[1])
        self.statuses[method].append(status)
        if status == 200:
            self.pids[int(body)] = time.monotonic()


def test_kill_9_of_one_of_two_workers_under_load() -> None:
    clients = 16
    with Hornbeam(APP, workers=2) as server:
        victim, survivor = server.workers()

        async def script(load: Load) -> None:
            await until(lambda: {victim, survivor} <= set(load.pids), "both workers answer")
            kill(victim)
            killed = time.monotonic()
            # The other one keeps serving.
            await until(lambda: load.pids[survivor] > killed, "the survivor answers")
            await until(lambda: set(load.pids) - {victim, survivor}, "a new worker answers")
            print(f"the dead worker was back after {time.monotonic() - killed:.2f} s")
            done = {method: len(statuses) for method, statuses in load.statuses.items()}
            await until(
                lambda: all(len(load.statuses[m]) > n + 20 for m, n in done.items()), "it goes on"
            )

        async def main() -> Load:
            load = Load(server, clients)
            await load.run(asyncio.create_task(script(load)))
            return load

        load = asyncio.run(main())
        assert len(server.workers()) == 2
        server.wait_for_output(rf"worker \d \(pid {victim}\) ended: ")
    # A GET that the dead worker had not answered has gone to the other one; a POST is told.
    assert set(load.statuses["GET"]) == {200}
    assert set(load.statuses["POST"]) <= {200, 502}
    assert load.statuses["POST"].count(502) <= clients // 2
    assert load.broken == []


async def until(condition: object, what: str, timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    assert callable(condition)
    while not condition():
        assert time.monotonic() < deadline, f"not in {timeout} s: {what}"
        await asyncio.sleep(0.01)


def test_a_get_goes_to_another_worker_and_a_post_is_502() -> None:
    with Hornbeam(APP, workers=2) as server:
        victim, _survivor = server.workers()
        with (
            RawClient(server.connect()) as one, RawClient(server.connect()) as two,
            RawClient(server.connect()) as three, RawClient(server.connect()) as four,
        ):  # fmt: skip
            # One after the other: a GET and a POST are on each worker.
            for number, client in enumerate((one, two), 1):
                client.send(request("/held"))
                held(server, number)
            for number, client in enumerate((three, four), 3):
                client.send(request("/held", method="POST", body=b"x"))
                held(server, number)
            kill(victim)
            server.wait_for_output(f"pid {victim}.* ended: ")
            held(server, 5)
            get(server, "release")
            gets = [client.response() for client in (one, two)]
            posts = [client.response() for client in (three, four)]
        assert [answer.status for answer in gets] == [200, 200]
        assert all(int(answer.body) != victim for answer in gets)
        assert sorted(answer.status for answer in posts) in ([200, 200], [200, 502], [502, 502])
        assert sum(answer.status == 502 for answer in posts) == 1
        server.wait_for_output("POST /held: ")


def test_a_request_is_sent_once_more_only_once() -> None:
    with Hornbeam(APP, workers=2) as server, RawClient(server.connect()) as client:
        assert client.get("/dies").status == 502
        assert client.get("/deaths").body == b"2"


def test_a_response_that_had_begun_is_cut() -> None:
    with Hornbeam(APP) as server, RawClient(server.connect()) as client:
        client.send(request("/held_in_stream"))
        held(server, 1)
        kill(server.workers()[0])
        with pytest.raises(Incomplete, match="closed after"):
            client.response()
        assert int(get(server, "pid")) == server.workers()[0]


def test_requests_wait_while_the_only_worker_is_started_again() -> None:
    with Hornbeam(APP) as server:
        (old,) = server.workers()
        kill(old)
        with RawClient(server.connect()) as client:
            answer = client.get("/pid")
        assert answer.status == 200
        assert int(answer.body) != old


def test_a_worker_that_is_stopped_from_outside_is_replaced() -> None:
    """SIGTERM and SIGINT are not for workers: they ignore them; SIGSEGV ends one."""
    with Hornbeam(APP) as server:
        (pid,) = server.workers()
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
        assert get(server, "pid") == str(pid)
        os.kill(pid, signal.SIGSEGV)
        server.wait_for_output(rf"worker 1 \(pid {pid}\) ended: ")
        assert get(server, "pid") != str(pid)


def test_workers_end_when_the_vm_is_killed() -> None:
    server = Hornbeam(APP, workers=2)
    try:
        server.start()
        workers = server.workers()
        kill(server.beam())
        wait_until(lambda: not any(map(running, workers)), 15, "the workers have ended")
    finally:
        server.kill()


def test_workers_end_when_the_vm_is_killed_while_their_loop_is_blocked() -> None:
    server = Hornbeam("core_blocked:app", workers=1)
    try:
        server.start()
        (worker,) = server.workers()
        with RawClient(server.connect()) as client:
            client.send(request("/"))
            server.wait_for_output("^blocked$")
            kill(server.beam())
        wait_until(lambda: not running(worker), 20, "the blocked worker has ended")
    finally:
        server.kill()


def running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_get_that_waited_for_its_place_goes_to_another_worker_too() -> None:
    """Having waited in the queue is not having been sent to a worker."""
    with (
        Hornbeam("ops_app:app", workers=1, max_concurrency=1, metrics_bind="127.0.0.1:0") as server,
        ThreadPoolExecutor(2) as pool,
    ):
        metrics = server.wait_for_output(r"metrics on (http://\S+)").group(1) + "/metrics"

        def gauges() -> list[str]:
            pattern = r"^hornbeam_requests_(?:in_flight|waiting)\{.*\} (\d+)$"
            return re.findall(pattern, httpx.get(metrics).text, re.M)

        (worker,) = server.workers()
        first = pool.submit(httpx.get, f"{server.url}/sleep?s=2", timeout=20)
        wait_until(lambda: gauges() == ["1", "0"], 10, "the first has the only place")
        second = pool.submit(httpx.get, f"{server.url}/sleep?s=2", timeout=20)
        wait_until(lambda: gauges() == ["1", "1"], 10, "the second waits")
        assert first.result().text == str(worker)
        wait_until(lambda: gauges() == ["1", "0"], 10, "the second has the place")
        kill(worker)
        answer = second.result()
        assert answer.status_code == 200 and answer.text != str(worker)
