"""What it costs to look at requests: CPU time of a FastAPI request without anybody who looks, with
metrics_bind, with traces of which 1 % go to a receiver, and with both and an open dashboard.

    .venv/bin/python bench/observed.py [--rounds 8] [--seconds 4]

Servers of one worker take turns on the same machine, each asked for the same time by
wrk; what counts is the CPU time of the VM and its worker (/proc/PID/stat), not the wall clock, so
what else the machine does matters little. Prints each round, the medians and the least.
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

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "python_tests"))

from harness import Hornbeam  # noqa: E402

METRICS = {"metrics_bind": "127.0.0.1:0"}
_TICK = os.sysconf("SC_CLK_TCK")


def cpu(server: Hornbeam) -> float:
    """Seconds of CPU time of the VM and its workers so far."""
    total = 0.0
    for pid in (server.beam(), *server.workers()):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / _TICK
    return total


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
        "metrics": METRICS,
        "traces": traces,
        "all": {**METRICS, **traces, "dashboard_bind": "127.0.0.1:0"},
    }


def main() -> None:
    """Runs the rounds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=4)
    options = parser.parse_args()
    with ExitStack() as stack:
        servers = {
            kind: stack.enter_context(Hornbeam("metrics_fastapi:app", **more))
            for kind, more in kinds(stack.enter_context(receiver())).items()
        }
        costs: dict[str, list[float]] = {kind: [] for kind in servers}
        look(servers["all"])
        for server in servers.values():
            load(server, 2)
        for number in range(options.rounds):
            order = list(servers.items())
            for kind, server in order if number % 2 else reversed(order):
                before = cpu(server)
                count = load(server, options.seconds)
                costs[kind].append((cpu(server) - before) / count * 1e6)
            print(
                "  ".join(f"{kind} {values[-1]:.1f} us" for kind, values in costs.items()),
                flush=True,
            )
    # What else runs on the machine only adds: the least is what it takes.
    for name, of in (("median", statistics.median), ("least", min)):
        found = {kind: of(values) for kind, values in costs.items()}
        for kind, value in found.items():
            more = value / found["nothing"] * 100 - 100
            print(f"{name}: {kind} {value:.1f} us of CPU, {more:+.1f} %")


if __name__ == "__main__":
    main()
