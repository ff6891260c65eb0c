"""Django's tasks with Hornbeam's back end."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from harness import Hornbeam, wait_until

if not any(map(importlib.util.find_spec, ("django_tasks", "django"))):
    pytest.skip("neither Django 6 nor django-tasks is here", allow_module_level=True)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with (
        Hornbeam("tasks_django:app", lifespan="off") as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        yield client


def finished(client: httpx.Client, name: str) -> dict[str, Any]:
    """What there is of a task when it is over."""
    asked = client.get(f"/enqueue/{name}").raise_for_status().json()
    assert asked["status"] == "READY"

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(f"/look/{asked['id']}").raise_for_status().json()
        return found if found["finished"] else None

    return wait_until(look, 20, "it is over") or {}


def test_a_plain_task(client: httpx.Client) -> None:
    found = finished(client, "send")
    assert found["status"] == "SUCCESSFUL"
    assert found["value"].startswith("2 to ada in ")
    assert (found["args"], found["kwargs"], found["attempts"]) == (["ada"], {"copies": 2}, 1)


def test_a_coroutine(client: httpx.Client) -> None:
    assert finished(client, "wait")["value"] == 2


def test_a_failure_after_the_retries_of_the_options(client: httpx.Client) -> None:
    found = finished(client, "fail")
    assert (found["status"], found["attempts"]) == ("FAILED", 2)
    assert found["errors"] == ["builtins.ValueError"]


def test_what_is_not_there(client: httpx.Client) -> None:
    assert client.get("/look/nothing").status_code == 500
