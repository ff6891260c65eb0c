"""What an application counts with OpenTelemetry's metrics API, for Erlang to add up over the
workers.

Called by `bridges`. A reader of the SDK that is collected before each push. An application that has
set a provider keeps it, and the reader is added to that. Where none is set, one is if the option
metrics_opentelemetry wants that, with the reader alone: from then on all libraries count that know
the API, FastAPI itself among them. Without the SDK the API counts nothing.

Names as Prometheus has them: what is no letter or digit is "_", the unit is a part of the name.
Counters and histograms are pushed as what was added since (temporality DELTA); up-down counters are
gauges whose sum it is, gauges are the value that was set last. Exponential histograms are
summaries.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from opentelemetry import metrics
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    MeterProvider,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
)
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricReader,
    MetricsData,
)

from hornbeam_erlang._metrics import Family

__all__ = ["attach"]

logger = logging.getLogger("hornbeam.metrics")

_DELTA: Final = AggregationTemporality.DELTA
_WHOLE: Final = AggregationTemporality.CUMULATIVE
_UNITS: Final = {
    "s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds",
    "min": "minutes", "h": "hours", "d": "days", "By": "bytes", "KiBy": "kibibytes",
    "MiBy": "mebibytes", "m": "meters", "g": "grams", "%": "percent", "Cel": "celsius",
    "1": "", "": "",
}  # fmt: skip


class _Reader(MetricReader):
    """Keeps what the SDK has collected."""

    def __init__(self) -> None:
        super().__init__(
            preferred_temporality={
                Counter: _DELTA,
                Histogram: _DELTA,
                ObservableCounter: _DELTA,
                UpDownCounter: _WHOLE,
                ObservableUpDownCounter: _WHOLE,
                ObservableGauge: _WHOLE,
            }
        )
        self.found: MetricsData | None = None

    def _receive_metrics(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> None:
        self.found = metrics_data

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Nothing is held."""


def attach(wanted: bool) -> Source | None:
    """A source, once there is a provider; `wanted`: one is set where there is none."""
    provider = metrics.get_meter_provider()
    if isinstance(provider, MeterProvider):
        reader = _Reader()
        add = getattr(provider, "add_metric_reader", None)
        if add is None:
            logger.warning(
                "OpenTelemetry's SDK is too old to add a reader to the application's provider"
            )
        else:
            add(reader)
        return Source(reader)
    if wanted and type(provider).__module__.startswith("opentelemetry.metrics"):
        reader = _Reader()
        metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))
        return Source(reader)
    return None


class Source:
    """What is new with a reader each time that it is called."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader
        # Gauges as they were the last time.
        self._before: dict[tuple[str, tuple[str, ...]], float] = {}

    def __call__(self) -> Iterable[tuple[Family, list[list[Any]]]]:
        self._reader.found = None
        self._reader.collect()
        found: MetricsData | None = self._reader.found
        if found is not None:
            for resource in found.resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        yield from self._families(metric)

    def _families(self, metric: Any) -> Iterator[tuple[Family, list[list[Any]]]]:
        data, name, text = metric.data, _name(metric), metric.description or ""
        points = data.data_points
        if hasattr(data, "is_monotonic"):
            if data.is_monotonic:
                rows = [[point.value, *_labels(point)] for point in points if point.value > 0]
                yield Family(name.removesuffix("_total"), "counter", text), rows
            else:
                yield Family(name, "gauge", text, "sum"), self._values(name, points)
        elif not hasattr(data, "aggregation_temporality"):
            yield Family(name, "gauge", text, "last"), self._values(name, points)
        else:
            by_bounds: dict[tuple[float, ...], list[list[Any]]] = {}
            for point in points:
                bounds = tuple(map(float, getattr(point, "explicit_bounds", ())))
                counts = list(getattr(point, "bucket_counts", (point.count,)))
                if point.count and math.isfinite(point.sum):
                    rows = by_bounds.setdefault(bounds, [])
                    rows.append([[point.sum, *counts], *_labels(point)])
            for bounds, rows in by_bounds.items():
                kind = "histogram" if bounds else "summary"
                yield Family(name, kind, text, "", bounds), rows

    def _values(self, name: str, points: Iterable[Any]) -> list[list[Any]]:
        rows = []
        for point in points:
            labels = _labels(point)
            key = (name, tuple(labels))
            if math.isfinite(point.value) and self._before.get(key) != point.value:
                self._before[key] = point.value
                rows.append([point.value, *labels])
        return rows


def _name(metric: Any) -> str:
    name = re.sub(r"[^a-zA-Z0-9_:]", "_", metric.name)
    unit = re.sub(r"\{[^}]*\}", "", metric.unit or "")
    word = _UNITS.get(unit)
    if word is None:
        word = re.sub(r"[^a-zA-Z0-9]+", "_", unit).strip("_")
    if word and not name.removesuffix("_total").endswith(word):
        name = f"{name.removesuffix('_total')}_{word}"
    return name if not name[0].isdigit() else f"_{name}"


def _labels(point: Any) -> list[str]:
    flat: list[str] = []
    for key in sorted(point.attributes or {}):
        flat += (re.sub(r"[^a-zA-Z0-9_]", "_", key), str(point.attributes[key])[:1000])
    return flat
