"""To find what is wrong with a server that runs: stacks, a profile, what is allocated, slow
requests, crashes of workers. Two servers do for all of it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from harness import ROOT, Hornbeam, wait_until

from ops.support import control

SLOW = 100
# However long the tests take: nothing of theirs is ended.
PATIENT: dict[str, Any] = {"timeout": 600_000, "worker_heartbeat": 600_000}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hornbeam]:
    """One worker, with slow_request."""
    path = tmp_path_factory.mktemp("diagnose") / "control"
    with Hornbeam("diagnose_app:app", control=str(path), slow_request=SLOW, **PATIENT) as server:
        yield server


@pytest.fixture(scope="module")
def wsgi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hornbeam]:
    """WSGI below /w, in a log of JSON, without a heartbeat that would end what hangs."""
    path = tmp_path_factory.mktemp("diagnose") / "control"
    with Hornbeam(
        "diagnose_app:app", mount="/w=diagnose_app:wsgi", control=str(path), slow_request=SLOW,
        log_format="json", threads=2, **PATIENT,
    ) as server:  # fmt: skip
        yield server


@contextmanager
def asked(server: Hornbeam, path: str, file: Path) -> Iterator[None]:
    """A request that goes on until the block is left, which makes the file that it waits for."""
    answers: list[int] = []
    url = f"{server.url}{path}{quote(str(file))}"

    def ask() -> None:
        answers.append(httpx.get(url, timeout=120).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        wait_until(lambda: path in told(server, "requests"), 60, f"{path} is in progress")
        yield
    finally:
        file.touch()
        thread.join()
    assert answers == [200]


def told(server: Hornbeam, command: str, *arguments: str) -> str:
    ok, text = control(server, command, *arguments)
    assert ok, text
    return text


def hornbeam(server: Hornbeam, *arguments: str) -> subprocess.CompletedProcess[str]:
    flag = next(part for part in server.command if part.startswith("--control="))
    command = [str(ROOT / "bin" / "hornbeam"), *arguments, flag]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_requests_in_progress(server: Hornbeam, tmp_path: Path) -> None:
    """With worker, age, client, method and path; without the query."""
    with asked(server, "/wait", tmp_path / "go"):
        rows = told(server, "requests").splitlines()
    assert len(rows) == 2
    pattern = rf"1 +\d+\.\d{{3}} s +127\.0\.0\.1:\d+ +GET /wait{tmp_path}/go"
    assert re.fullmatch(pattern, rows[1].strip()), rows
    assert told(server, "requests") == "no request is in progress"


def test_the_stack_of_a_task_goes_down_to_what_it_waits_for(
    server: Hornbeam, tmp_path: Path
) -> None:
    texts: list[str] = []

    def waits() -> bool:
        texts.append(told(server, "stack", "1"))
        return "waits for <_GatheringFuture" in texts[-1] and "in waiting_for" in texts[-1]

    with asked(server, "/wait", tmp_path / "go"):
        wait_until(waits, 60, "it has come to where it waits")
    text = texts[-1]
    _, _, task = text.partition(f": GET /wait{tmp_path}/go\n")
    own, _, others = task.partition("\n\n")
    assert re.search(r"in app\n.*\n.*in outer\n    await asyncio.gather", own), text
    assert "waits for <_GatheringFuture pending" in own
    assert "in waiting_for" in others
    assert 'thread "MainThread": the event loop, which answers this' in text
    assert 'thread "hornbeam-watch"' in text


def test_a_path_begins_no_line_of_its_own(server: Hornbeam, tmp_path: Path) -> None:
    """Clients choose paths, which go to logs and terminals: control characters are shown as %XX."""
    with asked(server, "/wait", tmp_path / "a\nFAKE\x1b"):
        shown = f"GET /wait{tmp_path}/a%0AFAKE%1B"
        assert len(told(server, "requests").splitlines()) == 2
        for text in (told(server, "requests"), told(server, "stack", "1")):
            assert shown in text, text
        server.wait_for_output(f"slow request: {shown} has been in worker 1", 60)
    assert "\x1b" not in server.output
    assert "\nFAKE" not in server.output


def test_the_stack_of_a_loop_that_is_blocked(server: Hornbeam, tmp_path: Path) -> None:
    """By a signal, since nobody answers."""
    with asked(server, "/block", tmp_path / "go"):
        text = told(server, "stack", "1")
    assert text.startswith("The event loop does not answer: it is blocked.")
    assert re.search(r"diagnose_app\.py\", line \d+ in blocked\n.* in app\n", text), text


def test_the_stack_of_a_wsgi_thread(wsgi: Hornbeam, tmp_path: Path) -> None:
    with asked(wsgi, "/w/block", tmp_path / "go"):
        wsgi.wait_for_output(f"slow request: GET /w/block{tmp_path}/go has been in worker /w/1", 60)
        text = told(wsgi, "stack", "/w/1")
    _, _, thread = text.partition(f": GET /w/block{tmp_path}/go\n")
    assert re.search(r"in wsgi\n.*\n.*in blocked\n", thread.partition("\n\n")[0]), text
    line = next(line for line in wsgi.output.splitlines() if "slow request: GET /w/block" in line)
    record = json.loads(line)
    assert (record["level"], record["worker"]) == ("warning", 1)
    assert "in blocked" in record["message"]


def test_which_worker_is_said_by_its_place(wsgi: Hornbeam) -> None:
    assert "event loop" in told(wsgi, "stack", "1")
    for name in ("7", "/x/1", "one"):
        ok, text = control(wsgi, "stack", name)
        assert (ok, text) == (False, f'there is no worker "{name}"; there are /w/1, 1')


def test_a_slow_request_is_logged_once_with_its_stack(server: Hornbeam, tmp_path: Path) -> None:
    with asked(server, "/wait", tmp_path / "go"):
        pattern = rf"slow request: GET /wait{tmp_path}/go has been in worker 1 for (\d+) ms"
        age = server.wait_for_output(pattern, 60).group(1)
        assert int(age) >= SLOW
        # It is looked at again and again meanwhile: the next one is told of by then.
        with asked(server, "/wait", tmp_path / "go2"):
            server.wait_for_output(f"GET /wait{tmp_path}/go2 has been", 60)
    assert len(re.findall(pattern, server.output)) == 1
    _, _, stack = server.output.partition(f"GET /wait{tmp_path}/go has been")
    assert re.search(r"(?s)^[^\n]* Where it is:\n.*in outer\n.*waits for <_Gathering", stack), stack


def test_a_slow_request_that_blocks_the_loop_is_logged_with_its_stack(
    server: Hornbeam, tmp_path: Path
) -> None:
    with asked(server, "/block", tmp_path / "go"):
        server.wait_for_output(
            rf"GET /block{tmp_path}/go has been in worker 1 .*; the event loop is blocked\.", 60
        )
        server.wait_for_output(r"line \d+ in blocked$", 60)


def profile(server: Hornbeam, name: str) -> str:
    """A profile of a second that has that name, or ""."""
    text = told(server, "profile", "1", "1")
    return text if name in text else ""


def test_a_profile(server: Hornbeam, tmp_path: Path) -> None:
    """Collapsed stacks of what works; a thread that waits is not in it. A flame graph and
    speedscope's format are made of the same."""
    httpx.get(f"{server.url}/work{tmp_path}/go", timeout=60)
    try:
        text = wait_until(lambda: profile(server, "spinning"), 60, "it has been seen")
        picture, scope = tmp_path / "profile.svg", tmp_path / "profile.json"
        done = hornbeam(server, "profile", "1", "--seconds", "1", "-o", str(picture))
        assert done.stdout.endswith(f"written to {picture}\n"), done
        assert hornbeam(server, "profile", "1", "--seconds=1", f"--output={scope}").returncode == 0
    finally:
        (tmp_path / "go").touch()
    first, *stacks = text.splitlines()
    assert re.fullmatch(r"# \d+ samples, in \d+ of which a thread did something", first)
    working = [line for line in stacks if line.startswith("spinner;")]
    assert working, text
    pattern = r"spinner;.*spinning \(apps/diagnose_app\.py:\d+\)(;.*)? \d+"
    assert any(re.fullmatch(pattern, line) for line in working), text
    assert not any("hornbeam-watch" in line for line in stacks), text
    assert picture.read_text().startswith("<svg ")
    assert "spinning" in picture.read_text()
    file = json.loads(scope.read_text())
    (own,) = file["profiles"]
    assert len(own["samples"]) == len(own["weights"])
    assert sum(own["weights"]) == own["endValue"]
    names = [file["shared"]["frames"][frame]["name"] for frame in own["samples"][0]]
    assert names[0] == "spinner"


def memory(server: Hornbeam, name: str) -> str:
    """What was kept in a second, if that has the name, or ""."""
    text = told(server, "memory", "1", "1")
    return text if name in text else ""


def test_what_a_worker_keeps(server: Hornbeam) -> None:
    """Allocated while it was looked at; `ask` goes on until the answer is there."""
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            httpx.get(f"{server.url}/keep", timeout=60)
            done.wait(0.05)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        text = wait_until(lambda: memory(server, "diagnose_app.py"), 60, "something was kept")
    finally:
        done.set()
        thread.join()
    largest = text.split("\n\n")[1]
    assert re.match(r"\d+\.\d [kM]B in \+\d+ objects\n  File \".*diagnose_app\.py\"", largest), text


def test_a_process_that_is_stopped_is_said_to_be(server: Hornbeam) -> None:
    (pid,) = server.workers()
    os.kill(pid, signal.SIGSTOP)
    try:
        for command in (("stack", "1"), ("profile", "1", "300"), ("memory", "1", "300")):
            ok, text = control(server, *command)
            assert not ok
            assert text.startswith("the process is stopped (T), as by SIGSTOP"), (command, text)
            assert f"kill -CONT {pid}" in text
    finally:
        os.kill(pid, signal.SIGCONT)
    assert "event loop" in told(server, "stack", "1")


def test_one_that_is_stopped_meanwhile_is_not_waited_for(server: Hornbeam) -> None:
    (pid,) = server.workers()
    said: list[tuple[bool, str]] = []
    thread = threading.Thread(target=lambda: said.append(control(server, "profile", "1", "300")))
    thread.start()
    try:
        wait_until(lambda: "sampler" in told(server, "stack", "1"), 60, "it is sampled")
        os.kill(pid, signal.SIGSTOP)
        thread.join(100)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert said and said[0][1].startswith("the process is stopped (T)")


def test_a_loop_that_is_blocked_cannot_be_profiled(server: Hornbeam, tmp_path: Path) -> None:
    with asked(server, "/block", tmp_path / "go"):
        ok, text = control(server, "profile", "1", "300")
        assert (ok, text.partition(",")[0]) == (False, "its event loop is blocked")


def test_mistakes_of_the_command(server: Hornbeam) -> None:
    assert "takes a worker" in control(server, "stack")[1]
    assert control(server, "profile", "1", "0") == (False, "--seconds is from 1 to 300")
    assert "is a number" in control(server, "memory", "1", "x")[1]
    done = hornbeam(server, "stack", "1", "--seconds", "3")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "hornbeam: stack takes no --seconds\nTry: hornbeam help\n"


def test_a_crash_is_one_record(server: Hornbeam) -> None:
    """The signal, what it had, what it had used, and the stack that faulthandler has left; status
    has the last ones."""
    assert httpx.post(f"{server.url}/crash", timeout=60).status_code == 502
    server.wait_for_output(r"ended: Python was ended by signal 11 \(SIGSEGV\)", 60)
    server.wait_for_output(r"Fatal Python error: Segmentation fault", 60)
    server.wait_for_output(r"line \d+ in string_at", 60)
    _, _, record = server.output.partition("signal 11 (SIGSEGV)")
    assert re.search(r"it ran for \d+\.\d s and was given \d+ requests", record), record
    assert re.search(r"in progress: POST /crash \(\d+\.\d s\)", record), record
    wait_until(lambda: "(SIGSEGV)" in told(server, "status"), 60, "status has it")
    wait_until(lambda: " ready " in told(server, "status"), 60, "the next process is ready")
    assert re.search(
        r"crash of worker 1 \(diagnose_app:app, pid \d+\) at \S+: Python was ended by signal 11 "
        r"\(SIGSEGV\); in progress: POST /crash$",
        told(server, "status"),
        re.MULTILINE,
    )


def crashes(server: Hornbeam) -> list[dict[str, Any]]:
    """The lines of a log of JSON that have the object."""
    lines = (json.loads(line) for line in server.output.splitlines() if line.startswith("{"))
    return [line for line in lines if "crash" in line]


def test_a_crash_has_fields_of_its_own_in_a_log_of_json(wsgi: Hornbeam) -> None:
    before = len(crashes(wsgi))
    assert httpx.post(f"{wsgi.url}/crash", timeout=60).status_code == 502
    wait_until(lambda: len(crashes(wsgi)) > before, 60, "it is logged")
    line = crashes(wsgi)[-1]
    assert line["level"] == "error"
    assert "signal 11 (SIGSEGV)" in line["message"].splitlines()[0]
    crash = line["crash"]
    assert (crash["signal"], crash["status"], crash["app"]) == ("SIGSEGV", 139, "diagnose_app:app")
    assert "signal 11" in crash["reason"]
    assert [(row["method"], row["path"]) for row in crash["in_progress"]] == [("POST", "/crash")]
    assert crash["stack"][0].startswith("Fatal Python error: Segmentation fault")
    assert any("in string_at" in row for row in crash["stack"])
    assert crash["pid"] > 1 and crash["requests"] >= 1 and crash["uptime_ms"] > 0
    assert crash["worker"] == "1"


def test_a_crash_of_a_worker_that_is_to_leave_is_a_record_too(
    wsgi: Hornbeam, tmp_path: Path
) -> None:
    """It has a request in progress while a reload has replaced it."""
    go, answers = tmp_path / "go", []

    def ask() -> None:
        with httpx.Client(timeout=120) as client:
            answers.append(client.post(f"{wsgi.url}/wait{go}").status_code)

    thread = threading.Thread(target=ask)
    try:
        thread.start()
        wait_until(lambda: "/wait" in told(wsgi, "requests"), 60, "it is in progress")
        (pid,) = re.findall(r" ready (\d+) 1 ", spaced(told(wsgi, "status")))
        told(wsgi, "reload")
        wait_until(lambda: f" draining {pid} " in spaced(told(wsgi, "status")), 60, "it drains")
        os.kill(int(pid), signal.SIGSEGV)
        thread.join()
    finally:
        go.touch()
        thread.join()
    assert answers == [502]
    wait_until(lambda: crashes(wsgi)[-1:] and crashes(wsgi)[-1]["crash"]["pid"] == int(pid), 60, "")
    line = crashes(wsgi)[-1]
    assert "ended before it had finished what it had: Python was ended by" in line["message"]
    assert [row["path"] for row in line["crash"]["in_progress"]] == [f"/wait{go}"]


def spaced(text: str) -> str:
    return re.sub(" +", " ", text)


def test_a_status_that_python_exits_with(server: Hornbeam) -> None:
    assert httpx.post(f"{server.url}/exit/7", timeout=60).status_code == 502
    server.wait_for_output(r"ended: Python exited with status 7; it is started again", 60)
    server.wait_for_output(r"in progress: POST /exit/7", 60)
    wait_until(lambda: " ready " in told(server, "status"), 60, "the next process is ready")


def test_top_prints_one_page_where_there_is_no_terminal(wsgi: Hornbeam) -> None:
    lines = hornbeam(wsgi, "top").stdout.splitlines()
    assert re.fullmatch(rf"hornbeam default on {wsgi.url}, up \d+ \w+", lines[0].rstrip("/"))
    assert re.fullmatch(
        r"requests/s \d+\.\d   errors and durations are not counted \(metrics_bind\)", lines[1]
    )
    assert lines[5].split()[:3] == ["worker*", "state", "pid"]
    rows = {line.split()[0]: line.split()[-1] for line in lines[6:]}
    assert rows["1"] == "diagnose_app:app"
    assert rows["/w/1"] == "diagnose_app:wsgi"


def test_top_on_a_terminal(tmp_path: Path) -> None:
    """Drawn again and again, ordered by keys, as wide as the window; put back at its end."""
    with Hornbeam(
        "diagnose_app:app", workers=2, control=str(tmp_path / "control"), metrics_bind="127.0.0.1:0"
    ) as server:
        assert httpx.get(server.url, timeout=60).status_code == 200
        with Terminal(server) as terminal:
            terminal.wait_for(r"requests/s \d+\.\d   errors/s 0\.0   p50 ")
            terminal.wait_for(r"worker\* ")
            terminal.wait_for(r"q quit")
            terminal.write("m")
            terminal.wait_for(r"memory\*")
            terminal.resize(24, 20)
            terminal.write("n")
            terminal.wait_for(r"\x1b\[K\r\nin flight 0   waitin\x1b\[K\r\n")
            terminal.write("q")


class Terminal:
    """`hornbeam top` in a terminal of its own."""

    def __init__(self, server: Hornbeam) -> None:
        flag = next(part for part in server.command if part.startswith("--control="))
        self._master, self._slave = pty.openpty()
        self.resize(24, 160)
        self._before = termios.tcgetattr(self._slave)
        self._read = ""
        self._process = subprocess.Popen(
            [str(ROOT / "bin" / "hornbeam"), "top", flag],
            stdin=self._slave, stdout=self._slave, stderr=self._slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                assert self._process.wait(60) == 0
                assert termios.tcgetattr(self._slave) == self._before
                self.wait_for(r"\x1b\[\?25h")
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._master)
            os.close(self._slave)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def write(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_for(self, pattern: str) -> None:
        """What comes from now on has it."""
        deadline = time.monotonic() + 60
        while not (match := re.search(pattern, self._read)):
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} in {self._read[-2000:]!r}"
            if select.select([self._master], [], [], left)[0]:
                self._read += os.read(self._master, 65536).decode()
        self._read = self._read[match.end() :]
