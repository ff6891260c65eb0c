"""`make bench-websocket`: WebSocket in Hornbeam and in uvicorn, one worker each, in the same run.

Idle memory of the whole process tree per connection, echoed messages per second, and one message
published to many: in Hornbeam by `hornbeam_erlang.publish`, in uvicorn by Redis, with a
subscription for each WebSocket or a shared one (bench/apps/websocket_fanout.py). The load comes
from websocket_load.c. Writes bench/results/websocket.md with --write.
"""

from __future__ import annotations

import argparse
import datetime
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from compare import RESULTS, ROOT, Candidate, hornbeam, interleave, machine, running, uvicorn

APP = "websocket_fanout:app"
# The load client answers no pings.
OURS = hornbeam(
    APP, "--websocket-ping-interval", "infinity", "--websocket-timeout", "infinity",
    # A WebSocket counts for max_concurrency as long as it is open.
    "--max-connections", "infinity", "--max-concurrency", "100000",
)  # fmt: skip
PEER = uvicorn(APP, "--ws-ping-interval", "100000")
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
            if process.stdout.readline() != b"ready\n":
                sys.exit("the connections could not be opened")
            yield
            process.stdin.close()


def idle_memory(command: Sequence[str], load: Load, connections: int) -> float:
    """Bytes for each idle connection, in the server's processes together."""
    with running(command) as port:
        tree = _listeners_tree(port)
        with load.idle(port, 200):  # what the first ones cost is not theirs
            time.sleep(SETTLE)
            before = sum(map(_resident, tree()))
            with load.idle(port, connections):
                time.sleep(SETTLE)
                after = sum(map(_resident, tree()))
    return (after - before) / connections


def _listeners_tree(port: int) -> Callable[[], list[int]]:
    """The processes of the server that this process started with that port on its command line."""
    own = os.getpid()
    for child in _children(own):
        line = Path(f"/proc/{child}/cmdline").read_bytes().decode()
        if str(port) in line:
            return lambda: [child, *_below(child)]
    sys.exit(f"no process serves port {port}")


def _children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def _below(pid: int) -> Iterator[int]:
    for child in _children(pid):
        yield child
        yield from _below(child)


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def redis(folder: Path) -> Iterator[Path]:
    """A Redis of its own, on a socket, which keeps nothing."""
    path = folder / "redis.sock"
    server = shutil.which("redis-server")
    if server is None:
        sys.exit("redis-server is missing: python3 tools/setup.py bench")
    process = subprocess.Popen(
        [server, "--port", "0", "--unixsocket", str(path), "--save", "", "--maxclients", "10000"],
        stdout=subprocess.DEVNULL,
    )
    try:
        while not path.exists():
            time.sleep(0.05)
        yield path
    finally:
        process.terminate()
        process.wait(10)


def with_redis(path: Path, pattern: str) -> list[str]:
    """uvicorn's command with the application's ways of publishing."""
    return ["env", f"BENCH_REDIS={path}", f"BENCH_PATTERN={pattern}", *PEER]


def memory_lines(options: argparse.Namespace, load: Load) -> list[str]:
    """Idle connections."""
    ours = idle_memory(OURS, load, options.connections)
    peer = idle_memory(PEER, load, options.connections)
    return [
        f"| {options.connections:,} idle: bytes each | {ours:,.0f} | {peer:,.0f} | "
        f"**{ours / peer:.2f}** | | at most {AIM_MEMORY} |"
    ]


def rate_line(
    what: str, ours: Candidate, peer: Candidate, options: argparse.Namespace, aim: str,
    measure: Callable[[int], float],
) -> str:  # fmt: skip
    """One row of the table, from interleaved rounds."""
    interleave([ours, peer], options.rounds, measure)
    ratios = [a / b for a, b in zip(ours.rates, peer.rates, strict=True)]
    return (
        f"| {what} | {ours.median:,.0f} | {peer.median:,.0f} | "
        f"**{statistics.median(ratios):.1f}** | {min(ratios):.1f} to {max(ratios):.1f} | {aim} |"
    )


def fanout_line(
    count: int, pattern: str, path: Path, options: argparse.Namespace, load: Load
) -> Iterator[str]:
    """Deliveries per second, and what they mean for the last subscriber."""
    ours = Candidate("hornbeam", OURS)
    peer = Candidate("uvicorn", with_redis(path, pattern))
    name = {"each": "a subscription each", "shared": "a shared subscription"}[pattern]

    def measure(port: int) -> float:
        return load.rate("fanout", port, count, options.messages, 100)

    yield rate_line(f"to {count:,} (Redis: {name}): deliveries/s", ours, peer, options,
                    f"at least {AIM_FANOUT:g}", measure)  # fmt: skip
    last = [count / candidate.median * 1000 for candidate in (ours, peer)]
    yield f"| - until the last has it, ms | {last[0]:.0f} | {last[1]:.0f} | | | |"


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
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    options.connections = min(options.connections, hard - 1000)
    lines = [
        "| | Hornbeam | uvicorn | ratio | rounds' ratios | aim |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as name, redis(Path(name)) as path:
        load = Load(Path(name))
        lines += memory_lines(options, load)
        lines.append(
            rate_line("echo, 64 connections, 32 bytes: messages/s",
                      Candidate("hornbeam", OURS), Candidate("uvicorn", PEER),
                      options, "", lambda port: load.rate("echo", port, 64, options.seconds, 32))
        )  # fmt: skip
        for count in options.subscribers:
            for pattern in ("each", "shared"):
                lines += fanout_line(count, pattern, path, options, load)
    shares = ", ".join(f"{kind} {statistics.median(s):.2f}" for kind, s in load.shares.items())
    lines += ["", f"The load client's own share of a core (median): {shares}."]
    report = "\n".join(lines)
    print(report)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "websocket.md").write_text(
            f"# WebSocket next to uvicorn (uvloop; Redis for publish/subscribe)\n\n"
            f"`make bench-websocket`: one worker each, {options.rounds} interleaved rounds, "
            f"medians; {options.messages} messages of 100 bytes are published one after the "
            f"other, each when the last has arrived everywhere.\n\n{report}\n\n"
            f"{datetime.date.today().isoformat()}; {machine()}.\n"
        )


if __name__ == "__main__":
    main()
