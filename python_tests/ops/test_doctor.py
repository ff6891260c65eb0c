"""`hornbeam doctor` as a user runs it: with faults that are made, and in a server that runs."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from certificates import Authority
from harness import APPS, ROOT, Hornbeam

SECOND_LINE = r"\n +\S"


def doctor(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "bin" / "hornbeam"), "doctor", *arguments],
        capture_output=True, text=True, timeout=120, env=os.environ | env,
    )  # fmt: skip


def test_all_faults_at_once(tmp_path: Path) -> None:
    """Each with what to do below it; the exit status says that there is something wrong."""
    authority = Authority(tmp_path / "tls").create()
    cert, key = authority.issue("localhost")
    key.chmod(0o644)
    password = tmp_path / "password"
    password.write_text("secret")
    password.chmod(0o600)
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "timedatectl").write_text("#!/bin/sh\necho no\n")
    (tools / "timedatectl").chmod(0o755)
    bare = tools / "bare-python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = doctor(
            "diagnose_app:app", f"--bind={address}", f"--python={bare}", f"--pythonpath={APPS}",
            f"--certfile={cert}", f"--keyfile={key}", "--slow-request=90000", "--name=doctor-test",
            "--dashboard-bind=127.0.0.1:0", f"--dashboard-password-file={password}",
            PATH=f"{tools}:{os.environ['PATH']}",
        )  # fmt: skip
    text = done.stdout
    assert text.startswith("No server runs with these options:\nok       Hornbeam "), done
    for pattern in (
        r"warning  clock: not kept right by NTP",
        rf"WRONG    Python \d+\.\d+\.\d+ \({re.escape(str(bare))}\), msgpack -.*",
        rf"WRONG    address: {address} is used by .*\(pid {os.getpid()}\).*",
        rf"warning  TLS: {re.escape(str(cert))} is valid for \d+ days, until \d{{4}}-\d\d-\d\d",
        rf"warning  TLS: every user of this machine can read the key in {re.escape(str(key))}",
        rf"WRONG    dashboard: {password}: it does not hold what hornbeam password prints",
        r"warning  options: slow_request \(90000 ms\) is not below timeout \(60000 ms\)",
    ):
        assert re.search(f"^{pattern}{SECOND_LINE}", text, re.MULTILINE), (pattern, text)
    assert re.search(r"^\d in order, 4 warnings, 3 wrong$", text, re.MULTILINE), text
    assert done.returncode == 1


def test_tls_files_that_cannot_be_used(tmp_path: Path) -> None:
    """A certificate that is over, and a key of another one."""
    authority = Authority(tmp_path).create()
    cert, key = authority.issue("localhost", days=-1)
    other, _ = authority.issue("other")
    common = ("diagnose_app:app", "--bind=127.0.0.1:0", f"--python={sys.executable}")
    over = doctor(*common, f"--certfile={cert}", f"--keyfile={key}", "--name=doctor-test")
    assert re.search(rf"^WRONG    TLS: {cert} was valid until ", over.stdout, re.MULTILINE), over
    unfit = doctor(*common, f"--certfile={other}", f"--keyfile={key}", "--name=doctor-test")
    assert f"WRONG    TLS: cannot use {key}: " in unfit.stdout, unfit
    assert (over.returncode, unfit.returncode) == (1, 1)


def test_a_server_that_runs_is_asked_itself(tmp_path: Path) -> None:
    """Its address is taken by itself, which is no fault; with a file of options, too."""
    control = tmp_path / "control"
    file = tmp_path / "hornbeam.toml"
    with Hornbeam("diagnose_app:app", control=str(control), slow_request=90000):
        file.write_text(f'control = "{control}"\n')
        done = doctor("--config", str(file))
    assert done.stdout.startswith("The server that runs:\nok       Hornbeam "), done
    assert "address:" not in done.stdout
    assert "warning  options: slow_request (90000 ms)" in done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_options_that_cannot_be() -> None:
    """Are said as `run` says them."""
    done = doctor("--workers", "none")
    assert done.returncode == 1
    assert done.stderr.startswith("hornbeam: bad option workers")
