"""`hornbeam dev`, what the start-up line says, and how the log looks: in colour, as JSON."""

from __future__ import annotations

import json
import os
import platform
import pty
import re
import signal
import sys
import termios
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest
from harness import ROOT, Hornbeam, StartError, wait_until

APP = """
print("imported", end="", flush=False)
print()
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    answer = b"first"
    if scope["path"] == "/break":
        breakpoint()
    if scope["path"] == "/raise":
        raise LookupError("of the application")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": answer})
"""


class Dev(Hornbeam):
    """`hornbeam dev`."""

    def __init__(self, folder: Path, *flags: str, env: dict[str, str] | None = None) -> None:
        (folder / "dev_app.py").write_text(APP)
        super().__init__("dev_app:app", pythonpath=str(folder), env=env)
        self.command[1] = "dev"
        self.command += flags


def change(file: Path) -> None:
    file.write_text(file.read_text().replace("first", "second"))
    # Later than any clock's tick would make it.
    os.utime(file, (file.stat().st_mtime + 5,) * 2)


def test_a_saved_file_is_served_and_requests_are_logged(tmp_path: Path) -> None:
    with Dev(tmp_path) as server:
        server.wait_for_output("^imported$")
        assert len(server.workers()) == 1
        server.wait_for_output("watching the application's files")
        assert httpx.get(server.url).text == "first"
        server.wait_for_output(r'^127\.0\.0\.1 - - .*"GET / HTTP/1\.1" 200 5 ')
        change(tmp_path / "dev_app.py")
        wait_until(lambda: httpx.get(server.url).text == "second", 30, "the new code serves")
        httpx.get(f"{server.url}/raise")
        server.wait_for_output(r"^Traceback \(most recent call last\):\n(  .*\n)+LookupError: of")


def waits(server: Hornbeam, times: int) -> bool:
    return server.output.count("waiting for a change") == times


def test_an_application_that_does_not_start_is_tried_again_when_it_is_mended(
    tmp_path: Path,
) -> None:
    server, file = Dev(tmp_path), tmp_path / "dev_app.py"
    file.write_text("def app(:\n")
    with ThreadPoolExecutor(1) as threads:
        started = threads.submit(server.start)
        for number, source in ((1, "raise LookupError('still')\n"), (2, APP)):
            wait_until(partial(waits, server, number), 30, "it waits for a change")
            assert not started.done()
            file.write_text(source)
            os.utime(file, (file.stat().st_mtime + 5 * number,) * 2)
        started.result()
    assert server.output.index("SyntaxError") < server.output.index("LookupError: still")
    server.wait_for_output("watching the application's files")
    assert httpx.get(server.url).text == "first"
    change(file)
    wait_until(lambda: httpx.get(server.url).text == "second", 30, "the new code serves")
    assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_while_it_waits_for_a_change(tmp_path: Path, number: signal.Signals) -> None:
    server = Dev(tmp_path)
    (tmp_path / "dev_app.py").write_text("raise LookupError\n")
    with ThreadPoolExecutor(1) as threads:
        started = threads.submit(server.start)
        wait_until(partial(waits, server, 1), 30, "it waits for a change")
        os.kill(server.pid, number)
        assert server.wait() == 0
        with pytest.raises(StartError):
            started.result()
    wait_until(lambda: not server.workers(), 10, "nothing is left")


def test_flags_and_the_environment_win_over_the_defaults_of_dev(tmp_path: Path) -> None:
    with Dev(tmp_path, "--no-reload", env={"HORNBEAM_ACCESS_LOG": "off"}) as server:
        assert httpx.get(server.url).text == "first"
        server.wait_for_output("^imported$")
    assert "watching" not in server.output
    assert "GET /" not in server.output


def test_the_first_line_names_address_workers_and_versions(tmp_path: Path) -> None:
    with Dev(tmp_path) as server:
        server.wait_for_output(
            rf"^Hornbeam \d+\.\d+\.\d+ serving dev_app:app on http://127\.0\.0\.1:\d+ "
            rf"\(1 worker, Python {re.escape(platform.python_version())}, Erlang/OTP \d+\)$"
        )


class Terminal:
    """A terminal in which `hornbeam dev` runs."""

    def __init__(self, folder: Path, *flags: str, env: dict[str, str] | None = None) -> None:
        (folder / "dev_app.py").write_text(APP)
        command = [
            str(ROOT / "bin" / "hornbeam"), "dev", "dev_app:app", "--bind=127.0.0.1:0",
            f"--python={sys.executable}", f"--pythonpath={folder}", "--no-reload", *flags,
        ]  # fmt: skip
        clean = {name: os.environ[name] for name in os.environ if name != "NO_COLOR"}
        self.output = ""
        self.seen = 0
        self.pid, self.master = pty.fork()
        if self.pid == 0:  # pragma: no cover (the child)
            os.execve(command[0], command, clean | {"TERM": "xterm"} | (env or {}))
        self.url = self.show(r" on (http://\S+) \(").group(1)

    def show(self, pattern: str) -> re.Match[str]:
        """Reads until what it shows after the match before this one matches."""
        while not (match := re.search(pattern, self.output[self.seen :])):
            data = self._read()
            assert data, f"no {pattern!r} in {self.output}"
            self.output += data
        self.seen += match.end()
        return match

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> int:
        """The exit status, once nobody has the terminal open any more."""
        while data := self._read():
            self.output += data
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def _read(self) -> str:
        try:
            return os.read(self.master, 4096).decode()
        except OSError:  # Linux: the last one has closed it
            return ""


def on_a_terminal(folder: Path, env: dict[str, str], *flags: str) -> str:
    """What a terminal shows of a server that answers one request and is stopped by Ctrl-C."""
    terminal = Terminal(folder, *flags, env=env)
    httpx.get(f"{terminal.url}/raise")
    terminal.show(" /raise HTTP")
    terminal.type("\x03")
    assert terminal.end() == 0, terminal.output
    return terminal.output


# A debugger


def test_a_breakpoint_reads_the_terminal_and_with_debug_has_all_the_time(tmp_path: Path) -> None:
    """A limit of a millisecond would have ended each step."""
    terminal = Terminal(tmp_path, "--debug", "--timeout=1", "--worker-heartbeat=1")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.get, f"{terminal.url}/break", timeout=60)
        terminal.show(r"\(Pdb\) ")
        terminal.type("p 6 * 7 + len(answer)\n")
        terminal.show(r"\s47\s")
        terminal.show(r"\(Pdb\) ")
        terminal.type("answer = b'typed'\n")
        terminal.show(r"\(Pdb\) ")
        terminal.type("c\n")
        assert (answer.result().status_code, answer.result().text) == (200, "typed")
    terminal.type("\x03")
    assert terminal.end() == 0, terminal.output


def test_ctrl_c_reaches_the_server_from_a_debugger_and_leaves_the_terminal_as_it_was(
    tmp_path: Path,
) -> None:
    terminal = Terminal(tmp_path, "--debug", "--graceful-timeout=60000")
    before = termios.tcgetattr(terminal.master)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.get, f"{terminal.url}/break", timeout=60)
        terminal.show(r"\(Pdb\) ")
        assert termios.tcgetattr(terminal.master) != before  # readline has it
        terminal.type("\x03")
        terminal.show("SIGINT received")
        terminal.type("\x03")
        _, status = os.waitpid(terminal.pid, 0)
        assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGKILL
        assert termios.tcgetattr(terminal.master) == before
        with pytest.raises(httpx.HTTPError):
            answer.result()
    while terminal._read():  # the worker has ended, too
        pass


# Colour


def test_levels_and_statuses_are_coloured_on_a_terminal(tmp_path: Path) -> None:
    output = on_a_terminal(tmp_path, {})
    assert "\x1b[31merror\x1b[0m worker 1 hornbeam.asgi: exception" in output
    assert '"GET /raise HTTP/1.1" \x1b[31m500\x1b[0m ' in output
    assert "\x1b[32mnotice\x1b[0m SIGINT received" in output


def test_no_color_and_its_flag_are_obeyed_on_a_terminal(tmp_path: Path) -> None:
    assert "\x1b[" not in on_a_terminal(tmp_path, {"NO_COLOR": "1"})
    assert "\x1b[" not in on_a_terminal(tmp_path, {}, "--no-use-colors")


@pytest.mark.parametrize(
    ("env", "colours", "expected"),
    [({}, "auto", False), ({"FORCE_COLOR": "1"}, "auto", True), ({"NO_COLOR": "1"}, "true", True)],
)
def test_a_pipe_gets_no_colours_unless_told_so(
    env: dict[str, str], colours: str, expected: bool, tmp_path: Path
) -> None:
    clean = {"NO_COLOR": "", "FORCE_COLOR": ""}
    with Dev(tmp_path, f"--use-colors={colours}", env=clean | env) as server:
        httpx.get(f"{server.url}/raise")
        server.wait_for_output("exception in the application: GET /raise")
    assert ("\x1b[31merror" in server.output) is expected


# JSON


def test_the_log_as_json_is_an_object_per_line(tmp_path: Path) -> None:
    with Hornbeam("logging_app:app", log_format="json", request_id=True) as server:
        (worker,) = server.workers()
        httpx.get(f"{server.url}/logged", headers={"x-request-id": "id-7"})
        server.wait_for_output("GET /logged: Boom")
        os.kill(server.pid, signal.SIGINT)
        server.wait()
    lines = [json.loads(line) for line in server.output.splitlines()]
    assert all(re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{6}Z", line["time"]) for line in lines)
    assert len(lines) == 5
    # Standard output and standard error have no order between them.
    beginnings = ("warning at", "Hornbeam ", "the application's", "exception in", "SIGINT ")
    first, started, logged, said, ended = (
        next(line for line in lines if line["message"].startswith(text)) for text in beginnings
    )
    assert (first["level"], first["logger"]) == ("warning", "logging_app")
    assert (first["message"], first["pid"]) == ("warning at import", worker)
    assert started["message"].startswith("Hornbeam ")
    assert logged["exception"].startswith("Traceback (most recent call last):\n  File")
    assert logged["exception"].endswith("Boom: logged by a handler")
    assert logged["message"] == "the application's handler"
    assert (logged["worker"], logged["request_id"]) == (1, "id-7")
    assert (said["logger"], said["level"]) == ("hornbeam.asgi", "error")
    assert (ended["logger"], ended["level"]) == ("hornbeam", "notice")
    assert "SIGINT received" in ended["message"]
    assert ended["pid"] == started["pid"] != worker
