"""The servers of the scenario `static`: a folder with one file, each serving it its own way.

nginx and Hornbeam without an application, uvicorn with Starlette's StaticFiles. nginx has no
open_file_cache, as by default.
"""

from __future__ import annotations

import os
from pathlib import Path

from peers import BACKLOG, ENDLESS, IDLE, NGINX_FOLDERS, OURS, Make, uvicorn
from servers import ROOT, Command, Recipe, program

__all__ = ["SIZE", "STATIC"]

SIZE = 10 * 1024

CONFIG = """\
{user}
daemon off;
pid {folder}/nginx.pid;
worker_processes {workers};
events {{ worker_connections 10000; }}
http {{
{folders}
    sendfile on;
    tcp_nopush on;
    keepalive_timeout {idle}s;
    keepalive_requests {endless};
    types {{ text/plain txt; }}
    server {{
        listen 127.0.0.1:{port} backlog={backlog};
        root {site};
        etag on;
    }}
}}
"""


def _site(folder: Path) -> Path:
    site = folder / "site"
    site.mkdir(exist_ok=True)
    # The first is asked for until the server answers.
    for name in ("index.html", "file.txt"):
        (site / name).write_bytes(b"0123456789" * (SIZE // 10))
    return site


def hornbeam(_app: str, workers: int = 1) -> Recipe:
    """Hornbeam with files alone; what stands for its workers are the schedulers of the VM."""

    def recipe(port: int, folder: Path) -> list[Command]:
        words = [str(ROOT / "bin" / "hornbeam"), "run", "--config", "none", "--control", "off"]
        site = _site(folder)
        return [Command([*words, f"--static=/={site}", "--bind", f"127.0.0.1:{port}",
                         "--pythonpath", str(site), "--workers", str(workers)])]  # fmt: skip

    return recipe


def nginx(_app: str, workers: int = 1) -> Recipe:
    """nginx with sendfile."""

    def recipe(port: int, folder: Path) -> list[Command]:
        config = folder / "nginx.conf"
        config.write_text(CONFIG.format(
            user="user root root;" if os.geteuid() == 0 else "", folder=folder, workers=workers,
            folders=NGINX_FOLDERS.format(folder=folder), idle=IDLE, endless=ENDLESS,
            site=_site(folder), port=port, backlog=BACKLOG,
        ))  # fmt: skip
        words = [program("nginx"), "-p", str(folder), "-c", str(config)]
        return [Command([*words, "-e", str(folder / "error.log")])]

    return recipe


def starlette(_app: str, workers: int = 1) -> Recipe:
    """Uvicorn as elsewhere."""

    def recipe(port: int, folder: Path) -> list[Command]:
        (command,) = uvicorn("static_files:app", workers)(port, folder)
        return [Command(["env", f"BENCH_FOLDER={_site(folder)}", *command.words])]

    return recipe


STATIC: dict[str, Make] = {OURS: hornbeam, "nginx": nginx, "uvicorn, StaticFiles": starlette}
