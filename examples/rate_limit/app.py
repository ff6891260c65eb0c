"""A rate limit before Python is asked: an HTTP hook with a bucket of tokens for each client.

    mkdir -p ebin
    erlc -pa _build/default/lib/hornbeam/ebin -o ebin examples/rate_limit/rate_limit.erl
    bin/hornbeam run app:app --pythonpath examples/rate_limit --workers 4 \\
        --erlang-path ebin --http-hooks rate_limit

Five requests at once and one every two seconds; others are answered with 429 by the Erlang VM, and
cost no worker anything. The count is exact whichever worker a request would meet. A limit that
depends on what only the application knows: `hornbeam_erlang.state_incr` with a time to live.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

answered = 0


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Says how many requests this worker has answered."""
    global answered
    if scope["type"] != "http":
        return
    answered += 1
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"%d\n" % answered})
