"""HTTP/2: requests that end in trailers, bodies that stop, heads that unpack to more."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from harness import Hornbeam, memory, wait_until
from http_client import H2, frame

PAUSE = 700
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("core_http:app", body_timeout=PAUSE) as server:
        yield server


def post(client: H2, *extra: tuple[str, str]) -> int:
    return client.request("/digest", method="POST", extra=list(extra), end=False)


@pytest.mark.parametrize("length", [None, "5"])
def test_a_body_that_ends_in_trailers_is_complete(server: Hornbeam, length: str | None) -> None:
    with H2(server) as client:
        stream = post(client, *([("content-length", length)] if length else []))
        client.connection.send_data(stream, b"hello")
        client.connection.send_headers(stream, [("x-sum", "1")], end_stream=True)
        client.flush()
        answer = client.answer(stream)
        assert answer.status == 200
        assert b'"size": 5' in answer.body
        # The connection goes on.
        assert client.answer(client.request("/digest")).status == 200


@pytest.mark.parametrize("length", [None, "6"])
def test_a_body_that_does_not_end_is_408(server: Hornbeam, length: str | None) -> None:
    with H2(server) as client:
        stream = post(client, *([("content-length", length)] if length else []))
        client.connection.send_data(stream, b"hello")
        client.flush()
        assert client.answer(stream).status == 408


def test_a_body_that_goes_on_has_all_the_time(server: Hornbeam) -> None:
    """Longer in all than body_timeout, in pieces that are not."""
    with H2(server) as client:
        stream = post(client)
        wait = threading.Event()
        for _ in range(6):
            client.connection.send_data(stream, b"x")
            client.flush()
            wait.wait(PAUSE / 2500)
        client.connection.end_stream(stream)
        client.flush()
        assert b'"size": 6' in client.answer(stream).body


def test_a_head_that_repeats_one_field_by_reference(server: Hornbeam) -> None:
    """One octet each for a field of 4 KB (docs/security.md, "What remains")."""
    beam = server.beam()
    server_memory = memory(beam)
    peak = [server_memory]
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.002):
            peak[0] = max(peak[0], memory(beam))

    watcher = threading.Thread(target=watch)
    watcher.start()
    value = b"v" * 4000
    # RFC 7541: indexed pseudo-headers, a literal that enters the table, references to it.
    block = b"\x82\x86\x84\x41\x01a" + b"\x40\x01x\x7f\xa1\x1e" + value + b"\xbe" * 56_000
    parts = [block[at : at + 16_384] for at in range(0, len(block), 16_384)]
    frames = [
        frame(9 if number else 1, (0 if number else 1) | (4 if part is parts[-1] else 0), 1, part)
        for number, part in enumerate(parts)
    ]
    with server.connect() as sock:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + b"".join(frames))
        received = b""
        # The stream is answered with 431, or the connection ends with GOAWAY.
        while not any(kind in _kinds(received) for kind in (1, 3, 7)):
            data = sock.recv(65_536)
            if not data:
                break
            received += data
    stop.set()
    watcher.join()
    assert peak[0] - server_memory < 96 * MIB
    with H2(server) as client:
        assert client.answer(client.request("/digest")).status == 200
    wait_until(lambda: memory(beam) - server_memory < 96 * MIB, 10, "the memory is given back")


def _kinds(data: bytes) -> set[int]:
    """The types of the whole frames that have come."""
    kinds = set()
    while len(data) >= 9 and len(data) >= (end := 9 + int.from_bytes(data[:3], "big")):
        kinds.add(data[3])
        data = data[end:]
    return kinds
