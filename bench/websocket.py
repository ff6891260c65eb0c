"""`make bench-websocket`: WebSocket in Hornbeam and in uvicorn, one worker each, in the same run.

Idle memory of the whole process tree per connection, echoed messages per second, and one message
published to many: in Hornbeam by `hornbeam_erlang.publish`, in uvicorn by Redis, with a
subscription for each WebSocket or a shared one (bench/apps/websocket_fanout.py). The load comes
from websocket_load.c. Writes bench/results/websocket.md with --write.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import machine
from figures import Entry, Trouble, interleave, ratios
from peers import hornbeam, uvicorn
from processes import resident
from servers import RESULTS, ROOT, Recipe, Server, redis, started

APP = "websocket_fanout:app"
# The load client answers no pings.
OURS = hornbeam(
    APP, 1, "--websocket-ping-interval", "infinity", "--websocket-timeout", "infinity",
    # A WebSocket counts for max_concurrency as long as it is open.
    "--max-connections", "infinity", "--max-concurrency", "100000",
)  # fmt: skip
PEER = uvicorn(APP, 1, "--ws-ping-interval", "100000")
SETTLE = 3.0
# The least (for memory: the most) ratio that the project asks of itself.
AIM_MEMORY, AIM_FANOUT = 0.6, 5.0


class Load:
    """The compiled load client, and its own share of a core in each kind of measurement."""

    def __init__(self, folder: Path) -> None:
        self.binary = folder / "websocket_load"
        source = ROOT / "bench" / "websocket_load.c"
        subprocess.run(["cc", "-O2", "-o", self.binary, source], check=True)
        self.shares: dict[str, list[float]] = {}

    def rate(self, kind: str, port: int, connections: int, amount: float, size: int) -> float:
        """Messages per second that reached the client."""
        words = [str(self.binary), kind, str(port), str(connections), f"{amount:g}", str(size)]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        messages, seconds, share = map(float, done.stdout.split())
        self.shares.setdefault(kind, []).append(share)
        return messages / seconds

    @contextmanager
    def idle(self, port: int, connections: int) -> Iterator[None]:
        """Open connections for the time of the block."""
        words = [str(self.binary), "idle", str(port), str(connections), "0", "1"]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdin is not None
            if not process.stdout.readline().startswith(b"ready "):
                sys.exit("the connections could not be opened")
            yield
            process.stdin.close()


def idle_memory(name: str, recipe: Recipe, load: Load, connections: int) -> float:
    """Bytes for each idle connection, in the server's processes together."""
    with started(name, recipe) as server, load.idle(server.port, 200):
        time.sleep(SETTLE)  # what the first ones cost is not theirs
        before = sum(map(resident, server.pids))
        with load.idle(server.port, connections):
            time.sleep(SETTLE)
            after = sum(map(resident, server.pids))
    return (after - before) / connections


def memory_line(options: argparse.Namespace, load: Load) -> str:
    """Idle connections."""
    ours = idle_memory("hornbeam", OURS, load, options.connections)
    peer = idle_memory("uvicorn", PEER, load, options.connections)
    return (
        f"| {options.connections:,} idle: bytes each | {ours:,.0f} | {peer:,.0f} | "
        f"**{ours / peer:.2f}** | | at most {AIM_MEMORY} |"
    )


def rates(
    rounds: int, measure: Callable[[Server], float], env: Mapping[str, str] | None = None
) -> list[list[float]]:
    """Ours and the peer's of each round, after one that does not count; `env`: the peer's."""
    with ExitStack() as stack:
        servers = {
            "hornbeam": stack.enter_context(started("hornbeam", OURS)),
            "uvicorn": stack.enter_context(started("uvicorn", PEER, env)),
        }
        for server in servers.values():
            measure(server)
        entries = [Entry(name) for name in servers]
        interleave(entries, rounds, lambda name: {"rate": measure(servers[name])})
    return [entry.figures["rate"] for entry in entries]


def rate_line(what: str, found: list[list[float]], aim: str = "") -> str:
    """One row of the table."""
    ours, peer = map(statistics.median, found)
    times = ratios(*found)
    return (
        f"| {what} | {ours:,.0f} | {peer:,.0f} | "
        f"**{statistics.median(times):.1f}** | {min(times):.1f} to {max(times):.1f} | {aim} |"
    )


def fanout_lines(
    count: int, pattern: str, path: Path, options: argparse.Namespace, load: Load
) -> Iterator[str]:
    """Deliveries per second, and what they mean for the last subscriber."""
    name = {"each": "a subscription each", "shared": "a shared subscription"}[pattern]
    found = rates(
        options.rounds,
        lambda server: load.rate("fanout", server.port, count, options.messages, 100),
        {"BENCH_REDIS": str(path), "BENCH_PATTERN": pattern},
    )
    aim = f"at least {AIM_FANOUT:g}"
    yield rate_line(f"to {count:,} (Redis: {name}): deliveries/s", found, aim)
    last = [count / statistics.median(values) * 1000 for values in found]
    yield f"| - until the last has it, ms | {last[0]:.0f} | {last[1]:.0f} | | | |"


def rows(options: argparse.Namespace) -> Iterator[str]:
    """The table's, and what the client itself has taken."""
    with tempfile.TemporaryDirectory() as name, redis() as (path, _):
        load = Load(Path(name))
        yield memory_line(options, load)
        echo = rates(
            options.rounds,
            lambda server: load.rate("echo", server.port, 64, options.seconds, 32),
        )
        yield rate_line("echo, 64 connections, 32 bytes: messages/s", echo)
        for count in options.subscribers:
            for pattern in ("each", "shared"):
                yield from fanout_lines(count, pattern, path, options, load)
    shares = ", ".join(f"{kind} {statistics.median(s):.2f}" for kind, s in load.shares.items())
    yield from ("", f"The load client's own share of a core (median): {shares}.")


def main() -> None:
    """Runs the comparison and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--messages", type=int, default=10, help="published in each round")
    parser.add_argument("--connections", type=int, default=10_000, help="idle ones")
    parser.add_argument("--subscribers", type=int, nargs="*", default=[1000, 5000])
    parser.add_argument("--write", action="store_true", help="write bench/results/websocket.md")
    options = parser.parse_args()
    lines = [
        "| | Hornbeam | uvicorn | ratio | rounds' ratios | aim |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    try:
        machine.descriptors(max(options.connections, *options.subscribers) + 1000)
        lines += rows(options)
    except Trouble as trouble:
        sys.exit(f"bench: {trouble}")
    report = "\n".join(lines)
    print(report)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "websocket.md").write_text(
            f"# WebSocket next to uvicorn (uvloop; Redis for publish/subscribe)\n\n"
            f"`make bench-websocket`: one worker each, {options.rounds} interleaved rounds, "
            f"medians; {options.messages} messages of 100 bytes are published one after the "
            f"other, each when the last has arrived everywhere.\n\n{report}\n\n"
            f"{datetime.date.today().isoformat()}; {machine.shape()}.\n"
        )


if __name__ == "__main__":
    main()
