"""What a server leaves behind where others may find it: crash dumps, core dumps, command lines."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from harness import ROOT, Hornbeam, StartError, wait_until

SECRET = "correct-horse-battery-staple"


def crash(server: Hornbeam) -> None:
    """SIGUSR1 makes the VM end as after a defect, with a dump."""
    os.kill(server.beam(), signal.SIGUSR1)
    assert server.wait(20) not in (0, None)


def test_a_crash_leaves_no_dump() -> None:
    with_dump = {"ERL_CRASH_DUMP_BYTES": "1000000"}  # of the user's environment: not asked for here
    server = Hornbeam("ops_app:app", env=with_dump).start()
    try:
        crash(server)
        assert "Crash dump is being written" not in server.output
        assert not (ROOT / "erl_crash.dump").exists()
    finally:
        server.kill()


def test_a_dump_that_is_asked_for_is_in_a_private_folder(tmp_path: Path) -> None:
    folder = tmp_path / "dumps"
    server = Hornbeam("ops_app:app", crash_dump_dir=folder).start()
    try:
        crash(server)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (dump,) = folder.iterdir()
        assert dump.read_bytes().startswith(b"=erl_crash_dump")
        assert dump.stat().st_mode & stat.S_IROTH == 0
    finally:
        server.kill()


def test_a_folder_that_others_may_look_into_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    with pytest.raises(StartError, match=r"crash_dump_dir: .* with mode 0700") as failed:
        Hornbeam("ops_app:app", crash_dump_dir=tmp_path).start()
    assert failed.value.status == 1


def test_no_process_dumps_its_core() -> None:
    with Hornbeam("ops_app:app") as server:
        for pid in (server.beam(), *server.workers()):
            limits = Path(f"/proc/{pid}/limits").read_text()
            assert "Max core file size        0 " in limits


def test_secrets_are_in_no_command_line_but_the_users_own(tmp_path: Path) -> None:
    secret = f"OPS_VERSION={SECRET}"
    with watched_command_lines() as seen:
        server = Hornbeam("ops_app:app", env={"XDG_RUNTIME_DIR": str(tmp_path)})
        server.command += ["--env", secret]
        with server:
            assert httpx.get(server.url + "/version").text == SECRET
            for pid in server.workers():
                environ = Path(f"/proc/{pid}/environ").read_bytes()
                assert SECRET.encode() in environ
                assert b"HORNBEAM_ARGUMENT" not in environ
            changed = [str(ROOT / "bin" / "hornbeam"), "reload", "--env", f"{secret}-2"]
            env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
            subprocess.run(changed, check=True, capture_output=True, env=env, timeout=60)
            new = f"{SECRET}-2"
            wait_until(lambda: httpx.get(server.url + "/version").text == new, 10, "reloaded")
    assert seen == set(), "the command lines of others than the launcher"


@contextmanager
def watched_command_lines() -> Iterator[set[bytes]]:
    """The command lines with the secret that any process but the launcher has had meanwhile."""
    seen: set[bytes] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = path.read_bytes()
                except OSError:  # it has just ended
                    continue
                if SECRET.encode() in line and b"/bin/hornbeam\0" not in line:
                    seen.add(line)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()
