"""A release as an operator meets it: unpacked elsewhere, a service, with another Python."""

from __future__ import annotations

import os
import pty
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from harness import ROOT, wait_until

from ops.faults import compile_faults

APP = """
import os, sys

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("http only")
    body = f"{sys.executable} {os.environ.get('GREETING', 'none')}".encode()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body})
"""


class Release:
    """The unpacked release, with an application and an interpreter of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command = str(folder / "rel" / "bin" / "hornbeam")
        (folder / "served").mkdir()
        (folder / "served" / "elsewhere.py").write_text(APP)
        venv = folder / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        (packages,) = venv.glob("lib/python*/site-packages")
        (packages / "msgpack.pth").write_text(sysconfig.get_path("purelib"))
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HORNBEAM", "ERL_"))}
        self.env = clean | {
            "HORNBEAM_APP": "elsewhere:app",
            "HORNBEAM_PYTHONPATH": str(folder / "served"),
            "HORNBEAM_VENV": str(venv),
            "HORNBEAM_BIND": "127.0.0.1:0",
            "HORNBEAM_LOG": str(folder / "hornbeam.log"),
            "XDG_RUNTIME_DIR": str(folder),
        }

    def run(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        """What a command prints; it must succeed."""
        done = subprocess.run(
            [self.command, *arguments], env=self.env | (env or {}), cwd="/", timeout=90,
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    env = {**os.environ, "ERL_LIBS": str(ROOT / ".deps" / "erlang" / "lib")}
    built = subprocess.run(
        ["rebar3", "as", "prod", "tar"], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (archive,) = (ROOT / "_build/prod/rel/hornbeam").glob("hornbeam-*.tar.gz")
    folder = tmp_path_factory.mktemp("a release")
    with tarfile.open(archive) as tar:
        tar.extractall(folder / "rel")
    return Release(folder)


@pytest.fixture
def daemon(release: Release) -> Iterator[str]:
    """The URL of a server in the background; stopped by the command afterwards."""
    pid = int(release.run("daemon"))
    match = re.search(r"^server default on (\S+)$", release.run("status"), re.MULTILINE)
    assert match
    try:
        yield match.group(1)
        assert release.run("stop") == "stopped\n"
    finally:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGKILL)


def test_it_serves_another_application_with_another_interpreter(
    release: Release, daemon: str
) -> None:
    assert httpx.get(daemon).text == f"{release.folder}/venv/bin/python none"
    assert release.run("reload", "--env", "GREETING=hello", "--workers", "2") == "reloaded\n"
    assert httpx.get(daemon).text.endswith(" hello")
    assert release.run("status").count(" ready ") >= 2
    assert re.fullmatch(r"hornbeam \d+\.\d+\.\d+ .*\n", release.run("version"))


def test_the_engine_of_a_cluster_comes_along_and_so_do_the_licences(release: Release) -> None:
    folder = release.folder / "rel"
    applications = {path.name.rpartition("-")[0] for path in (folder / "lib").iterdir()}
    assert {"ra", "aten", "gen_batch_server", "seshat", "sasl"} <= applications
    (described,) = folder.glob("releases/*/hornbeam.rel")
    started = re.findall(r'\{(\w+),"[^"]+"\}', described.read_text())
    assert "hornbeam" in started
    assert not {"ra", "aten", "gen_batch_server", "seshat"} & set(started)
    licences = {path.parent.name for path in (folder / "licenses").glob("*/LICENSE*")}
    assert {"hornbeam", "ra", "aten", "gen_batch_server", "seshat"} <= licences


def test_no_port_but_its_own_is_open(release: Release, daemon: str) -> None:
    """Erlang distribution is off: the VM listens on one TCP socket."""
    (control,) = (release.folder / "hornbeam").glob("default.*.sock")
    pid = control.name.split(".")[1]
    sockets = {
        link.partition("[")[2].rstrip("]")
        for fd in Path(f"/proc/{pid}/fd").iterdir()
        if (link := str(fd.readlink())).startswith("socket:")
    }
    rows = [
        row.split()
        for table in ("tcp", "tcp6")
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    listening = [int(row[1].rpartition(":")[2], 16) for row in rows
                 if row[3] == "0A" and row[9] in sockets]  # fmt: skip
    assert listening == [httpx.URL(daemon).port]


def test_flags_are_in_no_command_line(release: Release) -> None:
    """They may hold secrets: --env."""
    pid = int(release.run("daemon", "--env", "GREETING=correct-horse"))
    try:
        lines = [Path(f"/proc/{number}/cmdline").read_bytes() for number in (pid, *children(pid))]
        assert len(lines) > 2
        assert [line for line in lines if b"correct-horse" in line] == []
        (address,) = re.findall(r"^server default on (\S+)$", release.run("status"), re.MULTILINE)
        assert httpx.get(address).text.endswith(" correct-horse")
    finally:
        release.run("stop")


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [below for child in map(int, found) for below in (child, *children(child))]


def workers(pid: int) -> list[int]:
    found = [n for n in children(pid) if b"hornbeam_worker" in _command(n)]
    assert found
    return found


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_crash_leaves_no_dump(release: Release) -> None:
    pid = int(release.run("daemon"))
    os.kill(pid, signal.SIGUSR1)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 20, "it has ended")
    log = (release.folder / "hornbeam.log").read_text()
    assert "Received SIGUSR1" in log
    assert "Crash dump is being written" not in log


def test_it_stops_in_time_though_nobody_reads_its_log(release: Release) -> None:
    fifo = release.folder / "fifo"
    os.mkfifo(fifo)
    holder = os.open(fifo, os.O_RDWR)
    apps = {"HORNBEAM_APP": "full_app:app", "HORNBEAM_PYTHONPATH": str(ROOT / "python_tests/apps")}
    shell = f'exec "$0" foreground 2>"{fifo}"'
    process = subprocess.Popen(
        ["/bin/bash", "-c", shell, release.command], env=release.env | apps, cwd="/",
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout
        serving = re.search(r" on (\S+) \(1 worker, ", process.stdout.readline())
        assert serving
        assert httpx.get(f"{serving.group(1)}/flood?mb=20", timeout=60).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        os.close(holder)


def test_options_come_from_sys_config_too(release: Release) -> None:
    (config,) = (release.folder / "rel" / "releases").glob("*/sys.config.src")
    before = config.read_text()
    config.write_text(before.replace("{hornbeam, []}", '{hornbeam, [{env, ["GREETING=config"]}]}'))
    try:
        release.run("daemon")
        match = re.search(r"^server default on (\S+)$", release.run("status"), re.MULTILINE)
        assert match
        assert httpx.get(match.group(1)).text.endswith(" config")
    finally:
        release.run("stop")
        config.write_text(before)


@pytest.mark.parametrize("source", ["environment", "sys.config", "flags"])
def test_a_cluster_has_its_links(release: Release, tmp_path: Path, source: str) -> None:
    """The VM is booted for them, whatever says that there is a cluster."""
    with socket.create_server(("127.0.0.31", 0)) as free:
        port = free.getsockname()[1]
    env = {"HORNBEAM_CLUSTER_COOKIE": "a-secret-of-the-release", "HORNBEAM_CLUSTER_INSECURE": "yes"}
    env |= {"HORNBEAM_CLUSTER_PORT": str(port), "HORNBEAM_CLUSTER_DIR": str(tmp_path / "data")}
    env |= {"HORNBEAM_CLUSTER_ADDRESS": "127.0.0.31"}
    (config,) = (release.folder / "rel" / "releases").glob("*/sys.config.src")
    before = config.read_text()
    flags = []
    if source == "environment":
        env["HORNBEAM_CLUSTER"] = "static:127.0.0.31"
    elif source == "flags":
        flags = ["--cluster=static:127.0.0.31"]
    else:
        table = '{hornbeam, [{cluster, #{discovery => "static:127.0.0.31"}}]}'
        config.write_text(before.replace("{hornbeam, []}", table))
    try:
        pid = int(release.run("daemon", *flags, env=env))
        log = (release.folder / "hornbeam.log").read_text()
        assert f"hornbeam@127.0.0.31 and listens on 127.0.0.31:{port} WITHOUT TLS" in log
        assert b"a-secret" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    finally:
        release.run("stop")
        config.write_text(before)


def test_config_shows_where_options_come_from(release: Release) -> None:
    (file,) = release.folder.glob("rel/releases/*/sys.config.src")
    before = file.read_text()
    file.write_text(before.replace("{hornbeam, []}", "{hornbeam, [{max_queue, 7}]}"))
    try:
        lines = release.run("config", "--changed", "--workers=2").splitlines()
    finally:
        file.write_text(before)
    assert ["max_queue = 7", "sys.config"] in [re.split(r" +# ", line) for line in lines]
    assert ["workers = 2", "flag --workers"] in [re.split(r" +# ", line) for line in lines]


def test_as_a_service_of_systemd(release: Release) -> None:
    """Socket activation (fd 3); READY, RELOADING, STOPPING; SIGHUP and SIGTERM."""
    notify_path = str(release.folder / "notify")
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
    ):
        notify.bind(notify_path)
        notify.settimeout(60)
        env = {"HORNBEAM_BIND": "fd://3", "NOTIFY_SOCKET": notify_path}
        shell = f'exec "$0" foreground 3<&{listening.fileno()}'
        process = subprocess.Popen(
            ["/bin/bash", "-c", shell, release.command], env=release.env | env, cwd="/",
            pass_fds=[listening.fileno()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert b"READY=1" in notify.recv(4096)
            url = "http://{}:{}".format(*listening.getsockname())
            assert httpx.get(url).status_code == 200
            process.send_signal(signal.SIGHUP)
            assert re.search(rb"RELOADING=1\nMONOTONIC_USEC=\d+", notify.recv(4096))
            assert b"READY=1" in notify.recv(4096)
            assert httpx.get(url).status_code == 200
            process.send_signal(signal.SIGTERM)
            assert b"STOPPING=1" in notify.recv(4096)
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_a_server_that_ends_by_itself_is_an_exit_status(release: Release, tmp_path: Path) -> None:
    done = subprocess.run(
        [release.command, "foreground"],
        env=release.env | compile_faults(tmp_path, "end_server") | {"HORNBEAM_ENV": "TOKEN=hush"},
        cwd="/", timeout=60, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 70
    assert " critical the server default has ended by itself (killed)" in done.stderr
    # What was killed with the server may report its own end later.
    assert " critical Hornbeam has ended by itself: exit status 70\n" in done.stderr
    assert "hush" not in done.stderr


def test_the_soft_limit_of_open_files_is_raised(release: Release) -> None:
    process = subprocess.Popen(
        [release.command, "foreground"], env=release.env, cwd="/", text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (300, 3000)),
    )  # fmt: skip
    try:
        assert process.stdout is not None and " serving " in process.stdout.readline()
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        assert re.search(r"^Max open files +3000 +3000 ", limits, re.M)
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()


def test_a_failed_start_is_one_message_and_no_daemon(release: Release) -> None:
    done = subprocess.run(
        [release.command, "daemon"], env=release.env | {"HORNBEAM_APP": "nowhere:app"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert 'no module "nowhere"' in done.stderr
    assert done.stderr.count("\n") <= 3


def test_remote_console_needs_a_name(release: Release) -> None:
    done = subprocess.run(
        [release.command, "remote_console"], env=release.env, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "HORNBEAM_NODE" in done.stderr


def test_remote_console(release: Release) -> None:
    name = f"hb{os.getpid()}@127.0.0.1"
    # A fixed port instead of epmd, which would outlive the test.
    flags = f"-start_epmd false -erl_epmd_port {_free_port()}"
    named = {"HORNBEAM_NODE": name, "HORNBEAM_COOKIE": "mine-alone", "HORNBEAM_ERL_FLAGS": flags}
    pid = int(release.run("daemon", env=named))
    terminal, inner = pty.openpty()
    shell = subprocess.Popen(
        [release.command, "remote_console"], env=release.env | named | {"TERM": "xterm"},
        stdin=inner, stdout=inner, stderr=inner, start_new_session=True,
    )  # fmt: skip
    try:
        shown = b""
        while f"({name})1>".encode() not in shown:
            assert select.select([terminal], [], [], 30)[0], shown
            shown += os.read(terminal, 4096)
        os.write(terminal, b"{told, node(), erlang:get_cookie()}.\r")
        while f"{{told,'{name}','mine-alone'}}".encode() not in shown:
            assert select.select([terminal], [], [], 30)[0], shown
            shown += os.read(terminal, 4096)
        for number in (pid, *children(pid), shell.pid, *children(shell.pid)):
            assert b"mine-alone" not in Path(f"/proc/{number}/cmdline").read_bytes()
        for number in workers(pid):
            assert b"mine-alone" not in Path(f"/proc/{number}/environ").read_bytes()
    finally:
        shell.kill()
        shell.wait()
        os.close(terminal)
        os.close(inner)
        release.run("stop")
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 10, "it has ended")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
