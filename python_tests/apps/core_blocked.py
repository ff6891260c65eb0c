"""An application that blocks its event loop for good."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] == "http":
        print("blocked")
        time.sleep(3600)  # noqa: ASYNC251 (that is the point)
