"""`make bench-smoke`: Hornbeam next to uvicorn, one worker each, in the same run.

Two applications: the raw ASGI hello (the server's own cost) and a FastAPI route that returns JSON
(what a user sees). 64 connections by wrk. Writes bench/results/smoke.md with --write.
"""

from __future__ import annotations

import argparse
import datetime
import statistics

from compare import RESULTS, Candidate, hornbeam, interleave, machine, uvicorn, wrk

# The application, and the least ratio that the project asks of itself.
CASES = {"hello:app": 0.8, "fast:app": 1.3}


def main() -> None:
    """Runs the comparison and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--write", action="store_true", help="write bench/results/smoke.md")
    options = parser.parse_args()
    lines = [
        "| application | Hornbeam (requests/s) | uvicorn (requests/s) | ratio | rounds | aim |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for app, aim in CASES.items():
        ours = Candidate("hornbeam", hornbeam(app))
        peer = Candidate("uvicorn", uvicorn(app))
        interleave([ours, peer], options.rounds, lambda port: wrk(port, options.seconds))
        ratios = [a / b for a, b in zip(ours.rates, peer.rates, strict=True)]
        lines.append(
            f"| {app} | {ours.median:,.0f} | {peer.median:,.0f} | "
            f"**{statistics.median(ratios):.2f}** | "
            f"{min(ratios):.2f} to {max(ratios):.2f} | {aim} |"
        )
    table = "\n".join(lines)
    print(table)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "smoke.md").write_text(
            f"# Next to uvicorn (uvloop, httptools)\n\n"
            f"`make bench-smoke`: one worker each, 64 connections (wrk), {options.rounds} "
            f"interleaved rounds of {options.seconds:g} s, medians.\n\n{table}\n\n"
            f"{datetime.date.today().isoformat()}; {machine()}.\n"
        )


if __name__ == "__main__":
    main()
