"""Reload: new code and options under live sockets; by command, signal and changed file."""

from __future__ import annotations

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from harness import ROOT, Hornbeam, wait_until

from ops.support import load, pids

OLD = "async def app(scope, receive, send):\n" + (
    "    if scope['type'] != 'http': raise RuntimeError\n"
    "    await send({'type': 'http.response.start', 'status': 200})\n"
    "    await send({'type': 'http.response.body', 'body': b'old'})\n"
)


def hornbeam(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "bin" / "hornbeam"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=90)


def test_new_code_takes_over_and_no_request_is_lost(tmp_path: Path) -> None:
    module = tmp_path / "changing.py"
    module.write_text(OLD)
    control = str(tmp_path / "control.sock")
    with Hornbeam("changing:app", workers=2, pythonpath=str(tmp_path), control=control) as server:
        with load(server) as wrong, httpx.Client(base_url=server.url) as kept:
            assert kept.get("/").text == "old"
            module.write_text(OLD.replace("'old'", "'a new one'"))
            done = hornbeam("reload", "--control", control)
            assert (done.returncode, done.stdout, done.stderr) == (0, "reloaded\n", "")
            assert kept.get("/").text == "a new one"
        assert wrong == []


def test_more_workers_and_other_options(tmp_path: Path) -> None:
    control = str(tmp_path / "control.sock")
    with Hornbeam("ops_app:app", workers=1, control=control) as server:
        with load(server) as wrong:
            flags = ["--workers", "3", "--env", "OPS_VERSION=two", "--timeout", "900"]
            assert hornbeam("reload", "--control", control, *flags).returncode == 0
            assert httpx.get(server.url + "/version").text == "two"
        assert wrong == []
        wait_until(lambda: len(pids(server)) == 3, 15, "there are three workers")
        assert httpx.get(server.url + "/sleep?s=20", timeout=10).status_code == 504
        status = hornbeam("status", "--control", control)
        assert status.returncode == 0
        assert sum(str(pid) in status.stdout for pid in pids(server)) == 3


def test_what_cannot_be_changed_is_refused_by_name(tmp_path: Path) -> None:
    control = str(tmp_path / "control.sock")
    with Hornbeam("ops_app:app", control=control) as server:
        before = pids(server)
        for flags, message in (
            (["--bind", ":1"], "bad option bind: cannot be changed by a reload"),
            (["--window", "4096"], "bad option window: cannot be changed by a reload"),
            (["--reload-dir", "."], "bad option reload_dirs: cannot be changed by a reload"),
            (["--workers", "0"], "bad option workers: must be an integer from 1 to 1024"),
            (["--static", "/s=docs"], "bad option static: cannot be begun with by a reload"),
            (["--python", "no-such-python"], "there is no Python interpreter no-such-python"),
        ):
            done = hornbeam("reload", "--control", control, *flags)
            assert done.returncode == 1
            assert message in done.stderr
        assert pids(server) == before


def test_code_that_does_not_start_leaves_the_old_serving(tmp_path: Path) -> None:
    module = tmp_path / "changing.py"
    module.write_text(OLD)
    control = str(tmp_path / "control.sock")
    with Hornbeam("changing:app", workers=2, pythonpath=str(tmp_path), control=control) as server:
        before = pids(server)
        with load(server) as wrong:
            module.write_text(OLD + "\nthis is no Python\n")
            done = hornbeam("reload", "--control", control)
        assert done.returncode == 1
        assert "the application could not be imported" in done.stderr
        assert "SyntaxError" in done.stderr
        assert wrong == []
        wait_until(lambda: pids(server) == before, 10, "the old workers, and no others, are there")
        module.write_text(OLD.replace("'old'", "'mended'"))
        assert hornbeam("reload", "--control", control).returncode == 0
        assert httpx.get(server.url).text == "mended"


def test_a_stream_ends_at_the_deadline_of_the_drain() -> None:
    with Hornbeam("ops_app:app", graceful_timeout=1500) as server:
        (old,) = pids(server)
        with httpx.stream("GET", server.url + "/events", timeout=20) as stream:
            lines = stream.iter_lines()
            next(lines)
            os.kill(server.beam(), signal.SIGHUP)
            server.wait_for_output("server default reloaded")
            assert httpx.get(server.url).text != str(old)
            ended = False
            try:
                for _ in lines:
                    pass
            except httpx.RemoteProtocolError:
                ended = True  # cut: a chunked response without its last chunk
            assert ended
        wait_until(lambda: old not in pids(server), 10, "the old worker has ended")


def test_the_launcher_passes_sighup_on() -> None:
    with Hornbeam("ops_app:app") as server:
        before = pids(server)
        process = server._process
        assert process is not None
        process.send_signal(signal.SIGHUP)
        server.wait_for_output("server default reloaded")
        wait_until(lambda: not before & pids(server), 10, "the old worker has ended")


def test_several_at_a_time_come_one_after_the_other(tmp_path: Path) -> None:
    control = str(tmp_path / "control.sock")
    with Hornbeam("ops_app:app", control=control) as server, ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: hornbeam("reload", "--control", control), range(3)))
        assert [(each.returncode, each.stdout) for each in done] == [(0, "reloaded\n")] * 3
        assert server.output.count("server default reloaded") == 3


def test_stop_by_command(tmp_path: Path) -> None:
    control = tmp_path / "control.sock"
    server = Hornbeam("ops_app:app", control=str(control)).start()
    try:
        assert control.stat().st_mode & 0o777 == 0o600
        done = hornbeam("stop", "--control", str(control))
        assert (done.returncode, done.stdout) == (0, "stopped\n")
        assert server.stop() == 0
        assert not control.exists()
        gone = hornbeam("status", "--control", str(control))
        assert gone.returncode == 1
    finally:
        server.kill()


def test_servers_are_found_by_name_or_process_id(tmp_path: Path) -> None:
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    env.pop("RUNTIME_DIRECTORY", None)

    def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(ROOT / "bin" / "hornbeam"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)

    settings = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with (
        Hornbeam("ops_app:app", name="one", env=settings) as one,
        Hornbeam("ops_app:app", name="two", env=settings) as two,
    ):
        assert "server one on " + one.url in ask("status", "one").stdout
        assert "server two on " + two.url in ask("status", str(two.beam())).stdout
        assert "no server three is running" in ask("status", "three").stderr
        assert (tmp_path / "hornbeam").stat().st_mode & 0o777 == 0o700


def test_changed_files_reload_in_development(tmp_path: Path) -> None:
    module = tmp_path / "changing.py"
    module.write_text(OLD)
    with Hornbeam("changing:app", pythonpath=str(tmp_path), reload=True) as server:
        server.wait_for_output("watching")
        assert httpx.get(server.url).text == "old"
        module.write_text(OLD.replace("'old'", "'changed'"))
        server.wait_for_output(r"changed: .*changing\.py")
        wait_until(lambda: httpx.get(server.url).text == "changed", 15, "the new code answers")
        module.write_text("broken(")
        server.wait_for_output("SyntaxError")
        assert httpx.get(server.url).text == "changed"


def test_ten_reloads_in_a_row_under_load() -> None:
    with Hornbeam("ops_app:app", workers=2) as server:
        with load(server) as wrong:
            for number in range(1, 11):
                os.kill(server.beam(), signal.SIGHUP)
                server.wait_for_output(rf"(?s)(server default reloaded.*?){{{number}}}", 20)
        assert wrong == []
        wait_until(lambda: len(pids(server)) == 2, 15, "only the last workers are left")
