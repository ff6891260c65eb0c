"""The option preload: the application is imported once, and workers are forks of who has it."""

from __future__ import annotations

import ast
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import Hornbeam, StartError, open_files, wait_until

APP = "preload_app:app"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="preload needs Linux")


def ask(server: Hornbeam, path: str = "/") -> Any:
    return ast.literal_eval(httpx.get(server.url + path, timeout=60).text)


def everybody(server: Hornbeam, count: int) -> dict[int, list[Any]]:
    """What each of so many workers says of itself."""
    said: dict[int, list[Any]] = {}

    def all_have() -> bool:
        one = ask(server)
        said[one[0]] = one
        return len(said) >= count

    wait_until(all_have, 60, "every worker has been asked")
    return said


def imports(server: Hornbeam) -> int:
    return server.output.count("imported in ")


def parent(server: Hornbeam) -> int:
    """The process that forks."""
    pid = ask(server)[1]
    assert isinstance(pid, int)
    return pid


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam(APP, workers=3, preload=True, metrics_bind="127.0.0.1:0") as started:
        yield started


def test_workers_are_forks_of_one_that_has_imported(server: Hornbeam) -> None:
    said = everybody(server, 3)
    (forked_by,) = {one[1] for one in said.values()}
    assert {one[2] for one in said.values()} == {forked_by}
    assert imports(server) == 1
    assert set(server.workers()) == {*said, forked_by}
    assert f"startup in {forked_by}\n" not in server.output
    for pid in said:
        assert f"startup in {pid}\n" in server.output
    # Numbers at random are each worker's own; sys.argv is as in any worker.
    assert len({one[3] for one in said.values()}) == 3
    assert {len(one[4]) for one in said.values()} == {1}


def test_a_worker_has_no_file_of_its_parent() -> None:
    """As many descriptors, of the same kinds, as one that has imported the application itself."""
    kinds = []
    for preload in (False, True):
        with Hornbeam(APP, preload=preload, loop="asyncio") as server:
            files = ask(server, "/files")
            named = [re.sub(r"\d+|\[.*\]", "", name) for name in files]
            kinds.append([name for name in named if not name.startswith("/proc/")])
    assert kinds[0] == kinds[1]


def test_how_a_fork_ends_is_known_and_another_comes(server: Hornbeam) -> None:
    pid = next(iter(everybody(server, 3)))
    os.kill(pid, signal.SIGSEGV)
    text = rf"worker \d \(pid {pid}\) ended: Python was ended by signal 11 \(SIGSEGV\)"
    server.wait_for_output(text, 60)
    server.wait_for_output(r"Fatal Python error: Segmentation fault", 60)
    assert httpx.post(server.url + "/exit", timeout=60).status_code == 502
    server.wait_for_output(r"ended: Python exited with status 5; ", 60)
    everybody(server, 3)
    assert imports(server) == 1


def test_hooks_and_metrics_of_the_import_are_each_workers(server: Hornbeam) -> None:
    action, imported_in, pid = ask(server, "/hook")
    assert action == "act"
    assert pid != imported_in
    url = server.wait_for_output(r"metrics on (http://\S+)").group(1) + "/metrics"

    def counted() -> bool:
        found = re.search(r"^preload_asked_total (\d+)", httpx.get(url).text, re.MULTILINE)
        return found is not None and int(found.group(1)) >= 3

    wait_until(counted, 60, "what each worker counts")


def test_who_asks_for_nonsense_gets_no_worker(server: Hornbeam) -> None:
    """Nobody else, and no number of descriptors but two; and it goes on."""
    names = re.findall(r"@(hornbeam-preload-\S+)", Path("/proc/net/unix").read_text())
    mine = Path(f"/proc/{parent(server)}/cmdline").read_bytes().decode().split("\0")
    (name,) = {name for name in names if name in mine}
    before = set(server.workers())
    files = open_files(parent(server))
    for bring in (b"", b"w"):
        for count in (0, 1, 3):
            with socket.socket(socket.AF_UNIX) as asking, open(os.devnull, "r+b") as file:  # noqa: PTH123
                asking.connect(f"\0{name}")
                if bring:
                    socket.send_fds(asking, [bring], [file.fileno()] * count)
                    assert not ended(asking)
    if os.geteuid() == 0:
        code = (
            "import socket, os; os.setuid(65534); s = socket.socket(socket.AF_UNIX); "
            f"s.connect('\\0{name}'); s.send(b'w'); print(s.recv(1))"
        )
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.stdout == "b''\n" or "Error: [Errno" in done.stderr, done
        server.wait_for_output("somebody else .UID 65534. has asked for a worker, and gets none")
    assert len(everybody(server, 3)) == 3
    assert set(server.workers()) == before
    wait_until(lambda: open_files(parent(server)) == files, 60, "its descriptors are as before")


def ended(asking: socket.socket) -> bytes:
    """What is answered: b"" where nothing is."""
    asking.settimeout(60)
    try:
        return asking.recv(1)
    except ConnectionResetError:
        return b""


def test_without_the_one_that_forks_workers_go_on(server: Hornbeam) -> None:
    said = everybody(server, 3)
    before = parent(server)
    os.kill(before, signal.SIGKILL)
    server.wait_for_output("preload: the process that forks workers has ended: .*SIGKILL", 60)
    for _ in range(20):
        assert ask(server)[0] in said
    # The next that is started has the application imported again.
    gone = next(iter(said))
    os.kill(gone, signal.SIGKILL)
    text = rf"worker \d \(pid {gone}\) ended: Python closed its end of the pipe"
    server.wait_for_output(text, 60)
    wait_until(lambda: imports(server) == 2, 60, "it is imported again")
    wait_until(lambda: ask(server)[2] not in (before, gone), 60, "a worker of the new one")
    assert set(said) - {gone} <= set(everybody(server, 3))


def test_all_end_with_the_server_and_the_last_is_the_parent() -> None:
    with Hornbeam(APP, workers=2, preload=True) as server:
        said = everybody(server, 2)
    for pid in said:
        assert f"shutdown in {pid}\n" in server.output
    assert "rror" not in server.output
    assert "killed" not in server.output


@pytest.mark.parametrize(
    ("does", "text"),
    [
        ("raises", r"LookupError: not this one"),
        ("state", r"hornbeam_erlang cannot be used while modules are imported"),
        ("exits", r"Python exited with status 9"),
        ("hangs", r"the application was not ready after 4000 ms \(startup_timeout\)"),
    ],
)
def test_an_import_that_fails_is_the_failure_of_the_start(does: str, text: str) -> None:
    limit = 4000 if does == "hangs" else 3_600_000
    server = Hornbeam(
        APP, workers=2, preload=True, env={"PRELOAD_TEST": does}, startup_timeout=limit
    )
    with pytest.raises(StartError) as error, server:
        pass
    assert re.search(text, error.value.output), error.value.output
    assert "shutdown in time" not in error.value.output


def test_what_a_fork_does_not_share_is_said() -> None:
    with Hornbeam(APP, preload=True, env={"PRELOAD_TEST": "threads sockets"}) as server:
        server.wait_for_output("started threads, which no worker has: of-the-import;")
        server.wait_for_output(
            r"opened sockets, which all workers share: \('127.0.0.1', \d+\); open them in"
        )
        assert ask(server)


def test_a_reload_imports_anew(tmp_path: Path) -> None:
    """With its own process; the old one ends. One that fails changes nothing."""
    file = tmp_path / "changing.py"
    text = Path(__file__).parent.parent.joinpath("apps", "preload_app.py").read_text()
    file.write_text(text)
    with Hornbeam("changing:app", workers=2, preload=True, pythonpath=str(tmp_path)) as server:
        before = everybody(server, 2)
        first = parent(server)
        file.write_text("no python")
        os.kill(server.pid, signal.SIGHUP)
        server.wait_for_output("was not reloaded and goes on as before", 60)
        assert set(everybody(server, 2)) == set(before)
        assert parent(server) == first
        file.write_text(text)
        os.kill(server.pid, signal.SIGHUP)
        server.wait_for_output("server default reloaded", 60)
        after = everybody(server, 2)
        assert not set(after) & set(before)
        second = parent(server)
        assert second != first
        wait_until(lambda: set(server.workers()) == {second, *after}, 60, "the old have ended")
        assert imports(server) == 2


def test_wsgi_and_another_mount_without() -> None:
    options = {"preload": True, "workers": 2, "mount": "/own=preload_app:app;preload=false"}
    env = {"PRELOAD_TEST": "no hook"}
    with Hornbeam("preload_app:wsgi", env=env, **options) as server:
        pid, forked_by, imported_in = ask(server)
        assert pid != forked_by == imported_in
        alone = ask(server, "/own")
        assert alone[0] == alone[2] != imported_in


def test_they_end_with_the_vm() -> None:
    """Workers by themselves; one that is stopped, and hears nothing, by who has forked it."""
    server = Hornbeam(APP, workers=2, preload=True)
    all_of_them: list[int] = []
    try:
        server.start()
        said = everybody(server, 2)
        all_of_them = server.workers()
        stopped = next(iter(said))
        os.kill(stopped, signal.SIGSTOP)
        os.kill(server.beam(), signal.SIGKILL)
        wait_until(lambda: not any(map(runs, all_of_them)), 60, "all have ended")
        (other,) = set(said) - {stopped}
        assert f"shutdown in {other}\n" in server.output
    finally:
        server.kill()
        for pid in filter(runs, all_of_them):
            os.kill(pid, signal.SIGKILL)


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_it_is_of_use() -> None:
    """A second worker costs less memory of its own than one that has imported all by itself."""

    def own(pid: int) -> int:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return sum(map(int, re.findall(r"^Private_\w+: +(\d+)", text, re.MULTILINE)))

    most = []
    for preload in (False, True):
        with Hornbeam(APP, workers=2, preload=preload) as server:
            most.append(max(map(own, everybody(server, 2))))
    assert most[1] < most[0] * 0.8
