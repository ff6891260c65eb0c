"""Access log, request ids, metrics, health: what an operator sees of requests and workers."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from certificates import Authority
from harness import ROOT, Hornbeam, StartError, wait_until

from ops.support import pids


def metrics_url(server: Hornbeam, control: Path) -> str:
    """From the command that an operator would use."""
    command = [str(ROOT / "bin" / "hornbeam"), "status", "--control", str(control)]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    match = re.search(r"^metrics on (\S+)$", text, re.MULTILINE)
    assert match, text
    return match.group(1)


def figures(base: str) -> dict[str, float]:
    """What /metrics says now."""
    return samples(httpx.get(base + "/metrics").text)


def samples(text: str) -> dict[str, float]:
    """Prometheus' text format, read strictly: every line is a comment or NAME{LABELS} NUMBER."""
    found: dict[str, float] = {}
    typed: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        elif not line.startswith("#"):
            match = re.fullmatch(r'(\w+)((?:\{\w+="[^"]*"(?:,\w+="[^"]*")*\})?) (\S+)', line)
            assert match, line
            base = re.sub(r"_(bucket|sum|count)$", "", match.group(1))
            assert match.group(1) in typed or base in typed, line
            found[match.group(1) + match.group(2)] = float(match.group(3))
    return found


def test_metrics_and_health(tmp_path: Path) -> None:
    control = tmp_path / "control.sock"
    with Hornbeam(
        "ops_app:app", workers=2, metrics_bind="127.0.0.1:0", control=str(control)
    ) as server:
        base = metrics_url(server, control)
        assert httpx.get(base + "/healthz").text == "ok\n"
        assert httpx.get(base + "/readyz").text == "ready\n"
        before = figures(base)
        for _ in range(5):
            httpx.get(server.url)
        httpx.get(server.url + "/fail")
        httpx.post(server.url + "/upload", content=b"x" * 1000)
        requests = 'hornbeam_requests_total{status="2xx"}'
        wait_until(lambda: figures(base)[requests] >= 6, 5, "the requests are counted")
        after = figures(base)
        assert before['hornbeam_requests_total{status="2xx"}'] == 0
        assert after['hornbeam_requests_total{status="2xx"}'] == 6
        assert after['hornbeam_requests_total{status="5xx"}'] == 1
        assert after['hornbeam_request_duration_seconds_count{status="2xx"}'] == 6
        assert after['hornbeam_request_duration_seconds_bucket{status="2xx",le="+Inf"}'] == 6
        assert after["hornbeam_request_bytes_total"] == 1000
        assert after["hornbeam_response_bytes_total"] > 0
        assert after['hornbeam_workers{mount="/",state="ready"}'] == 2
        assert after['hornbeam_worker_restarts_total{mount="/"}'] == 0
        for pid in pids(server):
            memory = [v for k, v in after.items() if "memory_bytes" in k and f'pid="{pid}"' in k]
            assert memory and memory[0] > 5_000_000
        with httpx.stream("GET", server.url + "/events") as stream:
            lines = stream.iter_lines()
            next(lines)
            now = figures(base)
            assert now['hornbeam_requests_in_flight{mount="/"}'] == 1
            assert now["hornbeam_connections"] >= 1
        os.kill(min(pids(server)), signal.SIGKILL)
        restarts = 'hornbeam_worker_restarts_total{mount="/"}'
        wait_until(lambda: figures(base)[restarts] == 1, 15, "the restart is counted")
        wait_until(lambda: httpx.get(base + "/readyz").status_code == 200, 15, "it is ready again")


def test_events_of_workers_and_handshakes(tmp_path: Path) -> None:
    authority = Authority(tmp_path).create()
    cert, key = authority.issue("localhost")
    with Hornbeam(
        "ops_app:app", metrics_bind="127.0.0.1:0", ssl=True, certfile=str(cert), keyfile=str(key),
        max_requests=2, max_requests_jitter=0,
    ) as server:  # fmt: skip
        base = server.wait_for_output(r"metrics on (http://\S+)").group(1)
        trusted = ssl.create_default_context(cafile=str(authority.cert))
        port = server.address[1]
        for _ in range(2):
            assert httpx.get(f"https://localhost:{port}/", verify=trusted, timeout=60).is_success
        with pytest.raises(httpx.ConnectError):  # this client does not know who has signed it
            httpx.get(f"https://localhost:{port}/", timeout=60)
        expected = {
            'hornbeam_tls_handshakes_total{result="done"}': 2,
            'hornbeam_tls_handshakes_total{result="failed"}': 1,
            'hornbeam_worker_events_total{mount="/",event="retired",reason="max_requests"}': 1,
            'hornbeam_worker_events_total{mount="/",event="ready"}': 2,
        }
        wait_until(lambda: figures(base).items() >= expected.items(), 60, "they are counted")
        wait_until(lambda: len(server.workers()) == 1, 60, "the first one has gone")
        os.kill(server.workers()[0], signal.SIGKILL)
        lost = 'hornbeam_worker_events_total{mount="/",event="lost",reason="python_killed"}'
        wait_until(lambda: figures(base).get(lost) == 1, 60, "the loss is counted")


def test_not_ready_while_it_stops(tmp_path: Path) -> None:
    control = tmp_path / "control.sock"
    with Hornbeam(
        "ops_app:app", metrics_bind="127.0.0.1:0", control=str(control), graceful_timeout=3000
    ) as server:
        base = metrics_url(server, control)
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(httpx.get, server.url + "/sleep?s=2", timeout=20)
            in_flight = 'hornbeam_requests_in_flight{mount="/"}'
            wait_until(lambda: figures(base)[in_flight] == 1, 5, "the request is there")
            os.kill(server.beam(), signal.SIGTERM)
            wait_until(lambda: httpx.get(base + "/readyz").status_code == 503, 5, "not ready")
            assert httpx.get(base + "/healthz").status_code == 200
            assert slow.result().status_code == 200


def test_the_combined_log_holds_no_secret_and_keeps_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with Hornbeam("ops_app:app", access_log="combined", access_log_file=str(path)) as server:
        httpx.get(
            server.url + "/version?a=1",
            headers={
                "user-agent": 'quoted " agent',
                "referer": "http://here/",
                "authorization": "Bearer hush",
                "cookie": "session=hush",
            },
        )
        httpx.post(server.url + "/fail")
        wait_until(lambda: path.read_text().count("\n") == 2, 10, "both lines are written")
        lines = path.read_text().splitlines()
        first = r"127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "
        assert re.fullmatch(
            first + r'"GET /version\?a=1 HTTP/1\.1" 200 4 "http://here/" "quoted \\x22 agent"',
            lines[0],
        )
        assert re.match(first + r'"POST /fail HTTP/1\.1" 500 21 "-" "python-httpx', lines[1])
        assert "hush" not in path.read_text() + server.output
        # logrotate: the file is moved, and made again.
        path.rename(tmp_path / "access.log.1")

        def made_again() -> bool:
            httpx.get(server.url)
            return path.exists() and "GET / HTTP/1.1" in path.read_text()

        wait_until(made_again, 10, "the file has been made again")


def test_the_json_log_has_the_fields_that_were_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "access.json"
    fields = ["method", "path", "status", "duration_ms", "request_id", "header:x-tenant"]
    with Hornbeam(
        "ops_app:app", access_log="json", access_log_file=str(path), access_log_fields=fields,
        request_id=True,
    ) as server:  # fmt: skip
        headers = {"x-tenant": 'a"b\\', "x-request-id": "abc-1"}
        httpx.get(server.url + "/sleep?s=0.05", headers=headers)
        line = json.loads(wait_until(path.read_text, 10, "the line is written"))
    assert line.pop("time").endswith("Z")
    assert line.pop("duration_ms") >= 50
    assert line == {
        "method": "GET",
        "path": "/sleep",
        "status": 200,
        "request_id": "abc-1",
        "header:x-tenant": 'a"b\\',
    }


@pytest.mark.parametrize("field", ["header:Authorization", "header:cookie", "nonsense"])
def test_a_secret_cannot_be_a_field(field: str) -> None:
    with pytest.raises(StartError, match="bad option access_log_fields"):
        Hornbeam("ops_app:app", access_log="json", access_log_fields=field).start()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o640), (0o000, 0o640), (0o077, 0o600)])
def test_the_access_log_is_not_for_everybody(tmp_path: Path, umask: int, mode: int) -> None:
    """Also the one that is made after a rotation. A file that is there keeps its mode."""
    path = tmp_path / "access.log"
    before = os.umask(umask)
    try:
        with Hornbeam("ops_app:app", access_log="json", access_log_file=str(path)) as server:
            assert path.stat().st_mode & 0o777 == mode
            path.rename(tmp_path / "access.log.1")
            wait_until(path.exists, 10, "it is made again")
            assert path.stat().st_mode & 0o777 == mode
            wait_until(lambda: len(list(tmp_path.glob("access.log*"))) == 2, 5, "nothing beside it")
            replacement = tmp_path / "made by logrotate"
            replacement.touch()
            replacement.chmod(0o604)
            replacement.rename(path)
            wait_until(lambda: logged(server, path), 10, "it is written to")
            assert path.stat().st_mode & 0o777 == 0o604
    finally:
        os.umask(before)


def logged(server: Hornbeam, path: Path) -> bool:
    """Whether a line of a request is in the file, after one more."""
    return httpx.get(server.url).is_success and path.stat().st_size > 0


def test_a_log_that_cannot_be_opened_is_one_message() -> None:
    with pytest.raises(StartError) as failure:
        Hornbeam("ops_app:app", access_log="json", access_log_file="/nowhere/log").start()
    assert failure.value.output == (
        "hornbeam: the access log /nowhere/log cannot be opened: no such file or directory\n"
    )


def test_request_ids_are_taken_or_made_returned_and_logged() -> None:
    with Hornbeam("ops_app:app", request_id=True) as server:
        given = httpx.get(server.url + "/log?text=one", headers={"x-request-id": "from-outside.7"})
        assert given.headers.get_list("x-request-id") == ["from-outside.7"]
        assert given.text == "from-outside.7"
        server.wait_for_output(r"note one request_id=from-outside\.7$")
        made = httpx.get(server.url + "/log?text=two")
        assert re.fullmatch("[0-9a-f]{32}", made.text)
        assert made.headers.get_list("x-request-id") == [made.text]
        server.wait_for_output(rf"note two request_id={made.text}$")
        forged = httpx.get(server.url + "/log?text=three", headers={"x-request-id": "a b c"})
        assert re.fullmatch("[0-9a-f]{32}", forged.text)
        assert f"x-request-id: {made.text}" not in httpx.get(server.url + "/headers").text
        assert "x-request-id: mine" in (
            httpx.get(server.url + "/headers", headers={"x-request-id": "mine"}).text
        )


def test_without_the_option_there_is_no_id() -> None:
    with Hornbeam("ops_app:app") as server:
        answer = httpx.get(server.url + "/log?text=x", headers={"x-request-id": "abc"})
        assert (answer.text, "x-request-id" in answer.headers) == ("None", False)


def test_log_records_of_python_keep_level_logger_worker_and_traceback() -> None:
    with Hornbeam("ops_app:app") as server:
        httpx.get(server.url + "/fail")
        server.wait_for_output(r"error worker 1 hornbeam\.asgi: exception in the application")
        server.wait_for_output(r"^RuntimeError: on demand")
