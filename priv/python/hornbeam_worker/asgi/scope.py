"""From the bytes that `hornbeam_scope` makes to the scope that the application gets.

Source: ASGI 3.0, HTTP & WebSocket message format 2.5, "HTTP connection scope".
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import msgpack

__all__ = ["Scope", "http_scope"]

Scope = MutableMapping[str, Any]


def http_scope(packed: bytes, state: dict[str, Any]) -> Scope:
    """The scope of an HTTP request; `state` is the lifespan's and is copied (shallowly)."""
    (
        method,
        path,
        raw_path,
        query_string,
        http_version,
        scheme,
        root_path,
        client,
        server,
        headers,
        _extra,
    ) = msgpack.unpackb(packed, use_list=False)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": http_version,
        "method": method,
        "scheme": scheme,
        "path": raw_path.decode("latin-1") if path is None else path,
        "raw_path": raw_path,
        "query_string": query_string,
        "root_path": root_path,
        "headers": list(headers),
        "client": client,
        "server": server,
        "state": state.copy(),
        "extensions": {},
    }
