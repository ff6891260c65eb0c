"""Metrics of the application, added up over workers: its own, prometheus_client's, OpenTelemetry's.
Two workers; what each has counted the tests keep themselves."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from harness import Hornbeam, wait_until
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as text_families

OPEN = {"accept": "application/openmetrics-text"}
Found = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Hornbeam]:
    more: dict[str, Any] = getattr(request, "param", {})
    with Hornbeam(
        "metrics_app:app", workers=2, metrics_bind="127.0.0.1:0", metrics_max_series=50, **more
    ) as server:
        yield server


def base(server: Hornbeam) -> str:
    return server.wait_for_output(r"metrics on (http://\S+)").group(1)


def read(server: Hornbeam) -> Found:
    """All samples; both formats say the same."""
    plain = httpx.get(base(server) + "/metrics", timeout=60).text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_families(plain)
        for sample in family.samples
    }


def ask(server: Hornbeam, path: str) -> int:
    """On a connection of its own; the worker's process."""
    return int(httpx.get(server.url + path, timeout=60).text)


def ask_both(server: Hornbeam, path: str) -> Counter[int]:
    """Until both workers have been asked; how often each was."""
    asked: Counter[int] = Counter()

    def once(_: int) -> int:
        return ask(server, path)

    def both() -> bool:
        with ThreadPoolExecutor(8) as pool:
            asked.update(pool.map(once, range(8)))
        return len(asked) == 2

    wait_until(both, 60, "both workers have been asked")
    return asked


def expect(server: Hornbeam, expected: Found) -> None:
    def there() -> bool:
        found = read(server)
        return all(found.get(key) == number for key, number in expected.items())

    try:
        wait_until(there, 60, "the sums")
    except AssertionError:
        found = read(server)
        assert {key: found.get(key) for key in expected} == expected
        raise


def test_own_metrics_are_exact_sums(server: Hornbeam) -> None:
    asked = sum(ask_both(server, "/own?n=100&value=5").values())
    total = 100 * asked
    expect(
        server,
        {
            ("shop_orders_total", (("kind", "book"),)): total,
            ("shop_orders_total", (("kind", 'a "b" \\ \n c'),)): total,
            ("shop_paid_total", ()): 0.25 * total,
            ("shop_sizes_count", ()): total,
            ("shop_sizes_sum", ()): 5.0 * total,
            ("shop_sizes_bucket", (("le", "1.0"),)): 0,
            ("shop_sizes_bucket", (("le", "10.0"),)): total,
            ("shop_sizes_bucket", (("le", "+Inf"),)): total,
            ("shop_sum_level", ()): 10,
            ("shop_max_level", ()): 5,
        },
    )
    # One worker dies: its gauges go, what it has counted stays.
    first, second = server.workers()
    os.kill(first, signal.SIGKILL)
    expect(server, {("shop_sum_level", ()): 5, ("shop_orders_total", (("kind", "book"),)): total})

    def fresh() -> bool:
        return ask(server, "/own?n=0&value=3") not in (first, second)

    wait_until(fresh, 60, "the next one has been asked")
    expect(server, {("shop_min_level", ()): 3, ("shop_orders_total", (("kind", "book"),)): total})
    ask(server, "/own?n=0&value=4")
    expect(server, {("shop_last_level", ()): 4})


def test_series_beyond_the_limit_are_refused_and_counted(server: Hornbeam) -> None:
    ask(server, "/series?n=60")

    def counted() -> bool:
        found = read(server)
        series = [key for key in found if key[0] == "shop_many_total"]
        refused = found.get(("hornbeam_app_metrics_refused_total", (("metric", "shop_many"),)))
        return len(series) == 50 and refused == 10

    wait_until(counted, 60, "50 series, 10 refused")
    server.wait_for_output("the metric shop_many has more than 50 series", 60)


def test_prometheus_client_needs_no_change(server: Hornbeam) -> None:
    asked = ask_both(server, "/prometheus?n=10&value=0.75")
    total = 10.0 * sum(asked.values())
    expect(
        server,
        {
            ("clicks_total", (("place", "top"),)): total,
            ("inside", ()): total,
            ("oldest", ()): 0.75,
            ("took_seconds_count", ()): total,
            ("took_seconds_sum", ()): 0.75 * total,
            ("took_seconds_bucket", (("le", "0.5"),)): 0,
            ("took_seconds_bucket", (("le", "1.0"),)): total,
            ("said_count", ()): sum(asked.values()),
            ("said_sum", ()): total,
            ("state", (("state", "off"),)): 1,
            ("state", (("state", "on"),)): 0,
        },
    )
    assert not [key for key in read(server) if key[0].startswith(("process_", "python_"))]
    os.kill(min(asked), signal.SIGKILL)
    left = 10.0 * asked[max(asked)]
    expect(server, {("inside", ()): left, ("clicks_total", (("place", "top"),)): total})


@pytest.mark.parametrize(
    "server",
    [{"metrics_opentelemetry": True}, {"env": {"METRICS_PROVIDER": "1"}}],
    indirect=True,
    ids=["none is set", "the application has set one"],
)
def test_opentelemetry_needs_no_change(server: Hornbeam) -> None:
    asked = ask_both(server, "/opentelemetry?n=10&value=1.5")
    total = 10.0 * sum(asked.values())
    expect(
        server,
        {
            ("shop_hits_total", (("http_place", "top"),)): total,
            ("shop_queued", ()): total,
            ("shop_wait_seconds_count", ()): total,
            ("shop_wait_seconds_sum", ()): 1.5 * total,
            ("shop_wait_seconds_bucket", (("le", "1.0"),)): 0,
            ("shop_wait_seconds_bucket", (("le", "2.0"),)): total,
            ("shop_level", (("pool_name", "a"),)): 7,
        },
    )
    opened = httpx.get(base(server) + "/metrics", headers=OPEN, timeout=60).text
    names = {family.name for family in open_families(opened)}  # type: ignore[no-untyped-call]
    assert {"shop_hits", "shop_wait_seconds", "hornbeam_requests"} <= names
