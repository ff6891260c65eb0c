"""The application for all hosts and paths that no mount has."""

from __future__ import annotations

from typing import Any

PAGE = b"""<!doctype html>
<title>Six applications</title>
<link rel="stylesheet" href="/assets/style.css">
<h1>Six applications, one server</h1>
<ul>
<li><a href="/api/docs">FastAPI</a>
<li><a href="/shop/">Flask</a>
<li><a href="/clock">events</a>
</ul>
"""


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError(f"{scope['type']} is not served here")
    found = scope["path"] == "/"
    await send({
        "type": "http.response.start", "status": 200 if found else 404,
        "headers": [(b"content-type", b"text/html; charset=utf-8")],
    })  # fmt: skip
    await send({"type": "http.response.body", "body": PAGE if found else b"<h1>Not here</h1>\n"})
