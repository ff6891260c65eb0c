"""What it costs to look at requests: CPU time of a FastAPI request without anybody who looks, with
metrics_bind, with traces of which 1 % go to a receiver, and with both and an open dashboard.

    make bench-observed    # bench/observed.py [--starts 8] [--rounds 3] [--seconds 2] [--write]

Servers of one worker take turns on the same machine, each asked for the same time by wrk; what
counts is the CPU time of the VM and its worker (schedstat of their threads: that of the process
itself has hundredths of a second), not the wall clock, so what else the machine does matters less.
A second server without anybody who looks shows how much that is, and counts with the first as what
the others are compared with.

Two processes that do the same differ by some hundredths, from one start to the next, more than what
is measured here. So all of them are started anew several times, and what counts is the mean of the
starts, of each the median of its rounds. Strings hash alike in all of them: from one seed to
another a request may differ by several hundredths.
Prints each start, and the means; bench/results/observed.md with --write.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from machine import commit, shape
from servers import RESULTS, ROOT

sys.path.insert(0, str(ROOT / "python_tests"))

from harness import Hornbeam

METRICS = {"metrics_bind": "127.0.0.1:0"}
ALIKE = {"PYTHONHASHSEED": "1"}


def cpu(server: Hornbeam) -> tuple[float, float]:
    """µs of CPU time so far: of the VM, of its workers."""

    def of(pid: int) -> float:
        times = Path(f"/proc/{pid}/task").glob("*/schedstat")
        return sum(int(time.read_text().split()[0]) for time in times) / 1000

    return of(server.beam()), sum(map(of, server.workers()))


def load(server: Hornbeam, seconds: int) -> int:
    """How many requests were answered."""
    command = ["wrk", "-t1", "-c8", f"-d{seconds}s", f"{server.url}/items/7"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    match = re.search(r"(\d+) requests in", text)
    assert match and "Non-2xx" not in text, text
    return int(match.group(1))


class Receiver(BaseHTTPRequestHandler):
    """Takes spans, and forgets them."""

    def do_POST(self) -> None:
        """Of OTLP over HTTP."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_about: object) -> None:
        """Nothing."""


@contextmanager
def receiver() -> Iterator[str]:
    """Its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/traces"
        server.shutdown()


def look(server: Hornbeam) -> None:
    """As a browser does at the overview, for as long as the server runs."""
    url = server.wait_for_output(r"dashboard on (http://[^\s,]+)", 60).group(1).rstrip("/")
    events = urlopen(f"{url}/events/")

    def read() -> None:
        while events.readline():
            pass

    threading.Thread(target=read, daemon=True).start()


def kinds(endpoint: str) -> dict[str, dict[str, Any]]:
    """Of servers, and their options."""
    traces = {"trace_endpoint": endpoint, "trace_sample": "1%"}
    return {
        "nothing": {},
        "again": {},
        "metrics": METRICS,
        "traces": traces,
        "all": {**METRICS, **traces, "dashboard_bind": "127.0.0.1:0"},
    }


NAMES = {
    "nothing": "nobody looks",
    "again": "another one, the same",
    "metrics": "`metrics_bind`",
    "traces": "`trace_endpoint`, `trace_sample` 1 %",
    "all": "both, and an open dashboard",
}
Costs = dict[str, list[tuple[float, float]]]


def measure(starts: int, rounds: int, seconds: int) -> Costs:
    """Of each kind and start: µs of a request in the VM, and in its worker."""
    costs: Costs = {kind: [] for kind in NAMES}
    for _ in range(starts):
        for kind, rows in once(rounds, seconds).items():
            vm, worker = (statistics.median(values) for values in zip(*rows, strict=True))
            costs[kind].append((vm, worker))
        lines = (f"{kind} {vm:.1f} + {own:.1f}" for kind, [*_, (vm, own)] in costs.items())
        print("  ".join(lines), "us", flush=True)
    return costs


def once(rounds: int, seconds: int) -> Costs:
    """The same of each round, with servers that are started for it."""
    with ExitStack() as stack:
        servers = {
            kind: stack.enter_context(Hornbeam("metrics_fastapi:app", env=ALIKE, **more))
            for kind, more in kinds(stack.enter_context(receiver())).items()
        }
        costs: Costs = {kind: [] for kind in servers}
        look(servers["all"])
        for server in servers.values():
            load(server, 1)
        for number in range(rounds):
            order = list(servers.items())
            for kind, server in order if number % 2 else reversed(order):
                before = cpu(server)
                count = load(server, seconds)
                vm, workers = (now - was for now, was in zip(cpu(server), before, strict=True))
                costs[kind].append((vm / count, workers / count))
    return costs


def report(costs: Costs) -> str:
    """bench/results/observed.md."""
    starts = len(costs["nothing"])
    lines = [
        "# What it costs to look at requests", "",
        "<!-- Written by `make bench-observed`. -->", "",
        f"{shape()}; Hornbeam at {commit()}; load average before: {os.getloadavg()[0]:.1f}.", "",
        "CPU time of a request of FastAPI (`python_tests/apps/metrics_fastapi.py`: a path with a",
        f"number, JSON), one worker, 8 connections. Means of {starts} starts (least to largest);",
        "`bench/observed.py` says how. More: than the mean of the first two.", "",
        "| | the VM, µs | the worker, µs | both | more |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    least = statistics.mean(map(sum, costs["nothing"] + costs["again"]))
    for kind, rows in costs.items():
        vm, worker = (statistics.mean(values) for values in zip(*rows, strict=True))
        sums = [sum(row) for row in rows]
        both = f"{statistics.mean(sums):.1f} ({min(sums):.1f} to {max(sums):.1f})"
        more = f"{statistics.mean(sums) / least * 100 - 100:+.1f} %"
        lines.append(f"| {NAMES[kind]} | {vm:.1f} | {worker:.1f} | {both} | {more} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--starts", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    text = report(measure(options.starts, options.rounds, options.seconds))
    print(text)
    if options.write:
        (RESULTS / "observed.md").write_text(text)


if __name__ == "__main__":
    main()
