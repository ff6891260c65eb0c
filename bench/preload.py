"""What the option preload saves: the memory of a Django application's workers, and how soon the
server is there; beside gunicorn, which has the like, and uvicorn.

    make bench-preload    # bench/preload.py [--rounds 3] [--workers 1,2,8] [--write]

Each server is started anew for each measurement, in an order that alternates. Every worker answers
a page of Django's administration (wrk, 64 connections, three seconds), then the memory of all
processes is added up (PSS: what they share counts once). Prints, and with --write
writes bench/results/preload.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import partial
from urllib.request import urlopen

from machine import commit, shape
from peers import Make, gunicorn, hornbeam, uvicorn
from servers import RESULTS, Server, program, started

PAGE = "/admin/login/"
MIB = 1024 * 1024
SERVERS: Mapping[str, tuple[str, Make]] = {
    "Hornbeam": ("admin:asgi", hornbeam),
    "Hornbeam, preload": ("admin:asgi", lambda app, n: hornbeam(app, n, "--preload")),
    "uvicorn": ("admin:asgi", uvicorn),
    "Hornbeam, WSGI": ("admin:wsgi", hornbeam),
    "Hornbeam, WSGI, preload": ("admin:wsgi", lambda app, n: hornbeam(app, n, "--preload")),
    "gunicorn": ("admin:wsgi", gunicorn),
    "gunicorn, preload": ("admin:wsgi", partial(gunicorn, preload=True)),
}
# Of a server: seconds until the first answer, bytes.
Figures = tuple[float, float]
Found = dict[tuple[str, int], list[Figures]]


def answer(server: Server) -> None:
    """Returns with the page."""
    with urlopen(f"http://127.0.0.1:{server.port}{PAGE}", timeout=60) as page:
        assert b"id_username" in page.read()


def figures(name: str, workers: int) -> Figures:
    """Of a server that is started for it."""
    app, make = SERVERS[name]
    with started(name, make(app, workers)) as server:
        answer(server)
        first = time.monotonic() - server.begun
        url = f"http://127.0.0.1:{server.port}{PAGE}"
        subprocess.run(
            [program("wrk"), "-t1", "-c64", "-d3s", url], check=True, capture_output=True
        )
        time.sleep(0.5)  # what an answer leaves behind is given back by then
        return first, server.pss()


def measure(rounds: int, sizes: Sequence[int]) -> Found:
    """All of them."""
    found: Found = {}
    for number in range(rounds):
        names = list(SERVERS)
        for size in sizes:
            for name in names if number % 2 else reversed(names):
                one = figures(name, size)
                found.setdefault((name, size), []).append(one)
                print(f"{name}, {size}: {one[0]:.2f} s, {one[1] / MIB:.0f} MiB", flush=True)
    return found


def report(found: Found, sizes: Sequence[int]) -> str:
    """bench/results/preload.md."""

    def median(name: str, size: int, which: int) -> float:
        return statistics.median(one[which] for one in found[name, size])

    head = "".join(f" {n} {'worker' if n == 1 else 'workers'} |" for n in sizes)
    lines = [
        "# Workers that share what they import", "",
        "<!-- Written by `make bench-preload`. -->", "",
        f"{shape()}; Hornbeam at {commit()}; load average before: {os.getloadavg()[0]:.1f}.", "",
        "A page of Django's administration; `bench/preload.py` says how. Medians.", "",
    ]  # fmt: skip
    for title, which, unit, digits in (
        ("Memory of all processes, MiB (PSS)", 1, MIB, 0),
        ("Until the first answer, s", 0, 1, 2),
    ):
        lines += [f"## {title}", "", f"| |{head}", f"| --- |{' ---: |' * len(sizes)}"]
        for name in SERVERS:
            cells = (f" {median(name, size, which) / unit:.{digits}f} |" for size in sizes)
            lines.append(f"| {name} |{''.join(cells)}")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", default="1,2,8")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    sizes = [int(size) for size in options.workers.split(",")]
    text = report(measure(options.rounds, sizes), sizes)
    print(text)
    if options.write:
        (RESULTS / "preload.md").write_text(text)


if __name__ == "__main__":
    main()
