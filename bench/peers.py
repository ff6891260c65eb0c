"""The servers that are compared: their commands, and the versions of all that takes part.

Each runs as its documentation asks for production, with the fastest loop and parser that it offers,
without an access log. What would measure a limit instead of the server is raised for all: the queue
of connections that wait to be taken (Granian takes no more than that at once), requests on one
connection, and how long that may be idle.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import machine
from servers import APPS, ROOT, Command, Recipe, program

__all__ = [
    "BACKLOG", "ENDLESS", "IDLE", "NGINX_FOLDERS", "OURS", "PEERS", "WSGI", "Make", "before",
    "commands", "gunicorn", "hornbeam", "uvicorn", "versions",
]  # fmt: skip

BACKLOG = "4096"
# Seconds: Hornbeam's default.
IDLE = "75"
ENDLESS = 1_000_000_000
OURS = "hornbeam"
WSGI = "gunicorn"

# A recipe for an application and a number of workers.
Make = Callable[[str, int], Recipe]


def hornbeam(app: str, workers: int = 1, *flags: str, root: Path = ROOT) -> Recipe:
    """Hornbeam with its defaults; `root`: the checkout that it is started from."""
    words = [
        str(root / "bin" / "hornbeam"), "run", app, "--pythonpath", str(APPS),
        "--python", sys.executable, "--workers", str(workers), *flags,
    ]  # fmt: skip
    return lambda port, _: [Command([*words, "--bind", f"127.0.0.1:{port}"])]


def uvicorn(app: str, workers: int = 1, *flags: str) -> Recipe:
    """Uvicorn with uvloop and httptools."""
    words = _uvicorn(app, workers, *flags)
    return lambda port, _: [Command([*words, "--port", str(port)])]


def _uvicorn(app: str, workers: int, *flags: str) -> list[str]:
    return [
        sys.executable, "-m", "uvicorn", app, "--workers", str(workers), "--loop", "uvloop",
        "--http", "httptools", "--no-access-log", "--log-level", "warning", "--backlog", BACKLOG,
        "--timeout-keep-alive", IDLE, *flags,
    ]  # fmt: skip


def granian(app: str, workers: int = 1) -> Recipe:
    """Granian with uvloop, which it prefers to others where it is there."""
    words = [
        sys.executable, "-m", "granian", app, "--interface", "asgi", "--workers", str(workers),
        "--loop", "uvloop", "--log-level", "warning", "--backlog", BACKLOG,
    ]  # fmt: skip
    return lambda port, _: [Command([*words, "--port", str(port)])]


def hypercorn(app: str, workers: int = 1) -> Recipe:
    """Hypercorn with uvloop; the requests of a connection are bounded by its file alone."""

    def recipe(port: int, folder: Path) -> list[Command]:
        config = folder / "hypercorn.toml"
        config.write_text(f"keep_alive_max_requests = {ENDLESS}\n")
        return [Command([
            sys.executable, "-m", "hypercorn", app, "--config", str(config),
            "--bind", f"127.0.0.1:{port}", "--workers", str(workers), "--worker-class", "uvloop",
            "--log-level", "warning", "--backlog", BACKLOG, "--keep-alive", IDLE,
        ])]  # fmt: skip

    return recipe


def gunicorn(app: str, workers: int = 1, *, preload: bool = False) -> Recipe:
    """gunicorn with as many threads as Hornbeam has for a WSGI application."""
    words = [
        sys.executable, "-m", "gunicorn", app, "--worker-class", "gthread", "--workers",
        str(workers), "--threads", "4", "--backlog", BACKLOG, "--keep-alive", IDLE,
        "--log-level", "warning", *(["--preload"] if preload else []),
    ]  # fmt: skip
    return lambda port, _: [Command([*words, "--bind", f"127.0.0.1:{port}"])]


# What it writes, in any configuration.
NGINX_FOLDERS = """\
    access_log off;
    error_log {folder}/error.log crit;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
"""
# A process for each worker of uvicorn. Its workers go by the user nobody otherwise, who may not
# enter the folder.
NGINX_CONFIG = """\
{user}
daemon off;
pid {folder}/nginx.pid;
worker_processes {workers};
worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
http {{
{folders}
    client_max_body_size 0;
    keepalive_timeout {idle}s;
    keepalive_requests {endless};
    upstream app {{
        server unix:{socket};
        keepalive 2048;
        keepalive_requests {endless};
    }}
    server {{
        listen 127.0.0.1:{port} backlog={backlog};
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""


def nginx(app: str, workers: int = 1) -> Recipe:
    """nginx in front of uvicorn's workers on a Unix socket, with connections kept alive."""

    def recipe(port: int, folder: Path) -> list[Command]:
        socket, config = folder / "uvicorn.sock", folder / "nginx.conf"
        config.write_text(NGINX_CONFIG.format(
            user="user root root;" if os.geteuid() == 0 else "", folder=folder, workers=workers,
            folders=NGINX_FOLDERS.format(folder=folder), idle=IDLE, endless=ENDLESS,
            socket=socket, port=port, backlog=BACKLOG,
        ))  # fmt: skip
        words = [program("nginx"), "-p", str(folder), "-c", str(config)]
        return [
            Command(_uvicorn(app, workers, "--uds", str(socket)), socket),
            Command([*words, "-e", str(folder / "error.log")]),
        ]

    return recipe


PEERS: dict[str, Make] = {
    OURS: hornbeam,
    "uvicorn": uvicorn,
    "granian": granian,
    "hypercorn": hypercorn,
    "nginx+uvicorn": nginx,
    WSGI: gunicorn,
}


def before(root: Path) -> Make:
    """Hornbeam of another checkout."""
    return partial(hornbeam, root=root)


def commands(makes: Mapping[str, Make]) -> dict[str, str]:
    """What each is started with, for a report: one worker, without the paths of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        places = {sys.executable: "python", str(APPS): "bench/apps", f"{ROOT}/": "", folder: "DIR"}
        found = {}
        for name, make in makes.items():
            text = " & ".join(" ".join(one.words) for one in make("app:app", 1)(8000, Path(folder)))
            for place, short in places.items():
                text = text.replace(place, short)
            found[name] = text
        return found


def versions() -> str:
    """Of the servers, of what the applications import, and of the load generators."""
    packages = {
        name: name
        for name in ("uvicorn", "uvloop", "httptools", "granian", "hypercorn", "gunicorn",
                     "fastapi", "starlette", "flask", "hiredis")
    } | {"redis-py": "redis"}  # fmt: skip
    found = [f"{name} {importlib.metadata.version(package)}" for name, package in packages.items()]
    programs = {
        "nginx": (program("nginx"), "-v"),
        "Redis": (program("redis-server"), "--version"),
        "wrk": (program("wrk"), "-v"),
        "h2load": (program("h2load"), "--version"),
    }
    for name, words in programs.items():
        version = re.search(r"\d+\.\d+\.\d+", machine.first_line(*words))
        found.append(f"{name} {version.group() if version else 'unknown'}")
    otp = machine.first_line(
        "erl", "-noshell", "-eval", "io:put_chars(erlang:system_info(otp_release)), halt()."
    )
    return ", ".join([f"Hornbeam {machine.commit()}", f"OTP {otp}", *found])
