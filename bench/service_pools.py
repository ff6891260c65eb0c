"""Service pools: what a call costs, what batches gain, what large arguments cost: `make
bench-services`.

Each round measures every case once, one after the other; the figures are medians of the rounds.
Writes bench/results/services.md. The model of the batches waits instead of computing, so that only
what is around it takes the processors.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from typing import Any

import httpx
from machine import shape
from servers import RESULTS, ROOT

sys.path[:0] = [str(ROOT / "python_tests"), str(ROOT / "bench" / "apps")]

from harness import Hornbeam  # noqa: E402  (the path must be set first)

KIB = 1024
SIZES = [KIB, 32 * KIB, 256 * KIB, 1024 * KIB, 16 * 1024 * KIB]
WIDTHS = [1, 8, 32, 64]

Case = tuple[tuple[str, Any], ...]


def cases() -> list[dict[str, Any]]:
    calls = [{"what": what, "width": width} for what in ("plain", "quick") for width in (1, 100)]
    streams = [{"what": what} for what in ("tokens", "atokens")]
    batches = [{"what": what, "width": width} for what in ("single", "batch") for width in WIDTHS]
    large = [{"what": what, "size": size} for what in ("beside", "packed") for size in SIZES]
    return calls + streams + batches + large


def key(case: dict[str, Any]) -> Case:
    return tuple(sorted(case.items()))


def run(rounds: int, seconds: float) -> dict[Case, dict[str, float]]:
    """Every case in every round; the medians."""
    found: dict[Case, list[dict[str, float]]] = {}
    with Hornbeam(
        "pools:app",
        pythonpath=str(ROOT / "bench" / "apps"),
        lifespan="off",
        timeout=0,
        service="bench=pools:Bench;concurrency=100",
    ) as server:
        for _ in range(rounds):
            for case in cases():
                answer = httpx.post(server.url, json={**case, "seconds": seconds}, timeout=120)
                found.setdefault(key(case), []).append(answer.raise_for_status().json())
    return {
        case: {name: statistics.median(one[name] for one in figures) for name in figures[0]}
        for case, figures in found.items()
    }


def report(found: dict[Case, dict[str, float]], load: float) -> str:
    def of(**case: Any) -> dict[str, float]:
        return found[key(case)]

    lines = [
        "# Service pools", "", "<!-- Written by `make bench-services`. -->", "",
        f"{shape()}; load average before: {load:.1f}.", "",
        "Medians of rounds; one worker calls one process of a service.", "",
        "## A small call", "",
        "| method | at a time | calls per s | ms each |", "| --- | ---: | ---: | ---: |",
    ]  # fmt: skip
    for what, name in (("plain", "plain, in a thread"), ("quick", "async")):
        for width in (1, 100):
            one = of(what=what, width=width)
            lines.append(f"| {name} | {width} | {one['rate']:,.0f} | {one['p50']:.2f} |")
    lines += [
        "",
        "## A stream of short values",
        "",
        "| generator | values per s |",
        "| --- | ---: |",
    ]
    for what, name in (("tokens", "plain, in a thread"), ("atokens", "async")):
        lines.append(f"| {name} | {of(what=what)['rate']:,.0f} |")
    lines += [
        "", "## Batches", "",
        "A model that takes 4 ms a run and 0.1 ms an item, one run at a time;"
        " `@batched(max_size=32, max_wait_ms=2)`.", "",
        "| callers | one by one: calls per s | ms each | batched: calls per s | ms each | times |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    for width in WIDTHS:
        one, many = of(what="single", width=width), of(what="batch", width=width)
        lines.append(
            f"| {width} | {one['rate']:,.0f} | {one['p50']:.1f} | {many['rate']:,.0f} "
            f"| {many['p50']:.1f} | {many['rate'] / one['rate']:.1f} |"
        )
    lines += [
        "", "## Large arguments", "",
        "One `bytes` to a method that sums it up: beside the message, as it is sent from 32 KiB"
        " on, and in it (msgpack).", "",
        "| bytes | beside it: ms a call | in it: ms a call | times |",
        "| ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    for size in SIZES:
        beside, packed = of(what="beside", size=size), of(what="packed", size=size)
        times = packed["p50"] / beside["p50"]
        lines.append(f"| {size:,} | {beside['p50']:.2f} | {packed['p50']:.2f} | {times:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each case")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    found = run(arguments.rounds, arguments.seconds)
    text = report(found, load)
    (RESULTS / "services.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
