"""`hornbeam trace`: requests as they end; what one place may log; the log in systemd's journal."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from harness import ROOT, Hornbeam, wait_until


class Followed:
    """A server whose requests nobody looks at otherwise."""

    def __init__(self, server: Hornbeam, control: Path) -> None:
        self.server = server
        self.control = control

    def trace(self, *flags: str) -> subprocess.Popen[str]:
        line = [str(ROOT / "bin" / "hornbeam"), "trace", f"--control={self.control}", *flags]
        return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def refused(self, *flags: str) -> str:
        process = self.trace(*flags)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        return output


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    control = tmp_path_factory.mktemp("control") / "s"
    with Hornbeam("traces_app:app", control=str(control), log_rate=20) as server:
        yield Followed(server, control)


def test_requests_are_printed_as_they_end(followed: Followed) -> None:
    process = followed.trace("--path", "/log", "--status=200", "-n", "2")

    def asked() -> bool:
        """Each on a connection of its own: those that are there already are not looked at."""
        httpx.get(f"{followed.server.url}/log?a=b", timeout=60)
        httpx.get(f"{followed.server.url}/stream", timeout=60)
        return process.poll() is not None

    wait_until(asked, 60, "it has seen two")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    lines = output.splitlines()
    assert len(lines) == 2
    pattern = r"\S+T\S+Z 200 GET /log\?a=b \d+\.\d ms( \(queue \S+ ms\))? \d+ bytes 127\.0\.0\.1"
    assert all(re.fullmatch(pattern, line) for line in lines)


def test_two_follow_and_one_leaves(followed: Followed) -> None:
    errors = followed.trace("--status", "5xx", "-n", "1")
    slow = followed.trace("--slow", "1000s")

    def asked() -> bool:
        httpx.get(f"{followed.server.url}/fail", timeout=60)
        httpx.get(f"{followed.server.url}/log", timeout=60)
        return errors.poll() is not None

    wait_until(asked, 60, "the error was seen")
    output, _ = errors.communicate(timeout=60)
    assert re.search(r" 500 GET /fail ", output)
    assert len(output.splitlines()) == 1
    assert slow.poll() is None
    slow.terminate()
    assert slow.communicate(timeout=60)[0].strip() == ""


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--status", "6xx"), 'trace: --status cannot be "6xx"'),
        (("--path", "log"), 'trace: --path cannot be "log"'),
        (("--slow", "2h"), 'trace: --slow cannot be "2h"'),
        (("--color", "x"), 'what is "--color"?'),
        (("--path",), "trace: --path has no value"),
    ],
)
def test_what_it_does_not_understand(followed: Followed, flags: tuple[str, ...], text: str) -> None:
    assert text in followed.refused(*flags)


def test_what_one_place_logs_beyond_its_rate_is_counted_and_said(followed: Followed) -> None:
    httpx.get(f"{followed.server.url}/many", timeout=60)
    more = r"warning (\d+) more lines of traces_app \(traces_app\.py:\d+\) were suppressed"

    def all_of_them() -> bool:
        output = followed.server.output
        written = len(re.findall(r"worker 1 traces_app: line \d+", output))
        suppressed = sum(map(int, re.findall(more, output)))
        return written >= 20 and written + suppressed == 100

    wait_until(all_of_them, 60, "what was not written is said")


def entry(datagram: bytes) -> dict[str, str]:
    """As systemd's journal reads it."""
    fields = {}
    while datagram:
        key, datagram = datagram.split(b"\n", 1)
        if b"=" in key:
            key, value = key.split(b"=", 1)
        else:
            size = int.from_bytes(datagram[:8], "little")
            value, datagram = datagram[8 : 8 + size], datagram[8 + size + 1 :]
        fields[key.decode()] = value.decode()
    return fields


def logging_to(journal: socket.socket, folder: Path) -> Hornbeam:
    """A server whose standard error is said to be this journal."""
    path = folder / "journal"
    journal.bind(str(path))
    journal.settimeout(60)
    server = Hornbeam(
        "traces_app:app", trace=True, request_id=True, env={"HORNBEAM_JOURNAL_SOCKET": str(path)}
    )
    stream = 'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$@"'
    server.command = ["sh", "-c", stream, "sh", *server.command]
    return server


def test_under_systemd_the_log_goes_to_the_journal_with_fields(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        with logging_to(journal, tmp_path) as server:
            httpx.get(f"{server.url}/journal", headers={"x-request-id": "r-1"}, timeout=60)
            fields: dict[str, str] = {}
            while fields.get("HORNBEAM_LOGGER") != "traces_app":
                fields = entry(journal.recv(200_000))
        assert fields.pop("MESSAGE").startswith("two\nlines\nTraceback (most recent call last):")
        assert re.fullmatch("[0-9a-f]{32}", fields.pop("HORNBEAM_TRACE_ID"))
        assert re.fullmatch("[0-9a-f]{16}", fields.pop("HORNBEAM_SPAN_ID"))
        assert int(fields.pop("HORNBEAM_PID")) > 1
        assert fields == {
            "PRIORITY": "3",
            "SYSLOG_IDENTIFIER": "hornbeam",
            "HORNBEAM_LOGGER": "traces_app",
            "HORNBEAM_WORKER": "1",
            "HORNBEAM_REQUEST_ID": "r-1",
        }
        assert "two" not in server.output


def test_a_crash_of_a_worker_has_fields_of_its_own_in_the_journal(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        fields = {}
        with logging_to(journal, tmp_path) as server:
            (pid,) = server.workers()
            os.kill(pid, signal.SIGSEGV)
            while "HORNBEAM_CRASH_PID" not in fields:
                fields = entry(journal.recv(200_000))
    assert fields["HORNBEAM_CRASH_PID"] == str(pid)
    assert fields["HORNBEAM_CRASH_SIGNAL"] == "SIGSEGV"
    assert fields["HORNBEAM_CRASH_IN_PROGRESS"] == "[]"
    assert fields["HORNBEAM_CRASH_STACK"].startswith("Fatal Python error: Segmentation fault\n")


def test_a_journal_that_standard_error_is_not_is_not_meant(tmp_path: Path) -> None:
    env = {"HORNBEAM_JOURNAL_SOCKET": str(tmp_path / "none"), "JOURNAL_STREAM": "1:1"}
    with Hornbeam("traces_app:app", env=env) as server:
        httpx.get(f"{server.url}/journal", timeout=60)
        server.wait_for_output("LookupError: gone", timeout=60)
