"""What an application counts with prometheus_client, for Erlang to add up over the workers.

Called by `bridges`. The registry of this process is looked at before each push; what has changed is
pushed as if it had been counted with `hornbeam_erlang.metrics`. So a registry stays what it is for
one process, and no files are shared.

Over the workers counters, histograms and summaries are sums, a gauge is what its multiprocess_mode
says: max, min, mostrecent, else the sum. What prometheus_client says of the process itself
(process_*, python_*) is left out, and so are names that begin with hornbeam_. Letters of names that
not every Prometheus takes (dots, for instance) are underscores.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from prometheus_client import REGISTRY

from hornbeam_erlang._metrics import Family

__all__ = ["Source", "attach"]

_MODES: Final = {"max": "max", "livemax": "max", "min": "min", "livemin": "min"}
_LAST: Final = ("mostrecent", "livemostrecent")
_LEGAL: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,189}")
_NOT_OURS: Final = ("process_", "python_", "hornbeam_")

Labels = tuple[tuple[str, str], ...]


def attach(_wanted: bool) -> Source:
    """A source, of the registry that prometheus_client takes where none is named."""
    return Source()


class Source:
    """What is new in a registry each time that it is called."""

    def __init__(self, registry: Any = REGISTRY) -> None:
        self._registry = registry
        # What was there the last time: numbers by the name of their metric and labels.
        self._before: dict[tuple[str, Labels], list[float]] = {}

    def __call__(self) -> Iterable[tuple[Family, list[list[Any]]]]:
        there: set[tuple[str, Labels]] = set()
        for metric in self._registry.collect():
            if _legal(metric.name).startswith(_NOT_OURS):
                continue
            for family, series in _families(self._registry, metric):
                rows = []
                for labels, numbers in series:
                    there.add((family.name, labels))
                    if (row := self._row(family, labels, numbers)) is not None:
                        rows.append(row)
                legal = family._replace(name=_legal(family.name))
                yield legal, rows + self._gone(family, there)

    def _row(self, family: Family, labels: Labels, numbers: list[float]) -> list[Any] | None:
        key = (family.name, labels)
        before = self._before.get(key)
        if before == numbers or not all(map(math.isfinite, numbers)):
            return None
        self._before[key] = numbers
        if family.kind == "gauge":
            return [numbers[0], *_flat(labels)]
        last = before or [0.0] * len(numbers)
        # One that was cleared begins anew.
        cleared = family.kind == "counter" and numbers[0] < last[0]
        new = numbers if cleared or len(last) != len(numbers) else _less(numbers, last)
        if family.kind == "counter":
            return [new[0], *_flat(labels)]
        if min(new[1:]) < 0:
            new = numbers
        return [[new[0], *map(int, new[1:])], *_flat(labels)]

    def _gone(self, family: Family, there: set[tuple[str, Labels]]) -> list[list[Any]]:
        """Series of a gauge that the application has removed."""
        if family.kind != "gauge":
            return []
        gone = [key for key in self._before if key[0] == family.name and key not in there]
        for key in gone:
            del self._before[key]
        return [[None, *_flat(key[1])] for key in gone]


def _less(numbers: list[float], before: list[float]) -> list[float]:
    return [new - old for new, old in zip(numbers, before, strict=True)]


def _flat(labels: Labels) -> list[str]:
    return [part for name, value in labels for part in (_legal(name).replace(":", "_"), value)]


def _legal(name: str) -> str:
    """A name as every Prometheus takes it; newer clients allow any, with dots for instance."""
    if _LEGAL.fullmatch(name):
        return name
    return re.sub(r"[^a-zA-Z0-9_:]", "_", name if name[:1].isalpha() else f"_{name}")[:190]


def _families(
    registry: Any, metric: Any
) -> Iterator[tuple[Family, list[tuple[Labels, list[float]]]]]:
    """A metric of the registry as we have them."""
    text = metric.documentation
    if metric.type == "counter":
        yield Family(metric.name, "counter", text), list(_named(metric, f"{metric.name}_total"))
    elif metric.type == "histogram":
        bounds, series = _histogram(metric)
        yield Family(metric.name, "histogram", text, "", bounds), series
    elif metric.type == "summary":
        counts = dict(_named(metric, f"{metric.name}_count"))
        sums = _named(metric, f"{metric.name}_sum")
        yield (
            Family(metric.name, "summary", text),
            [(labels, [*total, *counts.get(labels, [0.0])]) for labels, total in sums],
        )
    elif metric.type == "info":
        name = f"{metric.name}_info"
        yield Family(name, "gauge", text, "max"), list(_named(metric, name))
    else:
        mode = "max" if metric.type == "stateset" else _mode(registry, metric.name)
        yield Family(metric.name, "gauge", text, mode), list(_named(metric, metric.name))


def _mode(registry: Any, name: str) -> str:
    """Of a gauge; a collector of the application's own has none."""
    collector = getattr(registry, "_names_to_collectors", {}).get(name)
    mode = getattr(collector, "_multiprocess_mode", "")
    return "last" if mode in _LAST else _MODES.get(mode, "sum")


def _named(metric: Any, name: str) -> Iterator[tuple[Labels, list[float]]]:
    for sample in metric.samples:
        if sample.name == name:
            yield tuple(sorted(sample.labels.items())), [sample.value]


def _histogram(metric: Any) -> tuple[tuple[float, ...], list[tuple[Labels, list[float]]]]:
    """Bounds, and for each series its sum and what each bucket has for itself."""
    bounds: set[float] = set()
    below: dict[Labels, dict[float, float]] = {}
    for sample in metric.samples:
        if sample.name == f"{metric.name}_bucket":
            labels = tuple(sorted(pair for pair in sample.labels.items() if pair[0] != "le"))
            bound = float(sample.labels["le"])
            below.setdefault(labels, {})[bound] = sample.value
            bounds.add(bound)
    sums = dict(_named(metric, f"{metric.name}_sum"))
    series = []
    for labels, counts in below.items():
        row, last = list(sums.get(labels, [0.0])), 0.0
        for bound in sorted(bounds | {math.inf}):
            now = counts.get(bound, last)
            row.append(now - last)
            last = now
        series.append((labels, row))
    return tuple(sorted(bounds - {math.inf})), series
