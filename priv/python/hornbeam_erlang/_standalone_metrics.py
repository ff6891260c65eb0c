"""Metrics in the stand-in: what `hornbeam_app_metrics` does for all workers, for this process
alone. Called by: `_standalone`."""

from __future__ import annotations

from typing import Any

__all__ = ["Metrics"]

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """The metrics that were pushed, by name."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[str, list[float]]] = {}
        self._series: dict[tuple[str, Labels], Any] = {}

    def on_metrics_push(self, families: list[list[Any]]) -> None:
        """Adds what has changed."""
        for name, kind, _help, _mode, bounds, rows, _dropped in families:
            self._families.setdefault(name, (kind, bounds))
            for value, *flat in rows:
                labels = tuple(zip(flat[::2], flat[1::2], strict=True))
                self._change(kind, (name, labels), value)

    def _change(self, kind: str, key: tuple[str, Labels], value: Any) -> None:
        if kind == "gauge":
            if value is None:
                self._series.pop(key, None)
            else:
                self._series[key] = value
        elif kind == "counter":
            self._series[key] = self._series.get(key, 0) + value
        else:
            before = self._series.get(key, [0] * len(value))
            self._series[key] = [old + new for old, new in zip(before, value, strict=True)]

    def on_metrics_read(self) -> list[list[Any]]:
        """All lines, as `hornbeam_service_metrics` has them."""
        lines: list[list[Any]] = []
        for name, (kind, bounds) in sorted(self._families.items()):
            found = sorted(
                (labels, value) for (n, labels), value in self._series.items() if n == name
            )
            for labels, value in found:
                lines += _lines(name, kind, bounds, [list(pair) for pair in labels], value)
        return lines


def _lines(
    name: str, kind: str, bounds: list[float], labels: list[list[str]], value: Any
) -> list[list[Any]]:
    if kind == "counter":
        return [[f"{name}_total", kind, labels, value]]
    if kind == "gauge":
        return [[name, kind, labels, value]]
    total, *counts = value
    below, lines = 0, []
    for bound, count in zip([*map(repr, bounds), "+Inf"], counts, strict=False):
        below += count
        if kind == "histogram":
            lines.append([f"{name}_bucket", kind, [*labels, ["le", bound]], below])
    lines.append([f"{name}_sum", kind, labels, total])
    lines.append([f"{name}_count", kind, labels, below])
    return lines
