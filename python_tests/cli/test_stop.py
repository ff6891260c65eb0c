"""Stopping: signals, Ctrl-C in a terminal; what is in progress; the second signal."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from harness import APPS, ROOT, Hornbeam, wait_until
from raw_http import Incomplete, RawClient, request

APP = "core_stop:app"


def shutdowns(output: str) -> set[int]:
    return set(map(int, re.findall(r"^shutdown in (\d+)\r?$", output, re.M)))


def signal_launcher(server: Hornbeam, number: int) -> None:
    os.kill(server.pid, number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_with_status_0_and_every_lifespan_ends(number: int) -> None:
    server = Hornbeam(APP, workers=3)
    try:
        server.start()
        workers = set(server.workers())
        signal_launcher(server, number)
        assert server.wait() == 0
    finally:
        server.kill()
    assert len(workers) == 3
    assert shutdowns(server.output) == workers
    assert "rror" not in server.output
    received = re.findall(r"notice (\w+) received - shutting down$", server.output, re.MULTILINE)
    assert received == [signal.Signals(number).name]


def test_ctrl_c_in_a_terminal() -> None:
    """Ctrl-C goes to the whole foreground group; the stop is as graceful as any other."""
    flags = ["--bind=127.0.0.1:0", f"--python={sys.executable}", f"--pythonpath={APPS}"]
    command = [str(ROOT / "bin" / "hornbeam"), "run", APP, "--workers=2", *flags]
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover (the child)
        os.execv(command[0], command)
    modes = termios.tcgetattr(terminal)
    modes[3] &= ~termios.ECHO  # what is typed would stand in the middle of what is printed
    termios.tcsetattr(terminal, termios.TCSANOW, modes)
    output = read_until(terminal, b"serving")
    os.write(terminal, b"\x03")
    output += read_until(terminal, None)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, output
    assert len(shutdowns(output)) == 2


def read_until(terminal: int, text: bytes | None) -> str:
    """What a terminal shows until a text has come, or until its program has ended."""
    output = b""
    while text is None or text not in output:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # Linux: the last process has closed the terminal
            break
        if not data:
            break
        output += data
    return output.decode()


def test_a_request_in_progress_is_finished() -> None:
    with Hornbeam(APP) as server:
        with RawClient(server.connect()) as client, RawClient(server.connect()) as idle:
            assert idle.get("/slow").body == b"slow"
            client.send(request("/slow"))
            wait_until(lambda: server.output.count("slow begins") == 2, 10, "it runs")
            signal_launcher(server, signal.SIGTERM)
            assert idle.closed()
            answer = client.response()
            assert (answer.status, answer.body) == (200, b"slow")
            assert client.closed()
        assert server.wait() == 0
    assert server.output.index("slow ends") < server.output.index("shutdown in")


def test_no_new_connection_is_accepted_while_stopping() -> None:
    with Hornbeam(APP) as server:
        with RawClient(server.connect()) as client:
            client.send(request("/slow"))
            server.wait_for_output("slow begins")
            signal_launcher(server, signal.SIGTERM)
            wait_until(lambda: refused(server), 10, "connections are refused")
            assert client.response().body == b"slow"
        assert server.wait() == 0


def refused(server: Hornbeam) -> bool:
    try:
        server.connect(1).close()
    except (ConnectionRefusedError, TimeoutError):
        return True
    return False


def test_an_endless_stream_is_cut_after_graceful_timeout() -> None:
    with Hornbeam(APP, graceful_timeout=500) as server:
        with RawClient(server.connect()) as client:
            client.send(request("/endless"))
            client.read(200)
            began = time.monotonic()
            signal_launcher(server, signal.SIGTERM)
            with pytest.raises(Incomplete):
                client.response()
            assert time.monotonic() - began > 0.4
        assert server.wait() == 0
        assert time.monotonic() - began < 20
    assert "the stream ends" in server.output
    assert len(shutdowns(server.output)) == 1
    assert "Traceback" not in server.output


def test_a_second_signal_ends_at_once() -> None:
    server = Hornbeam(APP, graceful_timeout="infinity")
    try:
        server.start()
        (worker,) = server.workers()
        with RawClient(server.connect()) as client:
            client.send(request("/endless"))
            client.read(200)
            signal_launcher(server, signal.SIGINT)
            server.wait_for_output("SIGINT received - shutting down")
            client.read(200)
            signal_launcher(server, signal.SIGINT)
            assert server.wait() == 128 + signal.SIGKILL
        wait_until(lambda: not Path(f"/proc/{worker}").exists(), 15, "the worker has ended")
    finally:
        server.kill()


def test_a_signal_during_the_start() -> None:
    """While the application is being started: nothing is left, and it is no failure."""
    flags = ["--bind=127.0.0.1:0", f"--python={sys.executable}", f"--pythonpath={APPS}"]
    app = "core_lifespan:never_ready"
    command = [str(ROOT / "bin" / "hornbeam"), "run", app, *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_until(lambda: python_below(children), 20, "the worker's process runs")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=40)
    assert process.returncode == 0, output
    assert "crash" not in output
    assert "Traceback" not in output


def python_below(children: Path) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
        for child in children.read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            below = Path(f"/proc/{child}/task/{child}/children")
            if b"hornbeam_worker/__main__.py" in command or python_below(below):
                return True
    return False


def test_when_the_launcher_is_killed_everything_ends_gracefully() -> None:
    server = Hornbeam(APP)
    try:
        server.start()
        everything = server.descendants()
        os.kill(server.pid, signal.SIGKILL)
        wait_until(
            lambda: not any(Path(f"/proc/{pid}").exists() for pid in everything), 20, "all ended"
        )
    finally:
        server.kill()
    assert len(shutdowns(server.output)) == 1
