"""Several applications in one server: by host and path, under other users, added, replaced and
removed while it runs. One server does for most of it."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import websocket_client as ws
from harness import APPS, ROOT, Hornbeam, wait_until

from ops.support import control

APP = "mounts_app:app"
GRACEFUL = 2.0
SYSTEM_PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """For the control socket, and for what another user may read: pytest's own are root's alone."""
    with tempfile.TemporaryDirectory(prefix="hornbeam-mounts-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Hornbeam]:
    mounts = [
        f"/api={APP};env=WHICH=any-api",
        f"api.example.org={APP};env=WHICH=api",
        f"API.example.org/v1={APP};env=WHICH=api-v1",
        f"*.example.org/t={APP};env=WHICH=tenant",
    ]
    with Hornbeam(
        APP, mount=mounts, control=str(folder / "control"), graceful_timeout=int(GRACEFUL * 1000),
        metrics_bind="127.0.0.1:0",
    ) as server:  # fmt: skip
        yield server


def ask(server: Hornbeam, path: str = "/", host: str = "test") -> dict[str, Any]:
    answer = httpx.get(server.url + path, headers={"host": host}, timeout=30)
    assert answer.status_code == 200, answer.text
    facts: dict[str, Any] = answer.json()
    return facts


def hornbeam(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "bin" / "hornbeam"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=90)


# Hosts

WANTED = [
    ("test", "/", "root"),
    ("test", "/api/x", "any-api"),
    ("test", "/apix", "root"),
    ("api.example.org", "/", "api"),
    ("api.example.org", "/api", "api"),
    ("Api.EXAMPLE.org.:8443", "/v1/x", "api-v1"),
    ("api.example.org:80", "/v10", "api"),
    ("a.example.org", "/t/x", "tenant"),
    ("a.example.org", "/", "root"),
    ("a.example.org", "/api", "any-api"),
    ("a.b.example.org", "/t", "root"),
    ("example.org", "/t", "root"),
]


def test_hosts_of_http_1(server: Hornbeam) -> None:
    with httpx.Client(base_url=server.url) as client:
        found = [client.get(path, headers={"host": host}) for host, path, _ in WANTED]
    assert [answer.json()["which"] for answer in found] == [which for _, _, which in WANTED]


def test_hosts_of_http_2(server: Hornbeam) -> None:
    """:authority says it (RFC 9113, 8.3.1)."""
    with httpx.Client(base_url=server.url, http1=False, http2=True) as client:
        found = [client.get(path, headers={"host": host}) for host, path, _ in WANTED]
    assert {answer.http_version for answer in found} == {"HTTP/2"}
    assert [answer.json()["which"] for answer in found] == [which for _, _, which in WANTED]


@pytest.mark.parametrize(
    ("head", "which"),
    [
        ("GET http://api.example.org/v1 HTTP/1.1\r\nHost: api.example.org\r\n", "api-v1"),
        ("GET http://api.example.org:80 HTTP/1.1\r\nHost: api.example.org:80\r\n", "api"),
        ("GET / HTTP/1.0\r\n", "root"),
        ("GET / HTTP/1.0\r\nHost: api.example.org\r\n", "api"),
    ],
)
def test_absolute_targets_and_no_host(server: Hornbeam, head: str, which: str) -> None:
    with server.connect() as connection:
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert f'"which": "{which}"'.encode() in answer


def test_the_scope_knows_the_prefix(server: Hornbeam) -> None:
    facts = ask(server, "/v1/scope", "api.example.org")
    assert (facts["root_path"], facts["path"]) == ("/v1", "/v1/scope")
    assert ask(server, "/scope", "api.example.org")["root_path"] == ""


def test_status_and_metrics_name_the_places(server: Hornbeam) -> None:
    ok, text = control(server, "status")
    assert ok
    places = re.findall(r"^mounts_app:app at (\S+):", text, re.MULTILINE)
    assert places == ["*.example.org/t", "api.example.org/v1", "api.example.org", "/api", "/"]
    url = server.wait_for_output(r"metrics on (http://\S+)").group(1) + "/metrics"
    labels = re.findall(r'hornbeam_requests_waiting\{mount="(.*)"\}', httpx.get(url).text)
    assert labels == places


# While it runs


@contextmanager
def load(server: Hornbeam, *paths: str) -> Iterator[dict[str, list[str]]]:
    """GETs of each path all the while: what has answered each, in order. Every request counts."""
    answers: dict[str, list[str]] = {path: [] for path in paths}
    done = threading.Event()

    def get(path: str) -> None:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            while not done.is_set():
                answer = client.get(path)
                assert answer.status_code == 200, answer.text
                answers[path].append(answer.json()["which"])

    with ThreadPoolExecutor(len(paths)) as pool:
        tasks = [pool.submit(get, path) for path in paths]
        try:
            yield answers
        finally:
            done.set()
        for task in tasks:
            task.result()


def in_order(answers: list[str]) -> list[str]:
    """Each that has answered, once for each row of answers."""
    return [which for at, which in enumerate(answers) if at == 0 or answers[at - 1] != which]


def pause(answers: dict[str, list[str]], path: str, which: str) -> None:
    wait_until(lambda: answers[path][-1:] == [which], 20, f"{path} is answered by {which}")


def test_added_replaced_and_removed_under_load(server: Hornbeam, folder: Path) -> None:
    """By the commands. No request is lost, and what was begun ends where it was begun."""
    at = ("--control", str(folder / "control"))
    with load(server, "/", "/live/x") as answers, ThreadPoolExecutor(2) as pool:
        pause(answers, "/live/x", "root")
        done = hornbeam("mount", f"/live={APP};env=WHICH=one;workers=2", *at)
        assert (done.returncode, done.stdout, done.stderr) == (0, "mounted\n", "")
        pause(answers, "/live/x", "one")
        begun = pool.submit(ask, server, "/live/slow?1.2")
        await_in_flight(server, "/live", 2)  # and one of the load
        assert control(server, "mount", f"/live={APP}", "--env=WHICH=two") == (True, "mounted")
        pause(answers, "/live/x", "two")
        begun_later = pool.submit(ask, server, "/live/slow?1.2")
        await_in_flight(server, "/live", 2)
        assert begun.result()["which"] == "one"
        done = hornbeam("unmount", "/live", *at)
        assert (done.returncode, done.stdout, done.stderr) == (0, "unmounted\n", "")
        pause(answers, "/live/x", "root")
        assert begun_later.result()["which"] == "two"
    assert in_order(answers["/live/x"]) == ["root", "one", "two", "root"]
    assert in_order(answers["/"]) == ["root"]
    await_workers(server, 5)


def await_in_flight(server: Hornbeam, place: str, count: int = 1) -> None:
    wanted = f" at {place}: {count} in flight"
    wait_until(lambda: wanted in control(server, "status")[1], 20, f"there is{wanted}")


def await_workers(server: Hornbeam, number: int) -> None:
    wait_until(lambda: len(server.workers()) == number, 20, f"there are {number} workers")


def test_a_websocket_on_a_removed_application_is_told_to_leave(server: Hornbeam) -> None:
    assert control(server, "mount", f"chat.example.org/ws={APP}")[0]
    with server.connect() as connection:
        connection.sendall(ws.handshake("/ws/room", "chat.example.org"))
        reader = connection.makefile("rb")
        while reader.readline().strip():
            pass
        before = time.monotonic()
        assert control(server, "unmount", "chat.example.org/ws")[0]
        connection.sendall(ws.frame(ws.TEXT, b"still here"))
        assert reader.read(12) == b"\x81\x0astill here"
        assert reader.read(4)[2:] == struct.pack(">H", 1012)
        assert time.monotonic() - before > GRACEFUL / 2
    await_workers(server, 5)


def test_a_place_that_is_taken_again_while_its_application_leaves(server: Hornbeam) -> None:
    assert control(server, "mount", f"/again={APP};env=WHICH=old")[0]
    with ThreadPoolExecutor(1) as pool:
        old = ask(server, "/again/")["pid"]
        begun = pool.submit(ask, server, "/again/slow?1")
        await_in_flight(server, "/again")
        assert control(server, "unmount", "/again")[0]
        assert control(server, "mount", f"/again={APP};env=WHICH=new")[0]
        assert ask(server, "/again/")["which"] == "new"
        assert begun.result() == {"which": "old", "pid": old}
    wait_until(lambda: old not in server.workers(), 20, "the old worker has ended")
    await_workers(server, 6)
    assert ask(server, "/again/")["which"] == "new"
    assert control(server, "unmount", "/again")[0]
    await_workers(server, 5)


REFUSED = [
    (("mount", "/new=no_such:app"), "the application's module was not found"),
    (("mount", "/api=no_such:app"), "the application's module was not found"),
    (("mount", f"/new={APP};workers=0"), "workers must be an integer from 1 to 1024"),
    (("mount", f"/new={APP};wurkers=1"), "did you mean workers?"),
    (("mount", f"/new={APP}", "--bind=:1"), "bind is not an option of a mount"),
    (("mount", f"/new={APP};user=no-such-user"), "user, group: there is no user no-such-user"),
    (("mount", f"/new={APP};group=no-such-group"), "user, group: there is no group no-such-group"),
    (("mount", f"new.example.org:80={APP}"), "without a port"),
    (("mount", f"/={APP}"), 'a path below "/"'),
    (("mount", "/new"), "must be {Prefix, App}"),
    (("mount",), "mount takes one application"),
    (("unmount", "/new"), "there is no application at /new"),
    (("unmount",), "unmount takes one place"),
    (("unmount", "/"), 'a path below "/"'),
]


def test_what_fails_leaves_all_as_it_was(server: Hornbeam) -> None:
    before = set(server.workers()), control(server, "status")[1].count("ready")
    with load(server, "/api") as answers:
        for (command, *arguments), text in REFUSED:
            ok, said = control(server, command, *arguments)
            assert not ok
            assert text in said
    assert in_order(answers["/api"]) == ["any-api"]
    wait_until(lambda: set(server.workers()) == before[0], 20, "no other workers are left")
    assert control(server, "status")[1].count("ready") == before[1]


def test_a_reload_keeps_what_was_mounted_unless_it_says_otherwise(server: Hornbeam) -> None:
    assert control(server, "mount", f"kept.example.org={APP};env=WHICH=kept")[0]
    kept = ask(server, host="kept.example.org")
    assert control(server, "reload") == (True, "reloaded")
    assert ask(server, host="kept.example.org")["which"] == "kept"
    assert ask(server, host="kept.example.org")["pid"] != kept["pid"]
    mounts = [part for part in server.command if part.startswith("--mount=")]
    with load(server, "/", "/api") as answers:
        assert control(server, "reload", *mounts, f"--mount=/b={APP};env=WHICH=b")[0]
        assert ask(server, "/b")["which"] == "b"
        assert ask(server, host="kept.example.org")["which"] == "root"
        ok, said = control(server, "reload", *mounts, "--mount=/c=no_such:app")
        assert (ok, "was not found" in said) == (False, True)
        assert (ask(server, "/b")["which"], ask(server, "/c")["which"]) == ("b", "root")
        assert control(server, "reload", *mounts)[0]
        assert ask(server, "/b")["which"] == "root"
    assert (in_order(answers["/"]), in_order(answers["/api"])) == (["root"], ["any-api"])
    await_workers(server, 5)


def test_changes_at_the_same_time_come_one_after_the_other(server: Hornbeam) -> None:
    places = ["/one", "/two", "/three"]
    with ThreadPoolExecutor(4) as pool:
        texts = [f"{at}={APP};env=WHICH={at}" for at in places]
        done = [pool.submit(control, server, "mount", text) for text in texts]
        assert {task.result() for task in done} == {(True, "mounted")}
        assert [ask(server, at)["which"] for at in places] == places
        done = [pool.submit(control, server, "unmount", at) for at in places]
        assert {task.result() for task in done} == {(True, "unmounted")}
    assert [ask(server, at)["which"] for at in places] == ["root"] * 3
    await_workers(server, 5)


# Users


@pytest.fixture(scope="module")
def nobody(folder: Path) -> list[str]:
    """The options of a mount whose interpreter, packages and application another user may use."""
    if os.geteuid() != 0:
        pytest.skip("only root can run a worker as another user")
    try:
        import msgpack as package

        pwd.getpwnam("nobody")
        for source in (Path(package.__file__).parent, APPS / "mounts_app.py"):
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, folder / source.name)
        done = subprocess.run(
            [SYSTEM_PYTHON, "-c", "import sys, msgpack; sys.exit(sys.version_info < (3, 10))"],
            user="nobody", env={"PYTHONPATH": str(folder)}, capture_output=True,
        )  # fmt: skip
    except (OSError, KeyError) as missing:
        pytest.skip(f"there is no interpreter or user to try it with: {missing}")
    if done.returncode:
        pytest.skip(f"nobody may not use {SYSTEM_PYTHON} with msgpack: {done.stderr.decode()}")
    return [
        "--user=nobody", f"--python={SYSTEM_PYTHON}", f"--pythonpath={folder}",
        f"--env=PYTHONPATH={folder}", "--env=SET=it",
    ]  # fmt: skip


def test_a_worker_runs_as_its_user(server: Hornbeam, nobody: list[str]) -> None:
    """With its own groups and nothing of root's; it is measured and ended as any other."""
    user = pwd.getpwnam("nobody")
    assert control(server, "mount", f"who.example.org={APP}", *nobody) == (True, "mounted")
    facts = ask(server, "/who", "who.example.org")
    assert facts["uid"] == [user.pw_uid] * 3
    assert facts["gid"] == [user.pw_gid] * 3
    assert facts["groups"] == [user.pw_gid]
    assert not facts["regained"]
    assert (facts["home"], facts["user"], facts["set"]) == (user.pw_dir, "nobody", "it")
    # Pipes, sockets and what the loop has: no file that somebody else has opened.
    named = [name for name in facts["files"] if name.startswith("/")]
    assert [name for name in named if not name.startswith("/memfd:hornbeam-stacks")] == []
    rows = control(server, "status")[1].splitlines()
    row = next(row for row in rows if str(facts["pid"]) in row)
    assert re.search(r" [1-9][0-9.]* MB ", row)
    os.kill(facts["pid"], 9)
    wait_until(lambda: ask(server, "/", "who.example.org")["pid"] != facts["pid"], 20, "it is back")
    assert ask(server, "/who", "who.example.org")["uid"] == [user.pw_uid] * 3
    assert control(server, "mount", f"who.example.org={APP}", *nobody, "--group=daemon")[0]
    facts = ask(server, "/who", "who.example.org")
    assert (facts["uid"], facts["group"]) == ([user.pw_uid] * 3, "daemon")
    assert control(server, "unmount", "who.example.org")[0]
    await_workers(server, 5)


def test_who_forks_workers_is_their_user_too(server: Hornbeam, nobody: list[str]) -> None:
    user = pwd.getpwnam("nobody")
    assert control(server, "mount", f"who.example.org={APP}", *nobody, "--preload")[0]
    facts = ask(server, "/who", "who.example.org")
    assert (facts["uid"], facts["set"]) == ([user.pw_uid] * 3, "it")
    parent = int(Path(f"/proc/{facts['pid']}/stat").read_text().rpartition(")")[2].split()[1])
    assert Path(f"/proc/{parent}").stat().st_uid == user.pw_uid
    assert "preload" in Path(f"/proc/{parent}/cmdline").read_text()
    assert control(server, "unmount", "who.example.org")[0]
    await_workers(server, 5)


def test_what_a_user_may_not_use_is_said(server: Hornbeam, nobody: list[str], folder: Path) -> None:
    hidden = folder / "hidden"
    hidden.mkdir(mode=0o700)
    (hidden / "python").symlink_to(SYSTEM_PYTHON)
    arguments = [*nobody, f"--python={hidden / 'python'}"]
    ok, said = control(server, "mount", f"who.example.org={APP}", *arguments)
    assert (ok, "may not execute" in said) == (False, True)
    ok, said = control(server, "mount", f"who.example.org={APP}", *nobody, "--user=54321")
    assert (ok, "its group must be given, too" in said) == (False, True)


def test_only_root_runs_workers_as_others(nobody: list[str], folder: Path) -> None:
    """Asked of the program that does it, which a server asks when it starts."""
    program = shutil.copy(ROOT / "priv" / "python" / "hornbeam_worker" / "account.py", folder)
    check = [SYSTEM_PYTHON, "-I", "-S", program, "check", "root", "", SYSTEM_PYTHON, program]
    done = subprocess.run(check, user="nobody", capture_output=True, text=True)
    assert done.returncode == 1
    assert "only root can run workers as another user or group" in done.stderr
    check[5] = "nobody"
    assert subprocess.run(check, user="nobody", group="nogroup").returncode == 0


# The second server


def test_hosts_alone_and_a_stop_that_waits_for_what_was_added(tmp_path: Path) -> None:
    """Without an application for all others there is a 404; what was added ends like the rest."""
    path = str(tmp_path / "control")
    other = tmp_path / "other"
    other.mkdir()
    with Hornbeam(
        None, mount=f"a.example.org={APP}", control=path, reload=True,
        forwarded_allow_ips="127.0.0.1",
    ) as server:  # fmt: skip
        assert ask(server, host="a.example.org")["which"] == "root"
        proxied = {"host": "inner", "x-forwarded-host": "A.example.org"}
        assert httpx.get(server.url, headers=proxied).json()["which"] == "root"
        assert httpx.get(server.url).status_code == 404
        refused = control(server, "unmount", "a.example.org")
        assert refused == (False, "neither an application nor a mount is given")
        server.wait_for_output("watching the application's files")
        shutil.copy(APPS / "mounts_app.py", other / "added.py")
        assert control(server, "mount", "/added=added:app", f"--pythonpath={other}")[0]
        # With --reload what is saved there counts.
        server.wait_for_output(r"watching the application's files[\s\S]*watching the application's")
        saved = (APPS / "mounts_app.py").read_text().replace('"root"', '"added"')
        (other / "added.py").write_text(saved)
        wait_until(lambda: ask(server, "/added")["which"] == "added", 20, "it is reloaded")
        assert control(server, "unmount", "a.example.org")[0]
        with ThreadPoolExecutor(1) as pool:
            begun = pool.submit(ask, server, "/added/slow?1")
            await_in_flight(server, "/added")
            assert server.stop() == 0
            assert begun.result()["which"] == "added"


EXAMPLE = ROOT / "examples" / "multi_app"


def test_the_example_of_six_applications() -> None:
    """Its own comment says what to ask it."""
    config = EXAMPLE / "hornbeam.toml"
    with (
        Hornbeam(None, config=str(config), chdir=str(EXAMPLE), pythonpath=".") as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        assert "Six applications" in client.get("/").text
        assert client.get("/other").status_code == 404
        assert client.get("/api/items/3").json() == {"id": 3}
        assert client.get("/assets/style.css").headers["content-type"] == "text/css; charset=utf-8"
        assert client.get("/shop/cart/3").json() == {"cart": 3, "here": "/shop/cart/3"}
        with client.stream("GET", "/clock") as events:
            assert next(events.iter_lines()).startswith("data: 20")
        texts = [
            client.get("/", headers={"host": host}).text
            for host in ("admin.example.org", "blue.example.org:8000", "GREEN.example.org")
        ]
        assert texts[:2] == ["the administration at admin.example.org\n", "the page of blue\n"]
        assert texts[2] == "the page of GREEN\n"
