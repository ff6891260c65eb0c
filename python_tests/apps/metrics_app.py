"""Counts with the metrics of hornbeam_erlang, with prometheus_client and with OpenTelemetry's API:
what is asked for by the path, as often as the query says."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import prometheus_client
from opentelemetry import metrics as otel
from opentelemetry.sdk.metrics import MeterProvider

from hornbeam_erlang import metrics

orders = metrics.counter("shop_orders", "Orders by kind.", ["kind"])
paid = metrics.counter("shop_paid_total", "Euros.")
sizes = metrics.histogram("shop_sizes", "Sizes.", buckets=[1, 10, 100])
GAUGES = {mode: metrics.gauge(f"shop_{mode}_level", "By mode.", mode=mode) for mode in
          ("sum", "max", "min", "last")}  # fmt: skip
many = metrics.counter("shop_many", "One series each.", ["n"])

clicks = prometheus_client.Counter("clicks", 'Clicks \\ "of" all\nkinds.', ["place"])
inside = prometheus_client.Gauge("inside", "Who is inside.")
oldest = prometheus_client.Gauge("oldest", "Seconds.", multiprocess_mode="max")
took = prometheus_client.Histogram("took_seconds", "Seconds.", buckets=[0.5, 1])
said = prometheus_client.Summary("said", "Words.")
state = prometheus_client.Enum("state", "A state.", states=["on", "off"])

if "METRICS_PROVIDER" in os.environ:
    otel.set_meter_provider(MeterProvider())
meter = otel.get_meter("shop")
hits = meter.create_counter("shop.hits", unit="{hit}", description="Hits.")
queued = meter.create_up_down_counter("shop.queued")
waits = meter.create_histogram("shop.wait", unit="s", explicit_bucket_boundaries_advisory=[1, 2])
meter.create_observable_gauge(
    "shop.level",
    description="Level.",
    callbacks=[lambda _: [otel.Observation(7, {"pool.name": "a"})]],
)


def own(number: int, value: float) -> None:
    """hornbeam_erlang.metrics."""
    for _ in range(number):
        orders.inc(kind="book")
        sizes.observe(value)
    orders.inc(number, kind='a "b" \\ \n c')
    paid.inc(0.25 * number)
    for gauge in GAUGES.values():
        gauge.set(value)


def prometheus(number: int, value: float) -> None:
    """prometheus_client."""
    for _ in range(number):
        clicks.labels(place="top").inc()
        took.observe(value)
    inside.inc(number)
    oldest.set(value)
    said.observe(number)
    state.state("off")


def opentelemetry(number: int, value: float) -> None:
    """OpenTelemetry's API."""
    for _ in range(number):
        hits.add(1, {"http.place": "top"})
        waits.record(value)
    queued.add(number)


def series(number: int, _value: float) -> None:
    """As many series of one metric."""
    for n in range(number):
        many.inc(n=n)


KINDS: dict[str, Callable[[int, float], None]] = {
    "/own": own,
    "/prometheus": prometheus,
    "/opentelemetry": opentelemetry,
    "/series": series,
}


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Says which process it was."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    asked = {key: values[0] for key, values in parse_qs(scope["query_string"].decode()).items()}
    if (count := KINDS.get(scope["path"])) is not None:
        count(int(asked["n"]), float(asked.get("value", "1")))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
