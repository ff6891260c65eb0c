"""From the bytes that `hornbeam_scope` makes to the environ of a WSGI application. Pure.

Source: PEP 3333, "environ Variables"; RFC 3875, 4.1; RAW_URI, REQUEST_URI as gunicorn has them.

Called by `cycle`, in the thread that serves the request. Text is what PEP 3333 calls a native
string: bytes, each as the character of its number (latin-1).
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgpack

__all__ = ["Environ", "build", "key"]

Environ = dict[str, Any]

# Names of fields as keys, as they were met; short ones, and only so many.
_keys: dict[bytes, str | None] = {}
_KEYS_MOST: Final = 1000
_KEYS_LONGEST: Final = 100

_PORTS: Final = {"http": "80", "https": "443"}
_PROTOCOLS: Final = {"1.1": "HTTP/1.1", "1.0": "HTTP/1.0", "2": "HTTP/2.0"}
_ONLY_ONE: Final = ("CONTENT_TYPE", "CONTENT_LENGTH")


def build(packed: bytes, common: Environ) -> Environ:
    """The environ of a request; `common` is what all requests of a thread have and is copied."""
    (method, path, raw_path, query, version, scheme, root, client, server, fields, extra) = (
        msgpack.unpackb(packed, use_list=False)
    )
    environ = common.copy()
    target = raw_path.decode("latin-1")
    environ["REQUEST_METHOD"] = method
    environ["QUERY_STRING"] = text = query.decode("latin-1")
    environ["RAW_URI"] = environ["REQUEST_URI"] = f"{target}?{text}" if text else target
    environ["SERVER_PROTOCOL"] = _PROTOCOLS[version]
    environ["wsgi.url_scheme"] = scheme
    decoded = target if path is None else unquote_to_bytes(raw_path).decode("latin-1")
    if decoded == "*":  # of the server as a whole: PATH_INFO must begin with "/", or be empty
        decoded = ""
    if root:
        root = root.encode().decode("latin-1")
        decoded = decoded.removeprefix(root)
    environ["SCRIPT_NAME"] = root
    environ["PATH_INFO"] = decoded
    if client is None:
        environ["REMOTE_ADDR"] = ""
    else:
        environ["REMOTE_ADDR"] = client[0]
        environ["REMOTE_PORT"] = str(client[1])
    _put_fields(fields, environ)
    if server is not None and server[1] is not None:
        environ["SERVER_NAME"] = server[0]
        environ["SERVER_PORT"] = str(server[1])
    else:
        _put_server(environ)
    if extra is not None and "tls" in extra:
        environ["hornbeam.tls"] = extra["tls"]
    return environ


def _put_fields(fields: tuple[tuple[bytes, bytes], ...], environ: Environ) -> None:
    for name, value in fields:
        field = _keys[name] if name in _keys else key(name)
        if field is None:
            continue
        if field not in environ:
            environ[field] = value.decode("latin-1")
        elif field not in _ONLY_ONE:
            between = "; " if field == "HTTP_COOKIE" else ","
            environ[field] = f"{environ[field]}{between}{value.decode('latin-1')}"


def key(name: bytes) -> str | None:
    """The key of a field; None for one that has none.

    A name with "_" would have the key of the one with "-", which a proxy may have checked or
    removed.
    """
    field: str | None = None
    if b"_" not in name:
        field = name.decode("latin-1").upper().replace("-", "_")
        if field not in _ONLY_ONE:
            field = f"HTTP_{field}"
    if len(_keys) < _KEYS_MOST and len(name) < _KEYS_LONGEST:
        _keys[name] = field
    return field


def _put_server(environ: Environ) -> None:
    """On a Unix socket there is neither name nor port: what the client takes this server for."""
    host, colon, port = environ.get("HTTP_HOST", "").rpartition(":")
    if not colon or not port.isdecimal():
        host, port = environ.get("HTTP_HOST", ""), ""
    environ["SERVER_NAME"] = host or "localhost"
    environ["SERVER_PORT"] = port or _PORTS.get(environ["wsgi.url_scheme"], "80")
