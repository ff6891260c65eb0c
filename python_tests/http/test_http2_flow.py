"""HTTP/2: windows however small, clients that take nothing, frames that carry nothing."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from h2.errors import ErrorCodes
from harness import Hornbeam, wait_until
from http_client import H2, flooded, frame

STALL = 1500


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("http_messages:app", max_empty_frame_rate=100) as server:
        yield server


@pytest.fixture(scope="module")
def impatient() -> Iterator[Hornbeam]:
    with Hornbeam("http_messages:app", send_timeout=STALL) as server:
        yield server


def gone(server: Hornbeam) -> int:
    """How many clients the application has seen leave."""
    return int(httpx.get(f"{server.url}/facts").text.split()[1])


# Windows


@pytest.mark.parametrize("window", [1, 15, 16, 17, 100, 4095, 16_383, 16_384, 16_385])
@pytest.mark.parametrize("pieces", [b"", b"&pieces"], ids=["whole", "in pieces"])
def test_a_response_fits_through_any_window(server: Hornbeam, window: int, pieces: bytes) -> None:
    size = 16 * min(300, 5 * window)
    with H2(server, window=window) as client:
        stream = client.request(f"/big?text/plain&{size}{pieces.decode()}")
        answer = client.answer(stream)
        assert (len(answer.body), answer.complete, answer.reset) == (size, True, None)
        assert client.answer(client.request("/facts")).status == 200


@pytest.mark.parametrize("size", [48, 64, 80, 65_520, 65_536, 65_552])
@pytest.mark.parametrize("acknowledge", [False, True])
def test_a_response_that_ends_with_its_window(
    server: Hornbeam, size: int, acknowledge: bool
) -> None:
    """The end of a response needs no window (RFC 9113, 6.9.1): the client has not to open it."""
    window = 64 if size < 100 else 65_536
    with H2(server, window=window) as client:
        client.connection.increment_flow_control_window(1 << 20)
        client.acknowledge = acknowledge
        stream = client.request(f"/big?text/plain&{size}&pieces")
        if size > window and not acknowledge:
            while len(client.answers.get(stream, NONE).body) < window:
                client.step()
            client.connection.increment_flow_control_window(100, stream)
            client.flush()
        answer = client.answer(stream)
        assert (len(answer.body), answer.complete, answer.reset) == (size, True, None)
        # Its stream is forgotten, and nothing is said of it any more.
        for _ in range(3):
            assert client.answer(client.request("/facts")).status == 200
        assert client.goaway is None


class _None:
    body = b""


NONE = _None()


def test_the_connection_s_window_is_what_is_small(server: Hornbeam) -> None:
    with H2(server, window=1 << 20) as client:
        client.acknowledge = False
        streams = [client.request("/big?text/plain&40000&pieces") for _ in range(4)]
        while len(client.answers.get(streams[0], NONE).body) < 20_000:
            client.step()
        for _ in range(400):
            client.connection.increment_flow_control_window(300)
        client.flush()
        assert [len(client.answer(stream).body) for stream in streams] == [40_000] * 4


@pytest.mark.parametrize("bits", [1, 7, 12, 16])
def test_nghttp_with_a_small_window(server: Hornbeam, tmp_path: Path, bits: int) -> None:
    """Both ways: the client's window is small, and it sends a body."""
    upload = tmp_path / "upload"
    upload.write_bytes(b"a" * 5000)
    for path, count in (("/big?text/plain&5000", 5000), ("/big?text/plain&4800&pieces", 4800)):
        command = ["nghttp", "-w", str(bits), f"{server.url}{path}"]
        done = subprocess.run(command, capture_output=True, timeout=20, check=True)
        assert len(done.stdout) == count
    command = ["nghttp", "-w", str(bits), "-d", str(upload), f"{server.url}/length"]
    done = subprocess.run(command, capture_output=True, timeout=20, check=True)
    assert done.stdout == b"5000"


@pytest.mark.parametrize("piece", [1, 100, 4095, 16_384])
def test_an_upload_in_pieces_of_any_size(server: Hornbeam, piece: int) -> None:
    size = min(150_000, piece * 300)
    with H2(server) as client:
        stream = client.request("/length", method="POST", end=False)
        upload(client, stream, size, piece)
        assert client.answer(stream).body == b"%d" % size


def upload(client: H2, stream: int, size: int, piece: int = 16_384) -> None:
    """Sends a whole body as the server's windows allow."""
    while size:
        room = min(client.connection.local_flow_control_window(stream), piece, size)
        if room == 0:
            client.step()
            continue
        client.connection.send_data(stream, b"a" * room, end_stream=room == size)
        client.flush()
        size -= room


def test_bodies_that_nobody_reads_leave_the_others_their_window(server: Hornbeam) -> None:
    """They use up their own streams' windows, and none of that of the connection."""
    with H2(server) as client:
        waiting = client.request("/length", method="POST", end=False)
        unread = [client.request("/slowly", method="POST", end=False) for _ in range(20)]
        # When this is answered the server's settings have come.
        assert client.answer(client.request("/facts")).status == 200
        client.sock.settimeout(0.5)
        with suppress(TimeoutError):  # until nothing more may be sent, nor is
            while True:
                for stream in unread:
                    while room := min(client.connection.local_flow_control_window(stream), 16_384):
                        client.connection.send_data(stream, b"a" * room)
                    client.flush()
                client.step()
        client.sock.settimeout(20)
        upload(client, waiting, 300_000)
        assert client.answer(waiting).body == b"300000"


# Clients that take nothing


@pytest.mark.parametrize(
    "path", ["/stream?8", "/big?text/plain&100", "/big?text/plain&64&pieces", "/wait", "/unknown"]
)
def test_a_stream_that_takes_nothing_is_reset(impatient: Hornbeam, path: str) -> None:
    """Whatever the response is and whoever made it: also one that is complete here."""
    with H2(impatient, window=0) as client:
        begin = time.monotonic()
        streams = [client.request(path) for _ in range(3)]
        for stream in streams:
            assert client.answer(stream).reset == ErrorCodes.INTERNAL_ERROR
        assert time.monotonic() - begin > STALL / 1000 * 0.9
        client.connection.update_settings({4: 65_535})
        client.flush()
        assert client.answer(client.request("/facts")).status == 200


def test_the_application_is_told_and_the_place_is_free(impatient: Hornbeam) -> None:
    before = gone(impatient)
    with H2(impatient, window=0) as client:
        streams = [client.request("/stream?8") for _ in range(20)]
        for stream in streams:
            client.answer(stream)
        wait_until(lambda: gone(impatient) == before + 20, 5, "the application was told")


def test_a_slow_client_and_one_to_whom_nothing_is_said_are_not_reset(impatient: Hornbeam) -> None:
    """It is progress that counts, however little it is; and silence is the application's."""
    with H2(impatient, window=1000) as client:
        client.acknowledge = False
        slow = client.request("/big?text/plain&16000")
        whole = client.request("/big?text/plain&1600&pieces")
        client.connection.increment_flow_control_window(1000, whole)
        silent = client.request("/wait")
        until = time.monotonic() + STALL / 1000 * 2.5
        while time.monotonic() < until:
            time.sleep(STALL / 1000 / 15)
            client.connection.increment_flow_control_window(50, slow)
            client.flush()
            client.step()
        assert client.answers[slow].reset is None
        assert client.answers[silent].reset is None
        assert client.answers[whole].complete
        assert 1000 < len(client.answers[slow].body) < 16_000
        # The same client, when it does stop
        assert client.answer(slow).reset == ErrorCodes.INTERNAL_ERROR
        assert client.answers[silent].reset is None


def test_a_connection_s_window_of_which_some_streams_get_nothing(impatient: Hornbeam) -> None:
    with H2(impatient, window=1 << 20) as client:
        client.acknowledge = False
        streams = [client.request("/big?text/plain&60000") for _ in range(3)]
        answers = [client.answer(stream) for stream in streams]
        assert sorted(answer.complete for answer in answers) == [False, False, True]


# Frames that carry nothing


@pytest.mark.parametrize(
    ("data", "stream_too"),
    [(frame(6, 0, 0, b"12345678"), False), (frame(4, 0, 0), False), (frame(0, 0, 1), True),
     (frame(0, 8, 1, b"\3\0\0\0"), True)],
    ids=["ping", "settings", "empty data", "padding alone"],
)  # fmt: skip
def test_frames_that_carry_nothing(server: Hornbeam, data: bytes, stream_too: bool) -> None:
    for count, ends in ((99, False), (100, False), (101, True)):
        with H2(server) as client:
            client.step()
            if stream_too:
                assert client.request("/length", method="POST", end=False) == 1
            client.sock.sendall(data * count)
            if ends:
                assert flooded(client, b"", 1) == ErrorCodes.ENHANCE_YOUR_CALM
            else:
                assert client.answer(client.request("/facts")).status == 200
    assert httpx.get(f"{server.url}/facts").status_code == 200


def test_a_flood_of_empty_data_frames_ends_early_by_default(impatient: Hornbeam) -> None:
    """5,000 pass; what was on its way when it ended is not looked at, let alone answered."""
    before = gone(impatient)
    with H2(impatient) as client:
        stream = client.request("/never", method="POST", end=False)
        assert flooded(client, frame(0, 0, stream) * 10_000, 2) == ErrorCodes.ENHANCE_YOUR_CALM
        wait_until(lambda: gone(impatient) == before + 1, 5, "its request has ended too")


def test_an_upload_of_200_megabytes_is_no_flood(impatient: Hornbeam, tmp_path: Path) -> None:
    """12,800 frames of 16 KiB, the smallest size that a client must be able to send."""
    body = tmp_path / "body"
    with body.open("wb") as file:
        file.truncate(200 << 20)
    command = ["nghttp", "-v", "-d", str(body), f"{impatient.url}/length"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert str(200 << 20) in said
    lengths = [int(n) for n in re.findall(r"send DATA frame <length=(\d+)", said)]
    assert max(lengths) <= 16_384
