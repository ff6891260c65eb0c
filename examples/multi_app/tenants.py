"""One application for every name below example.org: the host says whose page it is."""

from __future__ import annotations

from typing import Any


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    body = f"the page of {host.partition('.')[0]}\n".encode()
    await send({
        "type": "http.response.start", "status": 200,
        "headers": [(b"content-type", b"text/plain; charset=utf-8")],
    })  # fmt: skip
    await send({"type": "http.response.body", "body": body})
