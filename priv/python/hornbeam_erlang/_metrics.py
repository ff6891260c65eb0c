"""Metrics of this process until they are pushed: sums since the last push, values of gauges.

Called by `metrics` and by the bridges of the worker (`hornbeam_worker.metrics_prometheus`,
`.metrics_opentelemetry`), from any thread. Erlang adds up what the processes push
(`hornbeam_app_metrics`): counters and histograms as what has been added since the last push, gauges
as what they are. A thread of its own pushes while there is something new, each PERIOD at most, also
while the application blocks the loop; `flush` does so at once.

What is wrong is the caller's (ValueError, TypeError); what cannot be sent yet is sent later. Of a
metric MOST series at once are kept; changes of others are dropped, and counted by Erlang.
"""

from __future__ import annotations

import bisect
import contextlib
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from hornbeam_erlang import _client
from hornbeam_erlang._operations import OPERATIONS

__all__ = ["Family", "Metric", "declare", "flush", "push", "watch"]

logger = logging.getLogger("hornbeam.metrics")

PERIOD: Final = 0.5
# Series in one call.
_AT_ONCE: Final = 500
# What one process keeps of a metric: labels that are made up by clients end here.
MOST: Final = 10_000
_LARGEST: Final = 2**62
_MOST_NUMBER: Final = sys.float_info.max
# Bytes of UTF-8, as hornbeam_service_metrics takes them.
_LONGEST: Final = 1000
_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,198}")
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_RESERVED: Final = {"le", "quantile"}
_PUSH: Final = OPERATIONS["metrics_push"]

Key = tuple[str, ...]


class Family(NamedTuple):
    """A metric as it is declared; `name` without `_total`; `mode` "" but for a gauge."""

    name: str
    kind: str
    help: str
    mode: str = ""
    bounds: tuple[float, ...] = ()


class Metric:
    """One metric of this process: `add`, `put`, `observe`, as its kind has it."""

    def __init__(self, family: Family, labels: Key) -> None:
        self.family = family
        self.labels = labels
        self._lock = threading.Lock()
        self._sums: dict[Key, float] = {}
        self._counts: dict[Key, list[int]] = {}
        self._values: dict[Key, float] = {}
        self._changed: set[Key] = set()
        self._dropped = 0

    def key(self, labels: dict[str, Any]) -> Key:
        """The values of the labels in their order; ValueError when they are others."""
        try:
            found = tuple([str(labels[name]) for name in self.labels])
        except KeyError:
            found = None
        if found is None or len(labels) != len(found):
            raise ValueError(
                f"the metric {self.family.name} has the labels {self.labels}, not {tuple(labels)}"
            )
        return found

    def add(self, key: Key, amount: float) -> None:
        """Of a counter."""
        if not 0 <= amount <= _MOST_NUMBER:
            raise ValueError(f"a counter grows by a number that is not negative, not by {amount!r}")
        with self._lock:
            if self._has_room(key, self._sums):
                self._sums[key] = self._sums.get(key, 0) + amount
        _begin()

    def observe(self, key: Key, value: float) -> None:
        """Of a histogram."""
        if not -_MOST_NUMBER <= value <= _MOST_NUMBER:
            raise ValueError(f"{value!r} cannot be observed")
        place = bisect.bisect_left(self.family.bounds, value)
        with self._lock:
            if self._has_room(key, self._sums):
                counts = self._counts.get(key)
                if counts is None:
                    counts = self._counts[key] = [0] * (len(self.family.bounds) + 1)
                counts[place] += 1
                self._sums[key] = self._sums.get(key, 0) + value
        _begin()

    def put(self, key: Key, value: float, add: bool = False) -> None:
        """Of a gauge."""
        with self._lock:
            new = self._values.get(key, 0) + value if add else value
            if not -_MOST_NUMBER <= new <= _MOST_NUMBER:
                raise ValueError(f"a gauge is a finite number, not {new!r}")
            if self._has_room(key, self._values):
                self._values[key] = new
                self._changed.add(key)
        _begin()

    def remove(self, key: Key) -> None:
        """A gauge has this series no longer."""
        with self._lock:
            if self._values.pop(key, None) is not None:
                self._changed.add(key)
        _begin()

    def _has_room(self, key: Key, known: dict[Key, float]) -> bool:
        if key in known or len(known) < MOST:
            return True
        self._dropped += 1
        return False

    def take(self) -> tuple[list[list[Any]], int]:
        """The series that have changed since the last time, as `hornbeam_service_metrics` has
        them; how many changes were dropped."""
        with self._lock:
            dropped, self._dropped = self._dropped, 0
            sums, self._sums = self._sums, {}
            counts, self._counts = self._counts, {}
            changed, self._changed = self._changed, set()
            values = [(key, self._values.get(key)) for key in changed]
        if self.family.kind == "gauge":
            return [self._row(value, key) for key, value in values], dropped
        if self.family.kind == "counter":
            return [self._row(value, key) for key, value in sums.items()], dropped
        return [self._row([sums[key], *row], key) for key, row in counts.items()], dropped

    def _row(self, value: Any, key: Key) -> list[Any]:
        row: list[Any] = [value]
        for name, text in zip(self.labels, key, strict=True):
            row += (name, text)
        return row


def _number(value: float) -> float:
    """As it can travel: exact while it is an integer of 62 bits, and never infinite."""
    if isinstance(value, int) and -_LARGEST < value < _LARGEST:
        return int(value)
    return float(max(-_MOST_NUMBER, min(_MOST_NUMBER, value)))


def _text(text: str, most: int = _LONGEST) -> str:
    """As it can travel: Unicode, and not too long."""
    if text.isascii():
        return text[:most]
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def _clean(row: list[Any]) -> list[Any]:
    """A series as it can travel, whatever an application or a library has put into it: what
    cannot be sent would take all others with it."""
    value, *labels = row
    if isinstance(value, list):
        value = [_number(value[0]), *value[1:]]
    elif value is not None:
        value = _number(value)
    return [value, *map(_text, labels)]


_metrics: dict[str, Metric] = {}
_sources: list[Callable[[], Iterable[tuple[Family, list[list[Any]]]]]] = []
_lock = threading.Lock()
_flushing = threading.Lock()
_changed = threading.Event()
_thread: threading.Thread | None = None
_failed = False  # a source, which was said


def declare(family: Family, labels: Iterable[str]) -> Metric:
    """The metric of this name, made at the first call; ValueError if it is another one already."""
    names = tuple(labels)
    check(family, names)
    with _lock:
        known = _metrics.get(family.name)
        if known is None:
            known = _metrics[family.name] = Metric(family, names)
    if known.family._replace(help="") != family._replace(help="") or known.labels != names:
        raise ValueError(f"the metric {family.name} was declared in another way before")
    return known


def check(family: Family, labels: Key) -> None:
    """ValueError unless Prometheus would take it."""
    if not _NAME.fullmatch(family.name):
        raise ValueError(f"{family.name!r} is no name of a metric: [a-zA-Z_:][a-zA-Z0-9_:]*")
    if family.name.startswith("hornbeam_"):
        raise ValueError("names that begin with hornbeam_ are the server's own")
    for label in labels:
        if not _LABEL.fullmatch(label) or label.startswith("__") or label in _RESERVED:
            raise ValueError(f"{label!r} is no name of a label: [a-zA-Z_][a-zA-Z0-9_]*")
    if len(set(labels)) != len(labels):
        raise ValueError(f"a label stands there twice: {labels}")


def watch(source: Callable[[], Iterable[tuple[Family, list[list[Any]]]]]) -> None:
    """From now on each push takes along what this returns: bridges to other libraries."""
    with _lock:
        _sources.append(source)
    _begin()


def _begin() -> None:
    if not _changed.is_set():
        _changed.set()
    if _thread is None:
        _start()


def _start() -> None:
    global _thread
    with _lock:
        if _thread is None and _client.is_connected() and not _client.is_preloading():
            _thread = threading.Thread(target=_run, name="hornbeam-metrics", daemon=True)
            _thread.start()


def _run() -> None:
    """Rests between two pushes; a library that is watched may have something new at any time."""
    rest = threading.Event()
    while True:
        _changed.wait(PERIOD if _sources else None)
        with contextlib.suppress(Exception):  # the Erlang side has gone, or the process ends
            flush()
        rest.wait(PERIOD)


def _forget_thread() -> None:
    """A forked child has the numbers of its parent, which says them itself; that of `preload` does
    not."""
    global _thread, _lock, _flushing
    _thread, _lock, _flushing = None, threading.Lock(), threading.Lock()
    if not _client.is_preloading():
        _metrics.clear()
        _sources.clear()


os.register_at_fork(after_in_child=_forget_thread)


def resume() -> None:
    """Says what was counted before there was anybody to say it to."""
    if _changed.is_set():
        _start()


def flush() -> None:
    """Pushes what has changed, now. Never waits for an answer."""
    global _failed
    with _flushing:
        _changed.clear()
        with _lock:
            metrics, sources = list(_metrics.values()), list(_sources)
        families = [(metric.family, *metric.take()) for metric in metrics]
        try:
            for source in sources:
                families.extend((family, rows, 0) for family, rows in source())
        except Exception:  # a collector of the application's
            if not _failed:
                _failed = True
                logger.warning("metrics of a library cannot be read", exc_info=True)
        push((family, rows, dropped) for family, rows, dropped in families if rows or dropped)


def push(families: Iterable[tuple[Family, list[list[Any]], int]]) -> None:
    """Sends series, so many at once; with how many more there were that are dropped."""
    batch: list[Any] = []
    size = 0
    for family, rows, dropped in families:
        head = [family.name, family.kind, _text(family.help, 200), family.mode, list(family.bounds)]
        for at in range(0, len(rows) or 1, _AT_ONCE):
            part = [_clean(row) for row in rows[at : at + _AT_ONCE]]
            batch.append([*head, part, 0 if at else dropped])
            size += len(part)
            if size >= _AT_ONCE:
                _client.post(_PUSH, [batch])
                batch, size = [], 0
    if batch:
        _client.post(_PUSH, [batch])
