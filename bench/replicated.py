"""The replicated state beside etcd and Redis, in one run: `make bench-cluster`.

Three nodes of each on this machine, all of them running all the time, their files on one disk.
Each round measures every case once, one after the other; the figures are medians of the rounds,
with the smallest and the largest. Then what being in a cluster costs a node: its own state, CPU
time and memory at rest; and the join of a node to a state of --keys keys. Writes
bench/results/cluster.md with --write; --smoke is a short form whose figures say nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import commit, first_line, shape
from processes import cpu, pss
from servers import APPS, RESULTS, ROOT

sys.path[:0] = [str(ROOT / "python_tests"), str(APPS)]

from cluster_peers import Etcd, Nodes, Redis, Requests, Sample, System, ask, nodes  # noqa: E402
from harness import Hornbeam  # noqa: E402

NAMES = {
    "hornbeam": "Hornbeam",
    "insecure": "Hornbeam without TLS",
    "requests": "Hornbeam, an HTTP request each",
    "etcd": "etcd",
    "always": "Redis, WAIT 1, appendfsync always",
    "everysec": "Redis, WAIT 1, appendfsync everysec",
}
OPERATIONS = {
    "set": ("Writes", "100-byte values."),
    "get": ("Linearizable reads", "Redis has no such reads."),
    "local": ("Reads that may be old", "Of etcd: serializable. Of Redis: all."),
}
# Of each operation, who does it.
WHO = {
    "set": tuple(NAMES),
    "get": ("hornbeam", "insecure", "etcd"),
    "local": ("hornbeam", "insecure", "etcd", "always"),
}
# Times etcd's throughput, and the part of its p99.
GOALS = (1.0, 0.5)

Samples = dict[tuple[str, str, int], list[Sample]]


@dataclass
class Rest:
    """Of a node: percent of a core, MiB of memory, state_incr a second."""

    cpu: float
    memory: float
    rates: list[float]


@dataclass
class Join:
    """Of an empty node to a state of so many keys."""

    keys: int
    filled: float
    joined: float
    longest: float
    writes: int
    memory: list[int]


def compare(folder: Path, rounds: int, seconds: float, clients: Iterable[int]) -> Samples:
    """Every case in every round."""
    samples: Samples = {}
    with ExitStack() as stack:
        ours = stack.enter_context(nodes(folder / "hornbeam"))
        systems: dict[str, System] = {
            "hornbeam": ours,
            "insecure": stack.enter_context(nodes(folder / "insecure", secure=False)),
            "requests": Requests(ours),
            "etcd": stack.enter_context(Etcd(folder / "etcd")),
            "always": stack.enter_context(Redis(folder / "always", "always")),
            "everysec": stack.enter_context(Redis(folder / "everysec", "everysec")),
        }
        for _ in range(rounds):
            for operation, who in WHO.items():
                for number in clients:
                    for name in who:
                        found = systems[name].measure(operation, number, seconds)
                        print(operation, number, name, found, file=sys.stderr, flush=True)
                        samples.setdefault((operation, name, number), []).append(found)
    return samples


def at_rest(folder: Path, rounds: int, seconds: float, pause: float) -> dict[str, Rest]:
    """One node of a cluster, and one that is in none, at the same time."""
    options: dict[str, Any] = {"pythonpath": str(APPS), "lifespan": "off", "workers": 1}
    with nodes(folder / "rest") as ours, Hornbeam("cluster:app", **options) as alone:
        ours.leader()
        member = ours.cluster.nodes[0].running
        both = {"none": alone, "member": member}
        rates: dict[str, list[float]] = {name: [] for name in both}
        for _ in range(rounds):
            for name, server in both.items():
                rates[name].append(_rate(server, seconds))
        before = {name: cpu(server.pid).all for name, server in both.items()}
        time.sleep(pause)
        return {
            name: Rest(
                (cpu(server.pid).all - before[name]) / pause / 1e4,
                pss(server.beam()) / 2**20,
                rates[name],
            )
            for name, server in both.items()
        }


def _rate(server: Hornbeam, seconds: float) -> float:
    import httpx

    answer = httpx.get(f"{server.url}/state_incr/1/{seconds}", timeout=60).raise_for_status()
    return float(answer.json()["rate"])


def join(folder: Path, keys: int) -> Join:
    """A third node comes to two that have so many keys, while one client writes to them."""
    options: dict[str, Any] = {"cluster_size": 2, "cluster_max_bytes": keys * 400 + 2**28}
    with nodes(folder / "join", started=2, **options) as late:
        leader, third = late.leader(), late.cluster.nodes[2]
        begun = time.perf_counter()
        ask(leader, f"/fill/0/{keys}")
        filled = time.perf_counter() - begun
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(_write_until, late, third, begun := time.perf_counter())
            third.start()
            joined, longest, writes = writing.result()
        return Join(keys, filled, joined, longest, writes, late.pss())


def _write_until(late: Nodes, third: Any, begun: float) -> tuple[float, float, int]:
    """Writes on the leader until the third votes: when that was, the longest, how many."""
    leader, longest, writes = late.leader(), 0.0, 0
    while True:
        found = ask(leader, "/set/1/1")
        longest, writes = max(longest, found["max"]), writes + round(found["rate"])
        if third.server is not None and third.server.url:
            info = ask(third, "/info")
            if info["phase"] == "joined" and info["membership"] == "voter":
                return time.perf_counter() - begun, longest, writes


def table(samples: Samples, operation: str, clients: Iterable[int]) -> list[str]:
    """Of one operation."""
    title, about = OPERATIONS[operation]
    lines = [
        "", f"## {title}", "", about, "",
        "| clients | | per second | p50 ms | p99 ms | µs of CPU each |",
        "| ---: | --- | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    for number in clients:
        for name in WHO[operation]:
            row = samples[operation, name, number]
            cells = [
                _spread(row, lambda each: each.rate, 0),
                _spread(row, lambda each: each.p50, 2),
                _spread(row, lambda each: each.p99, 2),
                f"{statistics.median(each.cpu for each in row):.0f}",
            ]
            lines.append(f"| {number} | {NAMES[name]} | {' | '.join(cells)} |")
    return lines


def _spread(row: list[Sample], get: Callable[[Sample], float], digits: int) -> str:
    values = [get(each) for each in row]
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def against_etcd(samples: Samples, clients: Iterable[int]) -> list[str]:
    """The goals."""
    goals = f"at least {GOALS[0]:g} times, at most {GOALS[1]:g} of its p99"
    lines = ["", f"Writes against etcd (goals: {goals}):", ""]

    for number in clients:
        ours, theirs = (samples["set", name, number] for name in ("hornbeam", "etcd"))
        rate = _median(ours, "rate") / _median(theirs, "rate")
        p99 = _median(ours, "p99") / _median(theirs, "p99")
        lines.append(
            f"- {number} client{'s' if number > 1 else ''}: {rate:.1f} times its writes a second, "
            f"{p99:.2f} of its p99"
        )
    return lines


def _median(row: list[Sample], name: str) -> float:
    return statistics.median(float(getattr(each, name)) for each in row)


def report(
    samples: Samples, clients: list[int], rest: dict[str, Rest], joined: Join, origin: str
) -> str:
    """bench/results/cluster.md."""
    lines = [
        "# The replicated state beside etcd and Redis", "",
        "<!-- Written by `make bench-cluster`. -->", "", origin, "",
        "Three nodes of each on this machine, asked at the one that leads; `bench/replicated.py`",
        "and `bench/cluster_peers.py` say what is measured and with which clients. Medians of",
        "interleaved rounds (smallest to largest). CPU time is that of all processes of the",
        "system; of Hornbeam's the clients as well, which run in its worker. A write of Hornbeam",
        "and of etcd is on the disks of two nodes when it is answered; one of Redis on the disk of",
        "one and in the memory of another, and with `everysec` in memory alone.",
    ]  # fmt: skip
    for operation in OPERATIONS:
        lines += table(samples, operation, clients)
        if operation == "set":
            lines += against_etcd(samples, clients)
    member, none = rest["member"], rest["none"]
    medians = statistics.median(member.rates), statistics.median(none.rates)
    lines += [
        "", "## What it costs to be in a cluster", "",
        "| | state_incr per second | CPU at rest, % of a core | memory of the VM, MiB |",
        "| --- | ---: | ---: | ---: |",
        f"| in a cluster of three | {medians[0]:,.0f} | {member.cpu:.2f} | {member.memory:.0f} |",
        f"| in none | {medians[1]:,.0f} | {none.cpu:.2f} | {none.memory:.0f} |",
        "", "## An empty node joins", "",
        f"{joined.keys:,} keys with 100-byte values, written in {joined.filled:.0f} s to two",
        f"nodes: a third votes {joined.joined:.1f} s after its start. Meanwhile one client made",
        f"{joined.writes:,} writes, of which the longest took {joined.longest:,.0f} ms. Memory of",
        f"the VMs: {', '.join(f'{size / 2**20:,.0f} MiB' for size in joined.memory)}.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def origin() -> str:
    """What the figures were measured on."""
    server = first_line("redis-server", "--version").partition("v=")[2].split()[0]
    etcd = first_line("etcd", "--version").rpartition(" ")[2]
    load = f"load average before: {os.getloadavg()[0]:.1f}"
    return f"{shape()}; etcd {etcd}, Redis {server}; Hornbeam at {commit()}; {load}."


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 16, 64])
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--rest", type=float, default=30.0, help="seconds")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.smoke:
        options.rounds, options.seconds, options.clients = 1, 1, [4]
        options.keys, options.rest = 2000, 1
    measured_on = origin()
    with tempfile.TemporaryDirectory(prefix="bench-cluster-") as made:
        folder = Path(made)
        samples = compare(folder, options.rounds, options.seconds, options.clients)
        rest = at_rest(folder, options.rounds, options.seconds, options.rest)
        joined = join(folder, options.keys)
    text = report(samples, options.clients, rest, joined, measured_on)
    print(text)
    if options.write:
        (RESULTS / "cluster.md").write_text(text)


if __name__ == "__main__":
    main()
