"""Figures of servers side by side: taken in interleaved rounds, told as medians, spread and ratios.

Shared cores are noisy: only what was measured in one run, in rounds whose order alternates, is
compared, and round by round. No processes in here; `measure` is the caller's.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = [
    "Entry", "Trouble", "interleave", "number", "percentile", "percentiles", "ratio", "ratios",
    "spread",
]  # fmt: skip


class Trouble(Exception):
    """Why a server could not be measured, for the report."""


@dataclass
class Entry:
    """A server in a comparison: what was measured, one value a round; or why that failed."""

    name: str
    figures: dict[str, list[float]] = field(default_factory=dict)
    failed: str = ""

    def note(self, found: Mapping[str, float]) -> None:
        """Adds the figures of a round."""
        for name, value in found.items():
            self.figures.setdefault(name, []).append(value)

    def median(self, figure: str) -> float:
        """Of all rounds."""
        return statistics.median(self.figures[figure])


def interleave(
    entries: Sequence[Entry], rounds: int, measure: Callable[[str], Mapping[str, float]]
) -> None:
    """Measures each by its name once a round; one that is in trouble is not asked again."""
    for count in range(rounds):
        for entry in entries if count % 2 == 0 else reversed(entries):
            if not entry.failed:
                try:
                    entry.note(measure(entry.name))
                except Trouble as trouble:
                    entry.failed = str(trouble)


def ratios(ours: Iterable[float], theirs: Iterable[float]) -> list[float]:
    """Ours to theirs, round by round; without rounds in which theirs is nothing."""
    return [a / b for a, b in zip(ours, theirs, strict=True) if b]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The least value that `share` (0 to 1) of all do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def percentiles(values: Iterable[float]) -> dict[str, float]:
    """The three that are reported, by the names that they are reported under."""
    ordered = sorted(values)
    return {
        f"{name}, ms": percentile(ordered, share)
        for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
    }


def number(value: float) -> str:
    """Three digits or more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values: Sequence[float]) -> str:
    """The median (least to largest)."""
    middle = number(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({number(min(values))} to {number(max(values))})"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """The median of the rounds' ratios (least to largest)."""
    found = ratios(ours, theirs)
    if not found:
        return "-"
    text = f"**{statistics.median(found):.2f}**"
    return text if len(found) == 1 else f"{text} ({min(found):.2f} to {max(found):.2f})"
