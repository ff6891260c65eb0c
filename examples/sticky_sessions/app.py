"""Sessions in a worker's memory: each visitor is counted where the first visit was.

    make run PYTHONPATH=examples/sticky_sessions WORKERS=3

has no stickiness: with cookies kept, `curl` meets other workers and other counts. With it:

    HORNBEAM_AFFINITY=cookie make run PYTHONPATH=examples/sticky_sessions WORKERS=3

    for i in 1 2 3; do curl -s -c jar -b jar http://127.0.0.1:8000/; done

What must survive a worker belongs into `hornbeam_erlang`'s shared state or a database instead.
"""

from __future__ import annotations

import json
import os
import secrets
from http.cookies import SimpleCookie
from typing import Any

visits: dict[str, int] = {}
MOST = 10_000


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError(f"{scope['type']} is not served here")
    fields = [value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie"]
    cookies = SimpleCookie("; ".join(fields))
    visitor = cookies["visitor"].value if "visitor" in cookies else secrets.token_urlsafe()
    known = visitor in visits
    if known or len(visits) < MOST:
        visits[visitor] = visits.get(visitor, 0) + 1
    answer = {"worker": os.getpid(), "known": known, "visits": visits.get(visitor, 1)}
    await send({
        "type": "http.response.start", "status": 200,
        "headers": [
            (b"content-type", b"application/json"),
            (b"set-cookie", f"visitor={visitor}; HttpOnly; SameSite=Lax; Path=/".encode()),
        ],
    })  # fmt: skip
    await send({"type": "http.response.body", "body": json.dumps(answer).encode() + b"\n"})
