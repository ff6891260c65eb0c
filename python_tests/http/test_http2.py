"""HTTP/2: streams, flow control both ways, resets, and the bounds on floods."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
from harness import Hornbeam, memory, wait_until
from http_client import H2, exchange, flooded, frame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CANCEL = 8
ENHANCE_YOUR_CALM = 11


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam(
        "http_messages:app", window=65_536, max_frame_rate=2000, max_streams=50
    ) as server:
        yield server


def facts(server: Hornbeam) -> list[int]:
    """What the application has counted: pieces sent, disconnects, bytes taken."""
    return [int(number) for number in httpx.get(f"{server.url}/facts").text.split()]


def test_many_streams_at_once(server: Hornbeam) -> None:
    with H2(server) as client:
        streams = [client.request(f"/ordered?{number}") for number in range(5) for _ in range(8)]
        for place, stream in enumerate(streams):
            assert client.answer(stream).body == b"%d" % (place // 8)


def test_no_more_streams_than_max_streams(server: Hornbeam) -> None:
    """What is beyond is refused, not answered (RFC 9113, 5.1.2)."""
    with H2(server) as client:
        client.step()
        settings = client.connection.remote_settings
        assert settings.max_concurrent_streams == 50
        settings[3] = 1000  # h2 itself would keep to it
        settings.acknowledge()
        streams = [client.request("/wait") for _ in range(60)]
        refused = [client.answer(stream).reset for stream in streams[50:]]
        assert refused == [7] * 10
        for stream in streams[:50]:
            client.connection.reset_stream(stream, CANCEL)
        client.flush()


def test_a_slow_reader_stops_the_application_and_not_its_neighbours(server: Hornbeam) -> None:
    with H2(server) as client:
        client.acknowledge = False
        client.connection.increment_flow_control_window(1 << 30)
        client.flush()
        slow = client.request("/stream?200")
        while len(client.answers.get(slow, NONE).body) < 40_000:
            client.step()
        wait_until(lambda: steady(server), 20, "the application waits")
        assert 0 < facts(server)[0] < 20
        assert client.answer(client.request("/facts")).status == 200
        client.connection.increment_flow_control_window(1 << 30, slow)
        client.flush()
        answer = client.answer(slow)
        assert len(answer.body) == 200 * 65_536
        assert facts(server)[0] == 200


class _None:
    body = b""


NONE = _None()


def steady(server: Hornbeam) -> bool:
    """Whether the application gets no more rid of."""
    before = facts(server)[0]
    time.sleep(0.2)
    return before > 0 and facts(server)[0] == before


def test_memory_stays_bounded_with_a_reader_that_reads_nothing(server: Hornbeam) -> None:
    beam = server.beam()
    before = memory(beam)
    with H2(server) as client:
        client.connection.increment_flow_control_window(1 << 30)
        streams = [client.request("/stream?1000") for _ in range(30)]
        for _ in streams:
            client.step()
        wait_until(lambda: steady(server), 20, "the application waits")
        # A window that waits, one on its way and a piece, for each of the streams
        assert memory(beam) - before < 60 << 20
        for stream in streams:
            with suppress(Exception):
                client.connection.reset_stream(stream, CANCEL)
        client.flush()


def test_the_client_sends_no_more_than_the_application_takes(server: Hornbeam) -> None:
    with H2(server) as client:
        stream = client.request("/slowly", method="POST", end=False)
        client.step()
        sent = 0
        for _ in range(200):
            room = min(client.connection.local_flow_control_window(stream), 16_384)
            if room == 0:
                client.sock.settimeout(0.5)
                with suppress(TimeoutError):
                    client.step()
                if client.connection.local_flow_control_window(stream) == 0:
                    break
                continue
            client.connection.send_data(stream, b"a" * room)
            client.flush()
            sent += room
        # body_prefetch, four times, since the worker has nothing else to do
        assert sent == 1_048_576
        client.sock.settimeout(20)
        assert client.answer(client.request("/facts")).status == 200
        for _ in range(40):
            httpx.get(f"{server.url}/take")
        wait_until(lambda: facts(server)[2] == sent, 10, "the application has taken it")
        client.connection.end_stream(stream)
        client.flush()
        assert client.answer(stream).body == b"%d" % sent


def test_a_stream_whose_window_others_have_used_up(server: Hornbeam) -> None:
    """Bodies that nobody read have cost the connection its window; the next one gets some."""
    with H2(server) as client:
        for _ in range(6):
            stream = client.request("/no_body", method="POST", end=False)
            room = min(client.connection.local_flow_control_window(stream), 60_000)
            while room > 0:
                piece = min(room, 16_384)
                client.connection.send_data(stream, b"a" * piece)
                room -= piece
            client.flush()
            answer = client.answer(stream)
            assert answer.status == 401
        stream = client.request("/length", method="POST", end=False)
        left = 100_000
        while left:
            room = min(client.connection.local_flow_control_window(stream), 16_384, left)
            if room == 0:
                client.step()
                continue
            client.connection.send_data(stream, b"a" * room, end_stream=room == left)
            client.flush()
            left -= room
        assert client.answer(stream).body == b"100000"


def test_a_reset_stream_is_a_disconnect_of_that_stream_alone(server: Hornbeam) -> None:
    before = facts(server)[1]
    with H2(server) as client:
        streams = [client.request("/wait") for _ in range(3)]
        while any(stream not in client.answers for stream in streams):
            client.step()
        client.connection.reset_stream(streams[1], CANCEL)
        client.flush()
        wait_until(lambda: facts(server)[1] == before + 1, 5, "one was told")
        assert client.answer(client.request("/facts")).status == 200
        assert facts(server)[1] == before + 1
    wait_until(lambda: facts(server)[1] == before + 3, 5, "all were told")


def test_an_application_that_fails_mid_response_costs_its_stream_alone(server: Hornbeam) -> None:
    with H2(server) as client:
        for _ in range(12):
            assert client.answer(client.request("/trailers_missing")).reset is not None
        assert client.answer(client.request("/facts")).status == 200


def test_rapid_reset(server: Hornbeam) -> None:
    """CVE-2023-44487: 500 cancelled streams in ten seconds end the connection."""
    with H2(server) as client:
        client.step()
        data = b""
        for number in range(600):
            stream = 2 * number + 1
            data += frame(1, 5, stream, b"\x82\x86\x84\x41\x01a") + frame(
                3, 0, stream, CANCEL.to_bytes(4, "big")
            )
        assert flooded(client, data, 1) == ENHANCE_YOUR_CALM
    wait_until(lambda: httpx.get(f"{server.url}/facts").status_code == 200, 5, "it goes on")


@pytest.mark.parametrize(
    "data",
    [frame(4, 0, 0), frame(4, 0, 0, b"\x00\x04\x00\x01\x00\x00"), frame(6, 0, 0, b"12345678"),
     frame(2, 0, 1, b"\0\0\0\0\0"), frame(0xEE, 0, 0, b"x"), frame(8, 0, 0, b"\0\0\0\1")],
    ids=["settings", "settings with a value", "ping", "priority", "unknown", "window update"],
)  # fmt: skip
def test_floods_of_frames(server: Hornbeam, data: bytes) -> None:
    """CVE-2019-9512, 9515 and others: max_frame_rate frames in ten seconds end the connection."""
    with H2(server) as client:
        client.step()
        assert flooded(client, data * 2500, 1) == ENHANCE_YOUR_CALM


def test_empty_data_frames(server: Hornbeam) -> None:
    """CVE-2019-9518."""
    with H2(server) as client:
        stream = client.request("/slowly", method="POST", end=False)
        assert flooded(client, frame(0, 0, stream) * 2500, 1) == ENHANCE_YOUR_CALM


def test_continuation_flood(server: Hornbeam) -> None:
    """A head in endless CONTINUATION frames is not collected (VU#421644)."""
    beam = server.beam()
    before = memory(beam)
    with H2(server) as client:
        client.step()
        client.sock.sendall(frame(1, 1, 1, b"\x82\x86\x84\x41\x01a"))
        piece = b"\x00\x01x\x7f\x81\x7e" + b"a" * 250
        code = flooded(client, frame(9, 0, 1, piece * 60), 4000)
        assert code not in (None, 0)
    assert memory(beam) - before < 30 << 20


def test_what_is_no_http2(server: Hornbeam) -> None:
    for data in (
        PREFACE + b"\xff" * 100,
        PREFACE + frame(0, 0, 0, b"data on stream 0"),
        PREFACE + frame(4, 0, 0) + frame(1, 5, 2, b"\x82"),
        PREFACE + frame(4, 0, 0) + frame(1, 5, 1, b"\xff\xff\xff\xff"),
        PREFACE + frame(4, 0, 0) + frame(9, 4, 1, b""),
        PREFACE + frame(4, 0, 1),
        PREFACE + frame(4, 0, 0, b"\x00\x02\x00\x00\x00\x07"),
    ):
        answer = exchange(server, data)
        assert b"HTTP/1.1 200" not in answer
    assert "CRASH" not in server.output


def test_http_version_chooses() -> None:
    with Hornbeam("http_messages:app", http_version="HTTP/1.1") as one:
        assert httpx.get(f"{one.url}/facts").status_code == 200
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        assert exchange(one, preface).startswith(b"HTTP/1.1 505 ")
    with Hornbeam("http_messages:app", http_version="HTTP/2") as two:
        with H2(two) as client:
            assert client.answer(client.request("/facts")).status == 200
        assert not exchange(two, b"GET /facts HTTP/1.1\r\nHost: a\r\n\r\n").startswith(
            b"HTTP/1.1 2"
        )


def test_an_offer_to_upgrade_in_clear_text_is_ignored(server: Hornbeam) -> None:
    """RFC 9113 has no `Upgrade: h2c` any more; RFC 9110, 7.8: an offer may be ignored."""
    command = ["curl", "-s", "--http2", "-w", " %{http_version}", f"{server.url}/ordered?4"]
    done = subprocess.run(command, check=True, capture_output=True, timeout=20)
    assert done.stdout == b"4 1.1"
