"""The task in which a request runs."""

from __future__ import annotations

import httpx
import pytest
from harness import Hornbeam


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_task_of_its_own(loop: str) -> None:
    with Hornbeam("http_tasks:app", loop=loop) as server:
        names = {httpx.get(server.url).text for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("Task-") for name in names)


@pytest.mark.parametrize("request_id", [False, True])
def test_an_application_that_makes_the_tasks(request_id: bool) -> None:
    with Hornbeam("http_tasks:app", env={"MAKES_TASKS": "1"}, request_id=request_id) as server:
        assert httpx.get(server.url).text == "made by the application"
