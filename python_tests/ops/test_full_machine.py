"""What a full machine does to a server: who is refused, what is logged, and that it comes back.

Each test takes something away, looks at what is left, gives it back, and asks for a 200 within two
seconds. Those that need root, a mount or a cgroup skip themselves where they cannot have it.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import httpx
import pytest
from harness import Hornbeam, memory, wait_until

from ops.machine import Group, fill, group, small_disk
from ops.support import load, pids

SOON = 2.0
# Of a client that sees whether it serves: not more than what is tested takes.
REST = 0.005
MIB = 1 << 20


def assert_serves(server: Hornbeam, within: float = SOON) -> None:
    """The cause is gone: a request gets 200 within two seconds, by the server that was there."""
    deadline = time.monotonic() + within
    while True:
        try:
            left = max(0.1, deadline - time.monotonic())
            if httpx.get(server.url, timeout=left).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, server.output[-3000:]
        time.sleep(0.02)


def ask_many(client: socket.socket, agent: str, count: int = 100) -> None:
    """So many requests on one connection at once; each must get 200."""
    client.sendall(f"GET / HTTP/1.1\r\nhost: x\r\nuser-agent: {agent}\r\n\r\n".encode() * count)
    received = b""
    while len(re.findall(rb"\r\n\r\n\d", received)) < count:
        data = client.recv(65_536)
        assert data, received
        received += data


# --- a disk that is full -------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path):
        yield tmp_path


def test_an_access_log_on_a_full_disk_keeps_whole_lines(disk: Path) -> None:
    log = disk / "access.log"
    with Hornbeam("ops_app:app", workers=2, access_log="combined", access_log_file=log) as server:
        with load(server, 4, REST) as wrong:
            wait_until(lambda: log.exists() and log.read_text().count("\n") > 20, 10, "lines")
            started = time.monotonic()
            ballast = fill(disk)
            server.wait_for_output(r"\d+ lines of the access log \(\S+\) were dropped: no space")
            wait_until(lambda: server.output.count("of the access log") > 1, 10, "it says so again")
            said = server.output.count("of the access log")
            assert said <= time.monotonic() - started + 1, "more than once a second"
            # What has been cut is taken back within a moment.
            wait_until(lambda: log.read_text().endswith("\n"), 5, "the last line is whole")
            lines = log.read_text()
            ballast.unlink()
            wait_until(lambda: log.read_text() != lines, SOON, "it goes on")
        assert wrong == []
        assert_serves(server)
        wait_until(lambda: log.read_text().endswith("\n"), 5, "the last line is whole")
    whole = re.compile(r'127\.0\.0\.1 - - \[[^]]+\] "GET / HTTP/1\.1" 200 \d+ "-" "[^"]+"')
    assert [line for line in log.read_text().splitlines() if not whole.fullmatch(line)] == []


def test_a_log_on_a_full_disk_says_what_was_lost(disk: Path) -> None:
    path = disk / "err"
    with Redirected(f"2>>{path}", "ops_app:app") as server:
        ballast = fill(disk)
        for number in range(20):
            assert httpx.get(f"{server.url}/log?text=lost{number}-{'x' * 900}").status_code == 200
        ballast.unlink()
        assert_serves(server)

        def told() -> bool:
            httpx.get(f"{server.url}/log?text=found")
            return "log lines were dropped: standard error did not take them" in path.read_text()

        wait_until(told, 10, "how many were lost")
    assert "note found" in path.read_text()


def test_control_socket_and_crash_dump_on_a_full_disk(disk: Path) -> None:
    ballast = fill(disk)
    with suppress(OSError):
        for number in range(100):  # and every inode
            (disk / str(number)).touch()
    control = disk / "control.sock"
    with Hornbeam("ops_app:app", control=control, crash_dump_dir=disk.parent / "dump") as server:
        assert_serves(server)
        assert control.exists() or "no control socket" in server.output
    ballast.unlink()


# --- somebody who does not read ------------------------------------------------------------------


class Redirected(Hornbeam):
    """A server with a redirection of the shell's, such as `2>file`."""

    def __init__(self, redirection: str, app: str, **options: Any) -> None:
        super().__init__(app, **options)
        self.command = ["/bin/bash", "-c", f'exec "$0" "$@" {redirection}', *self.command]

    def __enter__(self) -> Redirected:
        super().__enter__()
        return self

    def terminate(self, timeout: float) -> float:
        """SIGTERM; how many seconds the launcher took to exit, with status 0."""
        process = self._running()
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout) == 0
        return time.monotonic() - started


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Path]:
    """A pipe with a name that somebody holds open and does not read."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    holder = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        yield path
    finally:
        os.close(holder)


def test_standard_error_that_nobody_reads(fifo: Path) -> None:
    """400 MB of logging: serving goes on, in bounded memory, and a graceful stop ends in time."""
    with Redirected(f"2>{fifo}", "full_app:app", workers=2) as server:
        before = memory(server.beam())
        with load(server, 2, REST) as wrong:
            flooded = httpx.get(f"{server.url}/flood?mb=400", timeout=120)
            assert flooded.status_code == 200
        assert wrong == []
        assert memory(server.beam()) - before < 40 * MIB
        assert max(memory(pid) for pid in server.workers()) < 100 * MIB
        assert_serves(server)
        # Two reads of the pipe are enough for it to go on, and to say what was lost.
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        try:
            wait_until(lambda: b"log lines were dropped" in _read(reader), 20, "it says so")
        finally:
            os.close(reader)
        httpx.get(f"{server.url}/flood?mb=20", timeout=120)
        assert server.terminate(20) < 10


@pytest.mark.parametrize("how", ["burst", "threads=4"])
def test_whoever_logs_faster_than_the_server_takes_it_waits(tmp_path: Path, how: str) -> None:
    """No record is lost on the way to Erlang, and the worker is not taken for one that breaks the
    protocol (which a backlog of 64 MiB would be)."""
    log = tmp_path / "log"
    options = {"max_worker_backlog": 67_108_864, "log_rate": "infinity"}
    with Redirected(f"2>{log}", "full_app:app", **options) as server:
        before, workers = memory(server.beam()), pids(server)
        flooded = httpx.get(f"{server.url}/flood?mb=100&{how}", timeout=120)
        assert flooded.status_code == 200
        assert memory(server.beam()) - before < 40 * MIB
        assert pids(server) == workers
        assert_serves(server)
    lines = log.read_text().splitlines()
    assert not [line for line in lines if "log records were dropped" in line]
    # What the file did not take in time.
    lost = sum(int(line.split()[-10]) for line in lines if "log lines were dropped" in line)
    assert sum("x" * 8000 in line for line in lines) + lost >= 12_500


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 20)
    except BlockingIOError:
        return b""


@pytest.mark.parametrize("blocked", [True, False], ids=["blocked", "closed"])
def test_an_access_log_on_standard_output_that_nobody_reads(fifo: Path, blocked: bool) -> None:
    """Blocked: the reader stands still after the first line. Closed: `| head -n 1`."""
    path = Path(f"{fifo}.gate")
    os.mkfifo(path)
    reader = f"exec 3<{path}; head -n 1; read -r _ <&3" if blocked else "head -n 1"
    dropped = "lines of the access log (standard output) were dropped"
    with (
        # The reader that stands still ends when this is closed, whatever comes before.
        path.open("r+b", buffering=0) as gate,
        Redirected(
            f"> >({reader})", "ops_app:app", access_log="json",
            access_log_fields=["path", "user_agent"],
        ) as server,
    ):  # fmt: skip
        with server.connect() as client:
            until = time.monotonic() + 60
            while dropped not in server.output:
                ask_many(client, "x" * 2000)
                assert time.monotonic() < until, "nothing was dropped"
        assert_serves(server)
        assert server.terminate(20) < 10
        gate.close()  # it is one of the server's processes, whose end is waited for


# --- memory --------------------------------------------------------------------------------------


class Grouped(Redirected):
    """A server that is in a control group from its beginning."""

    def __init__(self, group: Group, app: str, **options: Any) -> None:
        super().__init__("", app, **options)
        self.command[2] = f'echo $$ >{group.folder}/cgroup.procs; exec "$0" "$@"'


def test_the_kernel_kills_a_worker_and_the_log_says_why() -> None:
    with (
        group("memory", memory_max=1 << 40) as memory_group,
        Hornbeam("full_app:app", workers=2) as server,
    ):
        memory_group.take(server)
        before = pids(server)
        with load(server, 2, REST) as wrong:
            memory_group.limit("memory.max", 150 * MIB)
            # A POST: a GET would be tried on the other worker as well.
            answer = httpx.post(f"{server.url}/hold?mb=400", timeout=60)
            assert answer.status_code == 502
            server.wait_for_output(
                r"worker \d \(pid \d+\) ended: Python was ended by signal 9 \(SIGKILL\), perhaps "
                r"by the kernel because memory was used up, as it has ended [1-9]\d* of this"
            )
            wait_until(lambda: len(pids(server)) == 2, 20, "it has been replaced")
        # The kernel may take the other worker as well, before the first one's memory is free again;
        # the VM it does not take.
        kills = memory_group.oom_kills()
        assert len(before & pids(server)) == 2 - kills
        assert wrong == [] or kills == 2
        assert_serves(server)


def test_a_worker_that_gets_no_memory_answers_500_and_goes_on() -> None:
    with Hornbeam("full_app:app", workers=2) as server:
        before = pids(server)
        for pid in before:
            size = int(re.findall(r"VmSize:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0])
            limit = size * 1024 + 60 * MIB
            resource.prlimit(pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        assert httpx.post(f"{server.url}/hold?mb=400", timeout=60).status_code == 500
        server.wait_for_output("^MemoryError", 15)
        for pid in pids(server):
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(pid, resource.RLIMIT_AS, unlimited)
        for _ in range(4):
            assert_serves(server)
        assert pids(server) == before


def test_a_vm_that_takes_too_much_refuses_requests_until_it_takes_less(tmp_path: Path) -> None:
    cleared = tmp_path / "cleared"
    with (
        group("memory", memory_max=1000 * MIB) as memory_group,
        Grouped(
            memory_group, "full_app:app", max_memory_percent=15, state_max_bytes="infinity"
        ) as server,
    ):
        assert_serves(server)
        # What is in progress goes on: this request itself fills the state.
        filled = httpx.post(f"{server.url}/state?mb=200&until={cleared}", timeout=60)
        assert filled.status_code == 200
        wait_until(lambda: httpx.get(server.url).status_code == 503, 10, "requests are refused")
        message = r"the VM takes \d+ MiB of memory, more than max_memory_percent allows \(150 MiB\)"
        server.wait_for_output(message)
        cleared.touch()
        server.wait_for_output(r"the VM takes \d+ MiB of memory: requests are taken again", 30)
        assert_serves(server)
        assert len(re.findall(message, server.output)) == 1


def test_a_vm_that_the_kernel_kills_is_an_exit_status() -> None:
    with group("memory", memory_max=250 * MIB) as memory_group:
        unbounded = {"max_memory_percent": 100, "state_max_bytes": "infinity"}
        server = Grouped(memory_group, "full_app:app", **unbounded).start()
        try:
            with pytest.raises(httpx.HTTPError):
                httpx.post(f"{server.url}/state?mb=600", timeout=60)
            assert server.wait(30) == 128 + signal.SIGKILL
        finally:
            server.kill()


def test_a_vm_that_gets_no_memory_is_an_exit_status() -> None:
    server = Hornbeam("full_app:app", max_memory_percent=100).start()
    try:
        status = Path(f"/proc/{server.beam()}/status").read_text()
        limit = int(re.findall(r"VmSize:\s+(\d+)", status)[0]) * 1024 + 60 * MIB
        resource.prlimit(server.beam(), resource.RLIMIT_AS, (limit, limit))
        with pytest.raises(httpx.HTTPError):
            httpx.post(f"{server.url}/state?mb=300", timeout=60)
        assert server.wait(30) == 1
        assert "Cannot allocate" in server.output
        assert "Crash dump" not in server.output
    finally:
        server.kill()


# --- processes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("blocked", [False, True], ids=["killed", "blocked"])
def test_no_process_is_left_for_a_restart(blocked: bool) -> None:
    """The others serve; one log line; it is killed and restarted when there is a process again."""
    with (
        group("pids", pids_max=1 << 20) as limited,
        Hornbeam("ops_app:app", workers=2, worker_heartbeat=1500) as server,
    ):
        limited.take(server)
        ended = min(pids(server))
        with load(server, 2, REST) as wrong:
            limited.limit("pids.max", 1)
            os.kill(ended, signal.SIGSTOP if blocked else signal.SIGKILL)
            server.wait_for_output(
                r"worker \d is not started: its process cannot be started: the limit of "
                r"processes \(ulimit -u, the cgroup's pids.max\) is reached; it is tried again",
                20,
            )
            assert len(pids(server) - {ended}) == 1
            assert_serves(server)
            limited.limit("pids.max", "max")
            wait_until(lambda: len(pids(server) - {ended}) == 2, 10, "it has been replaced")
        assert wrong == []
        assert_serves(server)
        assert server.output.count("is not started") == 1


def test_a_vm_whose_only_worker_cannot_be_started_serves_soon_after() -> None:
    with (
        group("pids", pids_max=1 << 20) as limited,
        Hornbeam("ops_app:app", queue_timeout=500) as server,
    ):
        limited.take(server)
        limited.limit("pids.max", 1)
        os.kill(server.workers()[0], signal.SIGKILL)
        server.wait_for_output("is not started")
        assert httpx.get(server.url).status_code == 503
        limited.limit("pids.max", "max")
        assert_serves(server)


# --- the VM's own tables -------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["+Q", "+P"], ids=["ports", "processes"])
def test_a_table_of_the_vm_that_is_full(table: str) -> None:
    """1,024 entries, and more connections than that; a worker dies meanwhile."""
    flags = {"HORNBEAM_ERL_FLAGS": f"{table} 1024"}
    with Hornbeam("ops_app:app", workers=2, env=flags) as server:
        idle = [server.connect() for _ in range(1100)]
        for sock in idle:
            sock.setblocking(False)
        os.kill(min(pids(server)), signal.SIGKILL)
        before = cpu_seconds(server.beam())
        time.sleep(1.0)  # what a loop that does not wait would burn
        assert cpu_seconds(server.beam()) - before < 0.7, "something spins"
        for sock in idle:
            sock.close()
        assert_serves(server)
        wait_until(lambda: len(pids(server)) == 2, 10, "the worker has been replaced")
        assert server.output.count("\n") < 60, server.output


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_nothing_that_is_sent_makes_an_atom(tmp_path: Path) -> None:
    """Atoms are never freed: a million of them end the VM."""
    metrics = tmp_path / "metrics.sock"
    with Hornbeam(
        "full_app:app", workers=2, metrics_bind=f"unix:{metrics}", request_id=True,
        access_log="json", log_level="debug",
    ) as server:  # fmt: skip
        transport = httpx.HTTPTransport(uds=str(metrics))
        with httpx.Client(transport=transport) as client:

            def atoms() -> int:
                text = client.get("http://metrics/metrics").text
                return int(re.findall(r"^hornbeam_beam_atoms (\d+)$", text, re.MULTILINE)[0])

            for attempt in range(2):  # the first loads code
                if attempt == 1:
                    before = atoms()
                for number in range(8):
                    varied(server, f"name{attempt}x{number}")
            assert atoms() == before


def varied(server: Hornbeam, name: str) -> None:
    """Requests with a name of the client's in every place that can hold one."""
    assert httpx.post(f"{server.url}/names?name={name}").status_code == 200
    fields = {name: name, "host": name, "connection": name, "x-request-id": name, "expect": name}
    for method in ("GET", "POST", name):
        httpx.request(method, f"{server.url}/{name}?{name}={name}", headers=fields)
    for raw in (
        f"{name} * {name}/1.1\r\n\r\n",
        f"GET / HTTP/1.1\r\nhost: {name}\r\ntransfer-encoding: {name}\r\n\r\n",
        f"GET / HTTP/1.1\r\nhost: {name}\r\nupgrade: {name}\r\nconnection: upgrade\r\n\r\n",
        f"GET / HTTP/1.1\r\nhost: {name}\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        f"sec-websocket-protocol: {name}\r\nsec-websocket-extensions: {name}\r\n"
        f"sec-websocket-version: 13\r\nsec-websocket-key: {'A' * 22}==\r\n\r\n",
    ):
        with server.connect() as sock:
            sock.sendall(raw.encode())
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65_536):
                pass
    client = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False))
    client.initiate_connection()
    client.send_headers(1, [(":method", name), (":path", f"/{name}"), (":scheme", name),
                            (":authority", name), (name, name)], end_stream=True)  # fmt: skip
    with server.connect() as sock:
        sock.sendall(client.data_to_send())
        sock.settimeout(20)
        sock.recv(65_536)


# --- clocks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [3600, -3600], ids=["forward", "back"])
def test_a_clock_that_jumps_an_hour(jump: int, tmp_path: Path) -> None:
    """Durations do not notice; `Date` and the access log follow."""
    libraries = list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        pytest.skip("libfaketime is not there")
    clock, log = tmp_path / "clock", tmp_path / "access.log"
    clock.write_text("+0")
    env = {
        "LD_PRELOAD": str(libraries[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    with Hornbeam(
        "full_app:app", workers=2, env=env, access_log="json", access_log_file=log,
        worker_heartbeat=5000, timeout=20_000, max_worker_lifetime=3_000_000,
    ) as server:  # fmt: skip
        before = pids(server)
        with httpx.Client(base_url=server.url, timeout=20) as idle, ThreadPoolExecutor(1) as pool:
            idle.get("/keep?ttl=600")
            slow = pool.submit(httpx.get, f"{server.url}/sleep?s=1", timeout=20)
            with load(server, 2, REST) as wrong:
                clock.write_text(f"{jump:+}")

                def follows() -> bool:
                    said = parsedate_to_datetime(httpx.get(server.url).headers["date"])
                    return abs(said.timestamp() - (time.time() + jump)) < 60

                wait_until(follows, 5, "the Date field follows")
                assert slow.result().status_code == 200
                assert idle.get("/kept").status_code == 200
            assert wrong == []
        wait_until(log.read_text, 5, "the log is written")
        last = datetime.fromisoformat(json.loads(log.read_text().splitlines()[-1])["time"][:19])
        assert abs(last.replace(tzinfo=timezone.utc).timestamp() - (time.time() + jump)) < 60
        assert pids(server) == before


@pytest.mark.parametrize("whole", [False, True], ids=["the VM", "all of it"])
def test_a_vm_that_stands_still_loses_nothing(whole: bool) -> None:
    """A laptop that sleeps, a container that is paused: no worker is killed for the VM's sleep."""
    with Hornbeam("ops_app:app", workers=2, worker_heartbeat=1500) as server:
        before = pids(server)
        beam, asleep = server.beam(), before if whole else set()
        with load(server, 2, REST) as wrong, ThreadPoolExecutor(1) as pool:
            slow = pool.submit(httpx.get, f"{server.url}/sleep?s=1", timeout=20)
            time.sleep(0.3)
            send_all(asleep, signal.SIGSTOP)
            time.sleep(0.7)  # they have been asked for a sign of life
            os.kill(beam, signal.SIGSTOP)
            time.sleep(2.5)  # longer than worker_heartbeat
            os.kill(beam, signal.SIGCONT)
            time.sleep(1.2)  # they wake up later
            send_all(asleep, signal.SIGCONT)
            assert slow.result().status_code == 200
            assert_serves(server)
        assert wrong == []
        assert pids(server) == before
        assert "is killed" not in server.output


def send_all(processes: set[int], number: signal.Signals) -> None:
    for pid in processes:
        os.kill(pid, number)
