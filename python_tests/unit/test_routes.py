"""The template of a route where the scope has something that no framework has put there."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any

import pytest

from hornbeam_worker.routes import Routes


@pytest.mark.parametrize(
    "strange",
    [
        {"route": object(), "fastapi": 3, "root_path": ""},
        {"route": object()},
        {"route": object(), "root_path": []},
        {"route": {"path": "/x"}, "root_path": "", "router": 1},
        {"endpoint": None, "root_path": None},
    ],
)
def test_it_costs_the_template_and_never_the_request(strange: dict[str, Any]) -> None:
    block = Routes("").asgi({"type": "http", "path": "/x", **strange}, perf_counter_ns())
    assert block[4:] == b"\0"


def test_a_template_is_text_of_bounded_length() -> None:
    block = Routes("/api").asgi({"http.route": "x\udcff" + "é" * 300}, perf_counter_ns())
    assert len(block) == 5 + block[4] and block[4] <= 255
    assert block[5:].decode() == "/api/x?" + "é" * 124
