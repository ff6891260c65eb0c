"""What a hit of cached_inference costs beside redis-py's GET and functools.lru_cache, in one run.

    python bench/cache.py --rounds 5

Each round measures every case once; the figures are medians. Redis is on loopback, as in state.py.
"""

from __future__ import annotations

import argparse
import statistics

from state import HOWS, Figures, ask, hornbeam, origin, redis_aio, redis_server, redis_sync
from state import uvloop_run as run


def compare(rounds: int, seconds: float) -> Figures:
    """Every case in every round: calls per second."""
    figures: Figures = {}
    with redis_server() as port, hornbeam() as server:
        for _ in range(rounds):
            for how in HOWS:
                found = {"hit": ask(server, f"/hit/{how}/{seconds}")["rate"]}
                if how == "aio":
                    found["redis"] = run(redis_aio(port, "get", seconds, False))
                else:
                    found["redis"] = redis_sync(port, "get", how, seconds)
                    found["lru"] = ask(server, f"/lru/{how}/{seconds}")["rate"]
                for name, rate in found.items():
                    figures.setdefault((name, "get", how), []).append(rate)
    return figures


def report(figures: Figures) -> str:
    """Microseconds for each call."""
    lines = [
        "| how | cached_inference, a hit | redis-py, GET | functools.lru_cache, a hit |",
        "| --- | ---: | ---: | ---: |",
    ]
    for how, text in HOWS.items():
        cells = [
            f"{1e6 / statistics.median(rates):.2f}" if rates else ""
            for name in ("hit", "redis", "lru")
            for rates in [figures.get((name, "get", how), [])]
        ]
        lines.append(f"| {text} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    measured_on = origin()
    print(f"{measured_on} µs for each call.\n")
    print(report(compare(options.rounds, options.seconds)))


if __name__ == "__main__":
    main()
