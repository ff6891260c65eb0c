"""examples/fastapi_app, as a user would try it, and the promise that its counter is exact."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator

import httpx
import pytest
from harness import ROOT, Hornbeam

EXAMPLE = str(ROOT / "examples" / "fastapi_app")
CLIENTS, REQUESTS, WORKERS = 200, 50, 4


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    options = {"pythonpath": EXAMPLE, "workers": WORKERS, "lifespan": "on"}
    with Hornbeam("app:app", env=None, **options) as running:
        yield running
    # The catalogue was loaded and released in each worker.
    assert running.output.count("catalogue loaded: 100 items") == WORKERS
    assert running.output.count("catalogue released") == WORKERS


def test_root_counts_views_across_workers(server: Hornbeam) -> None:
    answers = [httpx.get(server.url) for _ in range(20)]
    views = [answer.json()["views"] for answer in answers]
    assert views == list(range(views[0], views[0] + 20))
    assert answers[0].json()["message"] == "Hello from Hornbeam"
    assert all(float(answer.headers["x-response-time"]) > 0 for answer in answers)


def test_items_come_from_the_catalogue_once_and_then_from_ets(server: Hornbeam) -> None:
    first = httpx.get(f"{server.url}/items/7").json()
    assert first == {"item_id": 7, "source": "catalogue", "name": "item 7", "price": 10.5}
    for _ in range(8):  # every worker
        assert httpx.get(f"{server.url}/items/7").json() == {**first, "source": "ets"}
    assert httpx.get(f"{server.url}/items/1234567").status_code == 404
    assert httpx.get(f"{server.url}/items/seven").status_code == 422


def test_posted_items_get_ids_of_their_own(server: Hornbeam) -> None:
    ids = []
    for number in range(8):
        item = {"name": f"posted {number}", "price": 2.5}
        answer = httpx.post(f"{server.url}/items/", json=item)
        assert answer.status_code == 201
        ids.append(answer.json()["item_id"])
        stored = httpx.get(f"{server.url}/items/{ids[-1]}").json()
        assert stored == {"item_id": ids[-1], "source": "ets", **item}
    assert len(set(ids)) == 8


def test_events_arrive_one_by_one(server: Hornbeam) -> None:
    with httpx.stream("GET", f"{server.url}/events?count=3&interval=0.3") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = (line for line in answer.iter_lines() if line.startswith("data: "))
        arrivals = [time.monotonic() for _ in lines]
    assert len(arrivals) == 3
    assert arrivals[2] - arrivals[0] > 0.4


def test_the_documentation_of_fastapi_is_there(server: Hornbeam) -> None:
    assert "swagger" in httpx.get(f"{server.url}/docs").text
    assert "/items/{item_id}" in httpx.get(f"{server.url}/openapi.json").json()["paths"]


def test_ten_thousand_requests_of_two_hundred_clients_are_counted_exactly(
    server: Hornbeam,
) -> None:
    before = httpx.get(server.url).json()["views"]
    began = time.monotonic()
    statuses, views = asyncio.run(all_clients(server.address))
    print(f"{len(statuses)} requests in {time.monotonic() - began:.1f} s")
    assert statuses == [200] * CLIENTS * REQUESTS
    # Each view is counted once and told once.
    assert sorted(views) == list(range(before + 1, before + 1 + CLIENTS * REQUESTS))
    assert httpx.get(server.url).json()["views"] == before + CLIENTS * REQUESTS + 1


async def all_clients(address: tuple[str, int]) -> tuple[list[int], list[int]]:
    answers = await asyncio.gather(*(client(address) for _ in range(CLIENTS)))
    flat = [answer for answers_of_one in answers for answer in answers_of_one]
    return [status for status, _ in flat], [views for _, views in flat]


async def client(address: tuple[str, int]) -> list[tuple[int, int]]:
    """One connection, one request after the other."""
    reader, writer = await asyncio.open_connection(*address)
    answers = []
    for _ in range(REQUESTS):
        writer.write(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = re.search(r"content-length: (\d+)", head)
        assert length is not None
        body = await reader.readexactly(int(length.group(1)))
        views = re.search(rb'"views":(\d+)', body)
        answers.append((int(head.split(" ")[1]), int(views.group(1)) if views else 0))
    writer.close()
    await writer.wait_closed()
    return answers
