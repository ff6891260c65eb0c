"""An application's own metrics: counters, gauges and histograms, added up over all workers.

    from hornbeam_erlang import metrics

    orders = metrics.counter("shop_orders", "Orders by kind.", ["kind"])
    orders.inc(kind="book")

    waiting = metrics.gauge("shop_waiting", "Who waits in this worker.", mode="sum")
    waiting.set(3)

    seconds = metrics.histogram("shop_payment_seconds", "How long a payment takes.")
    with seconds.time():
        pay()

They are in /metrics of the server beside its own, and `hornbeam metrics` prints them. Calls take a
microsecond and wait for nobody: a thread pushes the sums to Erlang, each half second at most.
Where the process is no worker, nothing is pushed. Reference: docs/observability.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from hornbeam_erlang import _metrics
from hornbeam_erlang._client import call
from hornbeam_erlang._metrics import Family, Metric
from hornbeam_erlang._operations import OPERATIONS

__all__ = [
    "BUCKETS",
    "Counter",
    "Gauge",
    "Histogram",
    "Sample",
    "counter",
    "flush",
    "gauge",
    "histogram",
    "read",
]

# Upper bounds of a histogram's buckets, in seconds: those of the server's own.
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_MODES: Final = ("sum", "max", "min", "last")
_MOST_BUCKETS: Final = 200


class Counter:
    """Only grows. Erlang adds up what all workers have counted."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def inc(self, amount: float = 1, /, **labels: Any) -> None:
        """Adds to it. ValueError for a negative amount, and for labels that it does not have."""
        self._metric.add(self._metric.key(labels), amount)


class Gauge:
    """Goes up and down. Each worker has its own value; over all of them it is what its mode
    says."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def set(self, value: float, /, **labels: Any) -> None:
        """The value of this worker."""
        self._metric.put(self._metric.key(labels), value)

    def inc(self, amount: float = 1, /, **labels: Any) -> None:
        """Adds to the value of this worker."""
        self._metric.put(self._metric.key(labels), amount, add=True)

    def dec(self, amount: float = 1, /, **labels: Any) -> None:
        """Takes from the value of this worker."""
        self._metric.put(self._metric.key(labels), -amount, add=True)

    def remove(self, **labels: Any) -> None:
        """This worker has no such value any more."""
        self._metric.remove(self._metric.key(labels))


class Histogram:
    """How often values were observed, by buckets, and their sum."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def observe(self, value: float, /, **labels: Any) -> None:
        """Counts one value."""
        self._metric.observe(self._metric.key(labels), value)

    @contextmanager
    def time(self, **labels: Any) -> Iterator[None]:
        """Observes how many seconds the block has taken, whatever its end."""
        key = self._metric.key(labels)
        began = time.perf_counter()
        try:
            yield
        finally:
            self._metric.observe(key, time.perf_counter() - began)


class Sample(NamedTuple):
    """One line of /metrics."""

    name: str
    kind: str
    labels: dict[str, str]
    value: float


def counter(name: str, help: str = "", labels: Iterable[str] = ()) -> Counter:
    """A counter; the same for each call with the same name. Its name in /metrics ends in `_total`,
    whether it does here or not. ValueError for names that Prometheus does not take, and where the
    metric was declared in another way before."""
    return Counter(_metrics.declare(Family(name.removesuffix("_total"), "counter", help), labels))


def gauge(name: str, help: str = "", labels: Iterable[str] = (), *, mode: str = "sum") -> Gauge:
    """A gauge. `mode`: what it is over the workers, "sum", "max", "min", or "last", the value that
    was set last. The value of a worker goes with its process."""
    if mode not in _MODES:
        raise ValueError(f"mode is one of {', '.join(_MODES)}, not {mode!r}")
    return Gauge(_metrics.declare(Family(name, "gauge", help, mode), labels))


def histogram(
    name: str,
    help: str = "",
    labels: Iterable[str] = (),
    *,
    buckets: Iterable[float] = BUCKETS,
) -> Histogram:
    """A histogram; `buckets`: their upper bounds, which grow, without infinity."""
    bounds = tuple(float(bound) for bound in buckets if bound != math.inf)
    if list(bounds) != sorted(set(bounds)) or not all(map(math.isfinite, bounds)):
        raise ValueError("the bounds of buckets are finite numbers that grow")
    if len(bounds) > _MOST_BUCKETS:
        raise ValueError(f"a histogram has up to {_MOST_BUCKETS} buckets")
    return Histogram(_metrics.declare(Family(name, "histogram", help, "", bounds), labels))


def flush() -> None:
    """Pushes what has changed in this process to Erlang, now, and does not wait for it."""
    _metrics.flush()


def read() -> list[Sample]:
    """All metrics of the application, over all workers, with what this process has not pushed yet.
    Blocks until Erlang has answered."""
    _metrics.flush()
    found = call(OPERATIONS["metrics_read"], [])
    return [Sample(name, kind, dict(labels), value) for name, kind, labels, value in found]
