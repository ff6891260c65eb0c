"""Addresses to listen on: several, IPv6, Unix sockets, descriptors of another process."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import APPS, ROOT, Hornbeam, StartError, wait_until


def over(path: Path) -> httpx.Client:
    """A client of a Unix socket."""
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://a")


def test_several(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    binds = ["127.0.0.1:0", "[::1]:0", f"unix:{path}", "127.0.0.1:0"]
    with Hornbeam("http_echo:app", bind=binds) as server:
        line = server.wait_for_output(r"^Hornbeam .* on (.*) \(").group(1)
        printed = line.split(", ")
        patterns = (r"http://127.0.0.1:\d+", r"http://\[::1\]:\d+", "unix:.*", r"http://127.*:\d+")
        assert len(printed) == 4
        for url, pattern in zip(printed, patterns, strict=True):
            assert re.fullmatch(pattern, url)
        assert len(set(printed)) == 4
        for url, peer in (
            (printed[0], "127.0.0.1"),
            (printed[1], "::1"),
            (printed[3], "127.0.0.1"),
        ):
            scope = httpx.get(url).json()
            assert scope["client"][0] == scope["server"][0] == peer
            assert scope["server"][1] == int(url.rsplit(":", 1)[1])
        with over(path) as client:
            scope = client.get("/").json()
            assert (scope["client"], scope["server"]) == (None, [str(path), None])
    assert not path.exists()


def test_the_mode_of_a_socket_file(tmp_path: Path) -> None:
    for mode in ("600", "666"):
        path = tmp_path / mode
        with Hornbeam("http_echo:app", bind=["127.0.0.1:0", f"unix:{path}"], unix_mode=mode):
            assert stat.S_IMODE(path.stat().st_mode) == int(mode, 8)


def test_a_stale_socket_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
        stale.listen()
    with Hornbeam("http_echo:app", bind=["127.0.0.1:0", f"unix:{path}"]), over(path) as client:
        assert client.get("/").status_code == 200


def test_a_live_socket_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with Hornbeam("http_echo:app", bind=["127.0.0.1:0", f"unix:{path}"]):
        with pytest.raises(StartError, match="the address is in use"):
            Hornbeam("http_echo:app", bind=["127.0.0.1:0", f"unix:{path}"]).start()
        with over(path) as client:
            assert client.get("/").status_code == 200


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(StartError, match="cannot listen on unix:"):
        Hornbeam("http_echo:app", bind=f"unix:{path}").start()
    assert path.read_text() == "precious"
    with pytest.raises(StartError, match="no such file or directory"):
        Hornbeam("http_echo:app", bind=f"unix:{tmp_path}/nowhere/socket").start()


def test_a_port_in_use() -> None:
    with Hornbeam("http_echo:app") as server:
        bind = server.url.removeprefix("http://")
        with pytest.raises(StartError, match=f"cannot listen on {bind}: the address is in use"):
            Hornbeam("http_echo:app", bind=["127.0.0.1:0", bind]).start()
        assert httpx.get(server.url).status_code == 200


def listening(family: socket.AddressFamily, address: Any) -> socket.socket:
    """A socket as a service manager opens it."""
    sock = socket.socket(family)
    sock.bind(address)
    sock.listen()
    return sock


@pytest.mark.parametrize("kind", ["inet", "inet6", "unix"])
def test_descriptors_of_a_service_manager(kind: str, tmp_path: Path) -> None:
    """systemd's socket activation: descriptor 3 of the process is a listening socket."""
    path = tmp_path / "socket"
    sock = {
        "inet": lambda: listening(socket.AF_INET, ("127.0.0.1", 0)),
        "inet6": lambda: listening(socket.AF_INET6, ("::1", 0)),
        "unix": lambda: listening(socket.AF_UNIX, str(path)),
    }[kind]()
    command = [
        str(ROOT / "bin" / "hornbeam"), "run", "http_echo:app", "--bind", "fd://3",
        "--python", sys.executable, "--pythonpath", str(APPS),
    ]  # fmt: skip

    def as_three() -> None:
        os.dup2(sock.fileno(), 3, inheritable=True)

    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, preexec_fn=as_three, close_fds=False
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert " on " in line, line
            if kind == "unix":
                with over(path) as client:
                    assert client.get("/").status_code == 200
            else:
                host, port = sock.getsockname()[:2]
                host = f"[{host}]" if kind == "inet6" else host
                assert f"http://{host}:{port}" in line
                assert httpx.get(f"http://{host}:{port}").status_code == 200
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    # It was not opened here and is not closed for others.
    assert sock.fileno() >= 0
    wait_until(lambda: sock.getsockname(), 5, "it is open")
    sock.close()


def test_a_descriptor_that_is_none() -> None:
    with pytest.raises(StartError, match="cannot listen on fd://77"):
        Hornbeam("http_echo:app", bind="fd://77").start()
