"""The parts of HTTP that few applications use: 1xx, early hints, trailers, files sent by path.

Called by `http` and `scope`. Sources: ASGI, HTTP & WebSocket message format 2.5 and Extensions.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

__all__ = ["HTTP", "INFORMATIONAL", "file_path", "link_headers"]

# scope["extensions"] of every HTTP request; a connection over TLS has `tls` besides.
HTTP: Final[dict[str, dict[str, Any]]] = {
    "http.response.early_hint": {},
    "http.response.pathsend": {},
    "http.response.trailers": {},
}

# The statuses of `http.response.start` that announce another one: every 1xx but 100, which the
# server sends when the body is asked for, and 101, which would end HTTP on the connection.
INFORMATIONAL: Final = range(102, 200)


def link_headers(message: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """The headers of a 103 for `http.response.early_hint`."""
    return [(b"link", link) for link in message["links"]]


def file_path(message: dict[str, Any]) -> bytes:
    """The path of `http.response.pathsend`, as the other side opens it.

    Raises ValueError unless it is the absolute path of a file that can be read. (An OSError would
    mean that the client has gone.)
    """
    path = Path(message["path"])
    if not path.is_absolute():
        raise ValueError(f"http.response.pathsend needs an absolute path, not {str(path)!r}")
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError(f"http.response.pathsend: not a file that can be read: {str(path)!r}")
    return os.fsencode(path)
