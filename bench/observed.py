"""What it costs to look at requests: CPU time of a FastAPI request with and without metrics_bind.

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
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "python_tests"))

from harness import Hornbeam  # noqa: E402

KINDS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "metrics": {"metrics_bind": "127.0.0.1:0"},
}
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


def main() -> None:
    """Runs the rounds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=4)
    options = parser.parse_args()
    costs: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with ExitStack() as stack:
        servers = {
            kind: stack.enter_context(Hornbeam("metrics_fastapi:app", **more))
            for kind, more in KINDS.items()
        }
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
