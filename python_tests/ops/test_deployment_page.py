"""docs/deployment.md: each file on it is taken by the program that it is for, as far as that is
installed, and nginx, Procfile and what belongs to them serve requests."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml
from harness import ROOT, Hornbeam, wait_until
from pages import DOCS, blocks
from websockets.sync.client import connect

PAGE = (DOCS / "deployment.md").read_text()
FILES = {block.title: block.text for block in blocks(PAGE) if block.title}
NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
HAPROXY = shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy")

APP = """
async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})
        return
    headers = dict(scope["headers"])
    said = f"{scope['scheme']} {scope['client'][0]} {headers[b'host'].decode()}"
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": said.encode()})
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def test_every_file_is_looked_at() -> None:
    assert set(FILES) == {
        "hornbeam.service", "hornbeam.socket", "Dockerfile", "app.conf", "haproxy.cfg",
        "deployment.yaml", "Procfile",
    }  # fmt: skip


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(FILES[name])
    return parser


def test_the_unit_waits_longer_than_a_stop_takes() -> None:
    service = unit("hornbeam.service")["Service"]
    assert int(service["TimeoutStopSec"]) > seconds("graceful_timeout", "shutdown_timeout")
    assert int(service["TimeoutStartSec"]) > seconds("startup_timeout")
    # What is sent by a process below the main one is ignored otherwise.
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "all")


def test_what_the_unit_starts_and_reloads(project: Path) -> None:
    """With the environment that systemd would give: its commands, its RuntimeDirectory."""
    service = FILES["hornbeam.service"]
    env = dict(re.findall(r"^Environment=(\w+)=(.*)$", service, re.MULTILINE))
    commands = dict(re.findall(r"^(Exec\w+)=\S+/bin/hornbeam (.*)$", service, re.MULTILINE))
    port = free_port()
    env |= {"HORNBEAM_BIND": f"127.0.0.1:{port}", "HORNBEAM_METRICS_BIND": "127.0.0.1:0"}
    env |= {"RUNTIME_DIRECTORY": str(project), "HORNBEAM_PYTHON": sys.executable}
    launcher = str(ROOT / "bin" / "hornbeam")

    def command(name: str) -> list[str]:
        return [launcher, *commands[name].split()]

    server = subprocess.Popen(command("ExecStart"), cwd=project, env=os.environ | env)
    try:
        wait_until(lambda: answers(port), 60, "it answers")

        def reload() -> int:
            done = subprocess.run(command("ExecReload"), env=os.environ | env, timeout=90)
            return done.returncode

        assert reload() == 0
        (project / "app.py").write_text("raise RuntimeError\n")
        assert reload() == 1
        assert answers(port)
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0


def seconds(*keys: str) -> float:
    """The defaults of options, together."""
    table = (DOCS / "options.md").read_text()
    found = (re.search(rf"^\| `{key}` .*? `(\d+)` \|", table, re.MULTILINE) for key in keys)
    return sum(int(match.group(1)) / 1000 for match in found if match)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    units = ("hornbeam.service", "hornbeam.socket")
    for name in units:
        here = FILES[name].replace("/srv/app/.venv/bin/hornbeam", str(ROOT / "bin" / "hornbeam"))
        (tmp_path / name).write_text(here.replace("User=app\n", "User=daemon\n"))
    for name in units:
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        said = [line for line in done.stderr.splitlines() if name in line]
        assert said == [], done.stderr


def test_the_deployment_gives_a_stop_its_time() -> None:
    pod = yaml.safe_load(FILES["deployment.yaml"])["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    delay = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    stop = seconds("graceful_timeout", "shutdown_timeout")
    assert pod["terminationGracePeriodSeconds"] > delay + stop
    start = container["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] > seconds("startup_timeout")


def test_the_probes_of_the_deployment_are_answered() -> None:
    pod = yaml.safe_load(FILES["deployment.yaml"])["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    env = {variable["name"]: variable["value"] for variable in container["env"]}
    env["HORNBEAM_METRICS_BIND"] = f"127.0.0.1:{free_port()}"
    env["HORNBEAM_BIND"] = ""  # the harness has a port of its own
    with Hornbeam("core_http:app", env=env) as server:
        assert len(server.workers()) == int(env["HORNBEAM_WORKERS"])
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            path = container[probe]["httpGet"]["path"]
            answer = httpx.get(f"http://{env['HORNBEAM_METRICS_BIND']}{path}")
            assert (path, answer.status_code) == (path, 200)


def test_the_image_runs_what_there_is() -> None:
    text = FILES["Dockerfile"]
    assert re.findall(r"^(FROM|COPY --from=build|USER|CMD)", text, re.MULTILINE) == [
        "FROM", "FROM", "COPY --from=build", "USER", "CMD",
    ]  # fmt: skip
    options = set(re.findall(r"^\| `(\w+)`", (DOCS / "options.md").read_text(), re.MULTILINE))
    variables = {name.lower() for name in re.findall(r"HORNBEAM_(\w+)=", text)}
    assert {"bind", "metrics_bind"} <= variables <= options


@pytest.mark.skipif(not HAPROXY, reason="haproxy is not installed")
def test_haproxy_takes_its_file(tmp_path: Path) -> None:
    assert HAPROXY
    file = tmp_path / "haproxy.cfg"
    file.write_text(FILES["haproxy.cfg"])
    done = subprocess.run(
        [HAPROXY, "-c", "-f", str(file)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not NGINX, reason="nginx is not installed")
def test_nginx_in_front(project: Path) -> None:
    assert NGINX
    with Hornbeam(
        "app:app", cwd=project, pythonpath=".", forwarded_allow_ips="127.0.0.1"
    ) as server:
        port = free_port()
        site = FILES["app.conf"].replace("listen 80;", f"listen 127.0.0.1:{port};")
        site = site.replace("127.0.0.1:8000", "{}:{}".format(*server.address))
        temporary = "".join(
            f"{name}_temp_path {project}/{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = project / "nginx.conf"
        config.write_text(
            f"daemon off; pid {project}/pid; events {{}}\n"
            f"http {{ access_log off; {temporary}\n{site} }}\n"
        )
        command = [NGINX, "-p", str(project), "-c", str(config), "-e", f"{project}/error.log"]
        nginx = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            wait_until(lambda: answers(port), 20, "nginx answers")
            headers = {"host": "example.org", "x-forwarded-for": "192.0.2.7"}
            answer = httpx.get(f"http://127.0.0.1:{port}/", headers=headers)
            # nginx adds whom it has seen, which is trusted here; the next one is the client.
            assert answer.text == "http 192.0.2.7 example.org"
            with connect(f"ws://127.0.0.1:{port}/") as websocket:
                websocket.send("hello")
                assert websocket.recv(timeout=20) == "HELLO"
        finally:
            nginx.send_signal(signal.SIGQUIT)
            nginx.wait(30)


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
    except httpx.HTTPError:
        return False


def test_the_procfile_serves_on_the_port_that_it_is_given(project: Path) -> None:
    line = FILES["Procfile"].removeprefix("web: ").strip()
    port = free_port()
    tools = project / "tools"
    tools.mkdir()
    (tools / "hornbeam").symlink_to(ROOT / "bin" / "hornbeam")
    path = f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PORT": str(port), "WEB_CONCURRENCY": "2"}
    env["XDG_RUNTIME_DIR"] = str(project)
    server = subprocess.Popen(["sh", "-c", f"exec {line}"], cwd=project, env=env)
    try:
        wait_until(lambda: answers(port), 60, "it answers")
        headers = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}
        said = httpx.get(f"http://127.0.0.1:{port}/", headers=headers).text
        assert said == f"http 127.0.0.1 127.0.0.1:{port}"  # we are no router of 10.0.0.0/8
        status = subprocess.run(["hornbeam", "status"], env=env, capture_output=True, text=True)
        assert status.stdout.count(" ready ") == 2
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0


def test_its_times_stay_below_what_platforms_wait() -> None:
    times = [int(text) for text in re.findall(r"-timeout (\d+)", FILES["Procfile"])]
    assert len(times) == 2
    assert sum(times) < 30_000
