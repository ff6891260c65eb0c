"""What proxies say of the client: believed from some, from nobody else."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import Hornbeam
from http_client import Raw


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("http_echo:app", forwarded_allow_ips=["127.0.0.1", "10.0.0.0/8"]) as server:
        yield server


def seen(server: Hornbeam, path: str = "/", **fields: str) -> dict[str, Any]:
    names = {name.replace("_", "-"): value for name, value in fields.items()}
    answer: dict[str, Any] = httpx.get(f"{server.url}{path}", headers=names).json()
    answer["host"] = dict(answer["headers"])["host"]
    return answer


def test_from_anybody_else_they_change_nothing() -> None:
    for others in ([], ["10.0.0.0/8", "unix", "::1"]):
        with Hornbeam("http_echo:app", forwarded_allow_ips=others) as server:
            scope = seen(
                server, forwarded="for=1.2.3.4;proto=https;host=b", x_forwarded_for="1.2.3.4",
                x_forwarded_proto="https", x_forwarded_host="b", x_forwarded_port="1",
                x_forwarded_prefix="/p",
            )  # fmt: skip
            assert scope["client"][0] == "127.0.0.1"
            assert (scope["scheme"], scope["root_path"], scope["path"]) == ("http", "", "/")
            assert scope["host"] == server.url.removeprefix("http://")


def test_x_forwarded(server: Hornbeam) -> None:
    scope = seen(
        server, "/a", x_forwarded_for="1.2.3.4", x_forwarded_proto="https",
        x_forwarded_host="example.org", x_forwarded_port="8443", x_forwarded_prefix="/below/",
    )  # fmt: skip
    assert scope["client"] == ["1.2.3.4", 0]
    assert (scope["scheme"], scope["host"]) == ("https", "example.org:8443")
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == (
        "/below", "/below/a", "/below/a",
    )  # fmt: skip
    names = dict(scope["headers"])
    assert names["x-forwarded-for"] == "1.2.3.4"


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("1.2.3.4", ["1.2.3.4", 0]),
        ("1.2.3.4:5678", ["1.2.3.4", 5678]),
        ("2001:db8::1", ["2001:db8::1", 0]),
        ("[2001:db8::1]:80", ["2001:db8::1", 80]),
        # Who wrote the first ones is not known.
        ("9.9.9.9, 1.2.3.4", ["1.2.3.4", 0]),
        ("9.9.9.9, 1.2.3.4, 10.1.1.1, 10.2.2.2", ["1.2.3.4", 0]),
        ("10.3.3.3, 10.1.1.1", ["10.3.3.3", 0]),
        ("unknown", None),
        ("<script>", None),
        ("1.2.3.4.5", None),
        ("1.2.3.4:99999", None),
    ],
)
def test_the_client(server: Hornbeam, value: str, client: list[Any] | None) -> None:
    said = seen(server, x_forwarded_for=value)["client"]
    assert said == client or (client is None and said[0] == "127.0.0.1")


@pytest.mark.parametrize(
    ("value", "client", "scheme", "host"),
    [
        ("for=1.2.3.4;proto=https;host=example.org", ["1.2.3.4", 0], "https", "example.org"),
        ('For="[2001:db8::1]:80"; Proto=HTTPS', ["2001:db8::1", 80], "https", None),
        ("for=9.9.9.9;proto=https, for=1.2.3.4;proto=http", ["1.2.3.4", 0], "http", None),
        ('for=1.2.3.4;host="a,b;c", for=10.1.1.1', ["1.2.3.4", 0], "http", None),
        ("for=1.2.3.4;host=b, for=10.1.1.1;host=c", ["1.2.3.4", 0], "http", "b"),
        ("for=_hidden;proto=https", None, "https", None),
        ("for=unknown", None, "http", None),
        ("proto=gopher", None, "http", None),
        ("host=a b", None, "http", None),
        ("host=a@b", None, "http", None),
        ("nonsense;;;=,=", None, "http", None),
    ],
)
def test_forwarded(
    server: Hornbeam, value: str, client: list[Any] | None, scheme: str, host: str | None
) -> None:
    scope = seen(server, forwarded=value, x_forwarded_for="7.7.7.7", x_forwarded_proto="http")
    assert scope["client"] == client or (client is None and scope["client"][0] == "127.0.0.1")
    assert scope["scheme"] == scheme
    if host:
        assert scope["host"] == host
    elif host is None and "," not in value:
        assert scope["host"] == server.url.removeprefix("http://")


@pytest.mark.parametrize("prefix", ["below", "/a b", "/a?b", "/a#b", "/a,/b", "", "/", "//"])
def test_prefixes_that_make_no_sense(server: Hornbeam, prefix: str) -> None:
    assert seen(server, x_forwarded_prefix=prefix)["root_path"] == ""


def test_default_ports_are_not_said(server: Hornbeam) -> None:
    for proto, port, host in (("https", "443", "b"), ("http", "80", "b"), ("https", "80", "b:80")):
        scope = seen(server, x_forwarded_host="b", x_forwarded_proto=proto, x_forwarded_port=port)
        assert scope["host"] == host


def test_every_peer_of_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with Hornbeam(
        "http_echo:app", bind=["127.0.0.1:0", f"unix:{path}"], forwarded_allow_ips="unix"
    ) as server:
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport) as client:
            answer = client.get("http://a/", headers={"x-forwarded-for": "1.2.3.4"})
            assert answer.json()["client"] == ["1.2.3.4", 0]
        assert seen(server, x_forwarded_for="1.2.3.4")["client"][0] == "127.0.0.1"


def test_everybody() -> None:
    with Hornbeam("http_echo:app", forwarded_allow_ips="*", root_path="/r") as server:
        scope = seen(server, "/a", x_forwarded_for="1.2.3.4, 5.6.7.8", x_forwarded_prefix="/p")
        assert scope["client"] == ["1.2.3.4", 0]
        assert (scope["root_path"], scope["path"]) == ("/p/r", "/p/r/a")


GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n"


def proxied(server: Hornbeam, header: bytes) -> dict[str, Any]:
    with Raw(server) as connection:
        connection.send(header + GET)
        first: dict[str, Any] = connection.answer().json()
        connection.send(GET)
        assert connection.answer().json()["client"] == first["client"]
        return first


def test_the_proxy_protocol() -> None:
    with Hornbeam("http_echo:app", proxy_protocol=True) as server:
        scope = proxied(server, b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 80\r\n")
        assert (scope["client"], scope["server"]) == (["1.2.3.4", 1111], ["5.6.7.8", 80])
        scope = proxied(server, b"PROXY TCP6 2001:db8::1 2001:db8::2 1111 80\r\n")
        assert scope["client"] == ["2001:db8::1", 1111]
        addresses = socket.inet_aton("1.2.3.4") + socket.inet_aton("5.6.7.8")
        ports = struct.pack(">HH", 1111, 80)
        scope = proxied(server, V2 + b"\x21\x11\x00\x0c" + addresses + ports)
        assert (scope["client"], scope["server"]) == (["1.2.3.4", 1111], ["5.6.7.8", 80])
        # A health check of the proxy's own
        assert proxied(server, V2 + b"\x20\x00\x00\x00")["client"][0] == "127.0.0.1"
        assert proxied(server, b"PROXY UNKNOWN\r\n")["client"][0] == "127.0.0.1"
        for header in (b"", b"PROXY TCP4 nonsense\r\n", b"PROXY\r\n", V2 + b"\x31\x11\x00\x0c"):
            with Raw(server) as connection:
                connection.send(header + GET)
                assert connection.rest() == b""
        assert "CRASH" not in server.output
