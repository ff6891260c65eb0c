"""What it costs that something spreads over nodes: `python bench/spread.py`.

Three nodes on this machine, with TLS. Writes bench/results/spread.md: calls of `cached_inference`
and of rate limits, timed inside one worker, one at a time and 32 at once; what a node that does not
read (SIGSTOP) means for one that publishes: how long a call of `publish` takes, how much the
publisher's VM grows.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
from machine import shape
from servers import RESULTS, ROOT

sys.path[:0] = [str(ROOT / "python_tests"), str(ROOT / "bench" / "apps")]

from cluster.nodes import Cluster, Node  # noqa: E402  (the path must be set first)
from harness import wait_until  # noqa: E402

MESSAGE = 10_000
FORMS = (1, 32)


def ask(node: Node, name: str, *arguments: Any) -> Any:
    return httpx.post(f"{node.url}/{name}", json=arguments, timeout=300).json()


def resident(node: Node) -> int:
    """Bytes of a node's VM."""
    pages = int(Path(f"/proc/{node.running.beam()}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def calls(cluster: Cluster, times: int) -> list[str]:
    """The table of calls."""
    one, other, _ = cluster.nodes
    lines = [
        "| call | at once | a second | p50, µs | p99, µs |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for form in FORMS:
        name = f"keys {form}"
        found = {
            "a miss, not shared": ask(one, "cached", f"own {form}", times, False, form),
            "a miss, shared": ask(one, "cached", name, times, True, form),
            "fetched from another node": ask(other, "cached", name, times, True, form),
            "a hit of what was fetched": ask(other, "cached", name, times, True, form),
            **{
                f'`RateLimit(scope="{scope}")`': ask(one, "limited", scope, times, form)
                for scope in ("node", "cluster", "exact")
            },
        }
        lines += [
            f"| {call} | {form} | {figures['rate']:,.0f} | {figures['p50']:,.0f} |"
            f" {figures['p99']:,.0f} |"
            for call, figures in found.items()
        ]
    return lines


def stopped(cluster: Cluster, megabytes: int) -> list[str]:
    """A node that does not read, and one that publishes."""
    one, other, third = cluster.nodes
    for node in (other, third):
        ask(node, "listen", "topic")
    wait_until(lambda: ask(one, "publish", "topic", 1, 1)["reached"], 20, "it is known who listens")
    count = megabytes * 1_000_000 // MESSAGE
    lines = [
        f"| {megabytes} MB in messages of {MESSAGE:,} bytes"
        " | median, µs | longest, ms | the VM grows by |",
        "| --- | ---: | ---: | ---: |",
    ]
    ask(one, "publish", "topic", count, MESSAGE)
    for what in ("all read", "one is stopped"):
        before = resident(one)
        if what == "one is stopped":
            os.kill(third.running.beam(), signal.SIGSTOP)
        took = ask(one, "publish", "topic", count, MESSAGE)
        grown = resident(one) - before
        lines.append(
            f"| {what} | {took['median'] * 1e6:.0f} | {took['longest'] * 1e3:.1f} |"
            f" {grown / 1e6:.1f} MB |"
        )
    os.kill(third.running.beam(), signal.SIGCONT)
    return lines


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=3000)
    parser.add_argument("--megabytes", type=int, default=100)
    options = parser.parse_args()
    measured_on = f"{shape()}; load average before: {os.getloadavg()[0]:.1f}."
    with (
        tempfile.TemporaryDirectory() as folder,
        Cluster(
            "spread:app",
            Path(folder),
            workers=1,
            lifespan="off",
            env={"PYTHONPATH": str(ROOT / "bench" / "apps")},
        ) as cluster,
    ):
        wait_until(lambda: _is_whole(cluster), 30, "the cluster is whole")
        tables = [
            "\n".join(calls(cluster, options.times)),
            "\n".join(stopped(cluster, options.megabytes)),
        ]
    text = "# What spreads over nodes\n\n<!-- Written by `python bench/spread.py`. -->\n\n"
    text += f"{measured_on} Three nodes, TLS, one worker each.\n\n" + "\n\n".join(tables) + "\n"
    print(text)
    (RESULTS / "spread.md").write_text(text)


def _is_whole(cluster: Cluster) -> bool:
    figures = httpx.get(f"http://{cluster.nodes[0].address}:{cluster.metrics_port}/metrics").text
    return all(
        line in figures
        for line in ('hornbeam_cluster_nodes{state="up"} 3', "hornbeam_cluster_quorum 1")
    )


if __name__ == "__main__":
    main()
