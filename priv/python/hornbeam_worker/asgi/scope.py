"""From the bytes that `hornbeam_scope` makes to the scope that the application gets.

Source: ASGI 3.0, HTTP & WebSocket message format 2.5, "HTTP connection scope" and
"WebSocket connection scope".
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import msgpack

from hornbeam_worker.asgi.extensions import HTTP as EXTENSIONS

__all__ = ["Scope", "http_scope", "websocket_scope"]

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
        extra,
    ) = msgpack.unpackb(packed, use_list=False)
    extensions = EXTENSIONS.copy()
    if extra is not None and "tls" in extra:
        extensions["tls"] = extra["tls"]
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
        "extensions": extensions,
    }


def websocket_scope(packed: bytes, state: dict[str, Any]) -> Scope:
    """The scope of a WebSocket: that of its handshake, but for what only one of the two has.

    It lives as long as the connection, so what many connections have in common is kept once.
    """
    scope = http_scope(packed, state)
    del scope["method"]
    headers = [(_common(name), _common(value)) for name, value in scope["headers"]]
    scope["type"] = "websocket"
    scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
    scope["headers"] = headers
    scope["subprotocols"] = [
        token.strip()
        for name, value in headers
        if name == b"sec-websocket-protocol"
        for token in value.decode("latin-1").split(",")
    ]
    tls = {key: value for key, value in scope["extensions"].items() if key == "tls"}
    scope["extensions"] = {"websocket.http.response": {}, "hornbeam.websocket.pubsub": {}, **tls}
    return scope


# Names and values of headers that were seen before, for `_common`; short ones, and only so many.
_seen: dict[bytes, bytes] = {}
_SEEN_MOST = 1000
_SEEN_LONGEST = 200


def _common(value: bytes) -> bytes:
    """An equal object that other scopes hold already, where there is one."""
    known = _seen.get(value)
    if known is not None:
        return known
    if len(_seen) < _SEEN_MOST and len(value) < _SEEN_LONGEST:
        _seen[value] = value
    return value
