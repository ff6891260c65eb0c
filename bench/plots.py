"""The results as pictures: ratios of throughput, latencies at a fixed rate, CPU time of a request.

SVG whose text stays text, the same bytes for the same figures.
"""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
from figures import Entry, ratios
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from report import Origin, Outcome
from scenarios import CPU, PYTHON, RATE, VM

__all__ = ["draw"]

COLOURS = {"hornbeam": "#d55e00", "uvicorn": "#0072b2", "granian": "#009e73",
           "hypercorn": "#cc79a7", "nginx+uvicorn": "#56b4e9", "before": "#999999"}  # fmt: skip
LATENCY = "at 80%: "
PARTS = ("p50, ms", "p99, ms", "p99.9, ms")


def draw(outcomes: Sequence[Outcome], origin: Origin, folder: Path) -> list[str]:
    """Draws what there are figures for; the files' names."""
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9})
    pictures: list[tuple[str, str, str, Callable[[Axes, Sequence[Outcome]], None]]] = [
        ("throughput.svg", "Hornbeam's requests/s, times each peer's", RATE, _ratios),
        ("latency.svg", "Latency at a fixed rate, 80 % of what the slowest bears: p50, p99, p99.9",
         LATENCY + PARTS[0], _latencies),
        ("cpu.svg", "CPU time of a request, all processes together", CPU, _cpu),
    ]  # fmt: skip
    made = []
    for name, title, figure, fill in pictures:
        chosen = [one for one in outcomes if len(_with(one, figure)) > 1]
        if not chosen:
            continue
        height = 1.6 + 0.75 * len(chosen)
        picture = Figure(figsize=(9, height))
        axes = picture.subplots()
        fill(axes, chosen)
        axes.set_title(title, loc="left")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
        picture.text(0.01, 0.005, textwrap.fill(str(origin).replace("`", ""), 150), fontsize=6)
        picture.tight_layout(rect=(0, 0.5 / height, 1, 1))
        picture.savefig(folder / name, metadata={"Date": None, "Creator": None})
        made.append(name)
    return made


def _with(outcome: Outcome, figure: str) -> list[Entry]:
    """Those that are drawn: WSGI and static files, with other servers, have pages of their own."""
    return [
        entry
        for entry in outcome.entries
        if entry.name in COLOURS and not entry.failed and figure in entry.figures
    ]


def _places(axes: Axes, outcomes: Sequence[Outcome], names: Sequence[str]) -> tuple[float, ...]:
    """A group of bars for each scenario, from the top; the offset of each name in its group."""
    axes.set_yticks(range(len(outcomes)), [one.key for one in outcomes])
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    return tuple(0.8 * ((at + 0.5) / len(names) - 0.5) for at in range(len(names)))


def _names(outcomes: Sequence[Outcome], figure: str) -> list[str]:
    return list(dict.fromkeys(entry.name for one in outcomes for entry in _with(one, figure)))


def _ratios(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    names = _names(outcomes, RATE)[1:]
    for name, offset in zip(names, _places(axes, outcomes, names), strict=True):
        where, middles, below, above = [], [], [], []
        for at, outcome in enumerate(outcomes):
            ours, *peers = _with(outcome, RATE)
            for peer in peers:
                if peer.name == name:
                    found = ratios(ours.figures[RATE], peer.figures[RATE])
                    middle = statistics.median(found)
                    where.append(at + offset)
                    middles.append(middle)
                    below.append(middle - min(found))
                    above.append(max(found) - middle)
        axes.barh(where, middles, 0.8 / len(names), xerr=[below, above], label=name,
                  color=COLOURS[name], error_kw={"elinewidth": 0.8})  # fmt: skip
    axes.axvline(1, color="black", linewidth=0.8)


def _latencies(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    names = _names(outcomes, LATENCY + PARTS[0])
    for name, offset in zip(names, _places(axes, outcomes, names), strict=True):
        label = name
        for at, outcome in enumerate(outcomes):
            for entry in _with(outcome, LATENCY + PARTS[0]):
                if entry.name == name:
                    values = [entry.median(LATENCY + part) for part in PARTS]
                    height = [at + offset] * len(PARTS)
                    axes.plot(values, height, color=COLOURS[name], linewidth=1, label=label)
                    for value, marker in zip(values, "os^", strict=True):
                        axes.plot([value], [at + offset], marker, color=COLOURS[name], markersize=5)
                    label = "_"
    axes.set_xscale("log")
    axes.set_xlabel("ms (circle p50, square p99, triangle p99.9)")


def _cpu(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    names = _names(outcomes, CPU)
    for name, offset in zip(names, _places(axes, outcomes, names), strict=True):
        split = any(VM in entry.figures for one in outcomes for entry in _with(one, CPU)
                    if entry.name == name)  # fmt: skip
        parts = {f"{name}: VM": VM, f"{name}: Python": PYTHON} if split else {name: CPU}
        lefts = [0.0] * len(outcomes)
        for alpha, (label, figure) in zip((1.0, 0.55), parts.items(), strict=False):
            widths = [
                next((e.median(figure) for e in _with(one, figure) if e.name == name), 0.0)
                for one in outcomes
            ]
            axes.barh([at + offset for at in range(len(outcomes))], widths, 0.8 / len(names),
                      left=lefts, label=label, color=COLOURS[name], alpha=alpha)  # fmt: skip
            lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
    axes.set_xlabel("us")
