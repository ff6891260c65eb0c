"""A first look from the outside: the example application answers."""

from __future__ import annotations

import httpx
from harness import ROOT, Hornbeam


def test_the_example_answers() -> None:
    with Hornbeam(
        "app:app", pythonpath=str(ROOT / "examples" / "fastapi_app"), workers=2
    ) as server:
        views = [httpx.get(server.url).json()["views"] for _ in range(10)]
        assert views == list(range(1, 11))
