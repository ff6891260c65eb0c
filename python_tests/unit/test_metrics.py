"""Metrics of an application in the stand-in, and what cannot be counted."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hornbeam_erlang import _metrics, metrics, testing
from hornbeam_worker.metrics_prometheus import Source


@pytest.fixture(autouse=True)
def stand_in() -> Iterator[None]:
    with testing.standalone():
        _metrics._metrics.clear()
        yield
        _metrics._metrics.clear()


def lines() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {(s.name, tuple(s.labels.items())): s.value for s in metrics.read()}


def test_counters_gauges_and_histograms() -> None:
    orders = metrics.counter("orders_total", "Orders.", ["kind", "of"])
    orders.inc(kind="a", of=1)
    orders.inc(2.5, of=1, kind="a")
    inside = metrics.gauge("inside")
    inside.set(3)
    inside.dec()
    inside.inc(5)
    took = metrics.histogram("took", buckets=[1, 2, math.inf])
    with took.time():
        pass
    took.observe(2)
    took.observe(7)
    found = lines()
    assert found["orders_total", (("kind", "a"), ("of", "1"))] == 3.5
    assert found["inside", ()] == 7
    assert [found["took_bucket", (("le", le),)] for le in ("1.0", "2.0", "+Inf")] == [1, 2, 3]
    assert found["took_count", ()] == 3 and found["took_sum", ()] >= 9
    inside.remove()
    assert ("inside", ()) not in lines()
    assert metrics.counter("orders", "", ["kind", "of"])._metric is orders._metric


def test_threads_lose_nothing() -> None:
    count = metrics.counter("count")

    def many() -> None:
        for n in range(2000):
            count.inc()
            if n % 100 == 0:
                metrics.flush()

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lines()["count_total", ()] == 16_000


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: metrics.counter("a b"),
        lambda: metrics.counter("hornbeam_requests"),
        lambda: metrics.counter("a", "", ["le"]),
        lambda: metrics.counter("a", "", ["b", "b"]),
        lambda: metrics.counter("a", "", ["b-c"]),
        lambda: metrics.gauge("a", mode="mean"),
        lambda: metrics.histogram("a", buckets=[2, 1]),
        lambda: metrics.histogram("a", buckets=range(300)),
        lambda: (metrics.counter("a"), metrics.gauge("a")),
        lambda: (metrics.counter("a"), metrics.counter("a", "", ["b"])),
        lambda: metrics.counter("a").inc(-1),
        lambda: metrics.counter("a").inc(math.nan),
        lambda: metrics.counter("a").inc(b=1),
        lambda: metrics.counter("a", "", ["b"]).inc(),
        lambda: metrics.gauge("a").set(math.inf),
        lambda: metrics.counter("a").inc(10**400),
        lambda: metrics.gauge("a").set(-(10**400)),
        lambda: metrics.histogram("a").observe(math.nan),
    ],
)
def test_what_is_wrong_is_the_callers(wrong: Callable[[], Any]) -> None:
    with pytest.raises(ValueError):
        wrong()


def test_one_bad_text_or_number_costs_nothing_else() -> None:
    """What cannot be sent as it is would take all others of the same push with it."""
    words = metrics.counter("words", "Half a \udcff.", ["word"])
    for word in ("\udcff", "é" * 900, "x" * 1200, "fine"):
        words.inc(word=word)
    much = metrics.counter("much")
    for _ in range(2):
        much.inc(1.7e308)
    labels = {("word", "?"), ("word", "é" * 500), ("word", "x" * 1000), ("word", "fine")}
    found = lines()
    assert {key[1][0] for key in found if key[0] == "words_total"} == labels
    assert found["much_total", ()] == sys.float_info.max


def test_a_collector_that_fails_costs_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> Iterator[tuple[_metrics.Family, list[list[Any]]]]:
        yield _metrics.Family("before", "counter", ""), [[1]]
        raise ZeroDivisionError

    monkeypatch.setattr(_metrics, "_sources", [fails])
    metrics.counter("own").inc()
    assert lines() == {("own_total", ()): 1, ("before_total", ()): 1}


def test_names_that_prometheus_may_not_take_are_others() -> None:
    registry = CollectorRegistry()
    Counter("shop.orders é", "Orders.", ["of:kind"], registry=registry).labels("a.b").inc()
    Counter("hornbeam.own", "The server's.", registry=registry).inc()
    found = [(family.name, rows) for family, rows in Source(registry)() if rows]
    assert found == [("shop_orders__", [[1.0, "of_kind", "a.b"]])]


def test_what_one_process_keeps_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_metrics, "MOST", 10)
    metric = _metrics.Metric(_metrics.Family("a", "counter", ""), ("n",))
    for n in range(25):
        metric.add((str(n),), 1)
    rows, dropped = metric.take()
    assert (len(rows), dropped) == (10, 15)
    assert metric.take() == ([], 0)


def test_a_registry_that_is_cleared_begins_anew() -> None:
    registry = CollectorRegistry()
    clicks = Counter("clicks", "Clicks.", ["place"], registry=registry)
    level = Gauge("level", "Level.", ["place"], registry=registry, multiprocess_mode="livemax")
    took = Histogram("took", "Seconds.", registry=registry, buckets=[1])
    source = Source(registry)

    def new() -> dict[str, list[list[Any]]]:
        return {family.name: rows for family, rows in source() if rows}

    clicks.labels("a").inc(3)
    level.labels("a").set(2)
    took.observe(0.5)
    assert new() == {
        "clicks": [[3.0, "place", "a"]],
        "level": [[2.0, "place", "a"]],
        "took": [[[0.5, 1, 0]]],
    }
    assert new() == {}
    clicks.clear()
    clicks.labels("a").inc(2)
    level.remove("a")
    took.observe(3)
    assert new() == {
        "clicks": [[2.0, "place", "a"]],
        "level": [[None, "place", "a"]],
        "took": [[[3.0, 0, 1]]],
    }
    level.labels("a").set(math.inf)
    assert new() == {}
