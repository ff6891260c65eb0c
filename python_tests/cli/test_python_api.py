"""hornbeam.Server and hornbeam.run, as a test or a script uses them."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import ROOT, wait_until

import hornbeam
from hornbeam.server import arguments

PACKAGES = ROOT / "priv" / "python"
APPLICATION = """
import os, sys

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shut down", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{sys.executable} {os.getpid()}".encode()})
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current one: an application in it; afterwards no process works in it any more."""
    (tmp_path / "application.py").write_text(APPLICATION)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    wait_until(lambda: not working_in(tmp_path), 10, "no process of the server is left")


def working_in(folder: Path) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == folder and int(process.name) != os.getpid():
                found.append(int(process.name))
    return found


def program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:  # one that the VM had started for a moment
        return ""


# Server


def test_a_server_for_a_with_block(folder: Path) -> None:
    with hornbeam.Server("application:app", workers=2) as server:
        host, port = server.address
        assert (host, server.url, server.urls) == (
            "127.0.0.1",
            f"http://{host}:{port}",
            [server.url],
        )
        executable, pid = httpx.get(server.url).text.split()
        # The workers run in the interpreter that has made the server.
        assert executable == sys.executable
        assert int(pid) in working_in(folder)
        assert server.pid in working_in(folder)


def test_several_at_once_on_addresses_of_their_own(folder: Path) -> None:
    binds = ["127.0.0.1:0", f"unix:{folder}/web.sock"]
    with (
        hornbeam.Server("application:app", bind=binds) as both,
        hornbeam.Server("application:app", host="::1", port=0, name="other") as other,
    ):
        assert both.urls[1] == f"unix:{folder}/web.sock"
        assert other.address[0] == "::1"
        with httpx.Client(transport=httpx.HTTPTransport(uds=f"{folder}/web.sock")) as client:
            assert client.get("http://web/").status_code == 200
        assert httpx.get(other.url).status_code == httpx.get(both.url).status_code == 200


def test_stopping_is_graceful_and_once_is_enough(folder: Path, capfd: Any) -> None:
    server = hornbeam.Server("application:app").start()
    server.stop()
    server.stop()
    assert capfd.readouterr().out.count("shut down") == 1
    with pytest.raises(RuntimeError, match="started once"):
        server.start()


def test_an_application_that_is_not_there(folder: Path) -> None:
    with (
        pytest.raises(hornbeam.ServerError, match='no module "nothing"') as caught,
        hornbeam.Server("nothing:app"),
    ):
        pass
    assert caught.value.status == 1


def test_an_option_that_is_wrong(folder: Path) -> None:
    with pytest.raises(hornbeam.ServerError, match="bad option workers: must be") as caught:
        hornbeam.Server("application:app", workers=0).start()
    assert caught.value.status == 1


def test_a_start_that_takes_too_long(folder: Path) -> None:
    (folder / "slow.py").write_text("import time\ntime.sleep(1000)\n")
    server = hornbeam.Server("slow:app", start_timeout=1.0)
    with pytest.raises(hornbeam.ServerError, match=r"within 1\.0 s") as caught:
        server.start()
    assert caught.value.status is None


def test_a_server_that_has_ended_by_itself_is_an_error(folder: Path) -> None:
    server = hornbeam.Server("application:app").start()
    (vm,) = [pid for pid in working_in(folder) if "beam" in program(pid)]
    os.kill(vm, signal.SIGKILL)
    wait_until(lambda: not working_in(folder), 10, "it has ended")
    with pytest.raises(hornbeam.ServerError, match="ended by itself with status 137"):
        server.stop()


def test_the_error_of_the_block_is_the_one_that_is_seen(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), hornbeam.Server("application:app"):
        _ = 1 / 0


def test_what_is_not_started_has_no_address() -> None:
    server = hornbeam.Server("application:app")
    with pytest.raises(RuntimeError, match="not started"):
        _ = server.url
    server.stop()


FORGETS = """
import hornbeam
server = hornbeam.Server("application:app").start()
print(server.url)
"""


def test_one_that_is_forgotten_ends_with_the_program(folder: Path) -> None:
    done = script(folder, FORGETS)
    assert done.returncode == 0, done.stderr
    assert "shut down" in done.stdout


# run

RUNS = """
import hornbeam, signal
before = signal.getsignal(signal.SIGINT)  # ignored where a shell has begun the tests with "&"
hornbeam.run("application:app", port=0)
print("afterwards", signal.getsignal(signal.SIGINT) is before, flush=True)
"""


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(PACKAGES)}


def script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", text]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_returns_after_a_signal(folder: Path, number: int) -> None:
    command = [sys.executable, "-c", RUNS]
    with subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert " serving application:app on " in process.stdout.readline()
        process.send_signal(number)
        assert process.stdout.read() == "shut down\nafterwards True\n"
    assert process.returncode == 0


def test_ctrl_c_in_a_terminal_counts_once(folder: Path) -> None:
    """It reaches all of the foreground; a second signal would end the VM at once."""
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover (the child)
        os.execve(sys.executable, [sys.executable, "-c", RUNS], environment())
    output = b""
    while b" serving " not in output:
        output += os.read(terminal, 4096)
    os.write(terminal, b"\x03")
    with contextlib.suppress(OSError):  # EIO: nobody has the other side any more
        while True:
            output += os.read(terminal, 4096)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, output
    assert output.count(b"shut down") == 1
    assert b"afterwards" in output


def test_run_that_cannot_start_exits_with_1(folder: Path) -> None:
    done = script(folder, 'import hornbeam; hornbeam.run("nothing:app", port=0); print("on")')
    assert (done.returncode, done.stdout) == (1, "")
    assert 'no module "nothing"' in done.stderr


IN_A_THREAD = """
import hornbeam, threading
def run():
    try: hornbeam.run("application:app", port=0)
    except RuntimeError as error: print(error)
thread = threading.Thread(target=run)
thread.start(); thread.join()
"""


def test_run_is_for_the_main_thread(folder: Path) -> None:
    assert "use Server" in script(folder, IN_A_THREAD).stdout


# What is given


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ({}, []),
        ({"port": 9000}, ["--bind=127.0.0.1:9000"]),
        ({"host": "0.0.0.0"}, ["--bind=0.0.0.0:8000"]),
        ({"host": "::1", "port": 0}, ["--bind=[::1]:0"]),
        ({"bind": [":80", "unix:a"]}, ["--bind=:80", "--bind=unix:a"]),
        ({"workers": 2, "max_queue": None}, ["--workers=2"]),
        ({"reload": True, "compress": False}, ["--reload", "--no-compress"]),
        ({"pythonpath": Path("/a b")}, ["--pythonpath=/a b"]),
        ({"env": {"A": "1=2", "B": ""}}, ["--env=A=1=2", "--env=B="]),
        ({"max_requests": "infinity"}, ["--max-requests=infinity"]),
        ({"mounts": ["/api=api:app"]}, ["--mount=/api=api:app"]),
    ],
)
def test_options_become_flags(options: dict[str, Any], flags: list[str]) -> None:
    host, port = options.pop("host", None), options.pop("port", None)
    assert arguments("a:b", host, port, options) == ["run", "a:b", "--config=none", *flags]


@pytest.mark.parametrize(
    ("arguments_", "text"),
    [
        (("a:b", None, None, {"nothing": 1}), "there is no option 'nothing'"),
        ((object(), None, None, {}), "given as text"),
        (("a:b", None, 1, {"bind": ":1"}), "either bind, or host and port"),
    ],
)
def test_what_is_no_option_is_a_type_error(arguments_: tuple[Any, ...], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        arguments(*arguments_)


TYPED = """
import hornbeam
hornbeam.run("a:b", host="::1", port=1, workers=2, log_level="debug", env={"A": "b"}, lifespan=None)
hornbeam.Server("a:b", bind=[":0"], max_requests="infinity", pythonpath=["a"])
"""
WRONG = [
    'hornbeam.run("a:b", workers="2")',
    'hornbeam.run("a:b", log_level="loud")',
    'hornbeam.Server("a:b", nothing=1)',
    "hornbeam.run(object())",
]


def test_a_type_checker_knows_the_options(tmp_path: Path) -> None:
    """Each wrong line is an error, and nothing else is."""
    lines = [*TYPED.strip().splitlines(), *WRONG]
    (tmp_path / "uses.py").write_text("\n".join([*lines, ""]))
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "uses.py"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(PACKAGES)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    wrong = {line.split(":")[1] for line in done.stdout.splitlines() if ": error: " in line}
    first = len(lines) - len(WRONG) + 1
    assert wrong == {str(number) for number in range(first, len(lines) + 1)}, done.stdout


def test_the_harness_and_the_package_start_the_same_command() -> None:
    command = [sys.executable, "-m", "hornbeam", "version"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
    own = subprocess.run([ROOT / "bin" / "hornbeam", "version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, own.stdout)
