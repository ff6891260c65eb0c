#!/usr/bin/env -S python3 -I -S
"""Stands for Python in the tests of hornbeam_worker: speaks frames as the variable FAKE says.

The option `python` names this file, which ignores its arguments and needs no package.
"""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import time

BOOT, STOP, PING, INVOKE, PERFORM, REQUEST = 0x01, 0x03, 0x04, 0x07, 0x08, 0x10
BODY_END, WS_OPEN = 0x14, 0x20
HELLO, READY, FAILED, PONG, CALL, RESPONSE = 0x41, 0x42, 0x43, 0x45, 0x47, 0x50
DATA, ABORT = 0x51, 0x53

# In a script: the id of the stream, and a wait of a moment for what Erlang says next (credit for a
# handshake).
STREAM = b"\xfe\xed\xf0\x0d"
PAUSE = b"\xfe\xed\xf0\x0e"


def send(kind: int, stream: int = 0, payload: bytes = b"") -> None:
    head = (5 + len(payload)).to_bytes(4, "big") + bytes([kind]) + stream.to_bytes(4, "big")
    os.write(4, head + payload)


def read(size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(3, size - len(data))
        if not more:
            sys.exit(0)
        data += more
    return data


# Frames of other streams that came while a script waited.
held: list[tuple[int, int, bytes]] = []


def receive() -> tuple[int, int, bytes]:
    if held:
        return held.pop(0)
    return receive_new()


def receive_new() -> tuple[int, int, bytes]:
    size = int.from_bytes(read(4), "big")
    frame = read(size)
    return frame[0], int.from_bytes(frame[1:5], "big"), frame[5:]


def respond(stream: int, text: bytes) -> None:
    send(
        RESPONSE,
        stream,
        b"\x01" + (200).to_bytes(2, "big") + (1).to_bytes(4, "big") + b"\x90" + text,
    )


def play(stream: int, payload: bytes) -> None:
    """Writes the bytes that a request's scope gives as "script=HEX", then ends the stream.

    A script that ends in the middle of a frame ends with the process.
    """
    found = re.search(rb"script=([0-9a-f]*)", payload)
    assert found is not None
    script = bytes.fromhex(found[1].decode()).replace(STREAM, stream.to_bytes(4, "big"))
    first, *rest = script.split(PAUSE)
    write(first)
    for part in rest:
        if select.select([3], [], [], 0.05)[0]:
            frame = receive_new()
            if frame[1] != stream:
                held.append(frame)
        write(part)
    at, script = 0, script.replace(PAUSE, b"")
    while at + 4 <= len(script):
        at += 4 + int.from_bytes(script[at : at + 4], "big")
    if at != len(script):
        os._exit(1)
    send(ABORT, stream, b"\x01\x01")


def write(data: bytes) -> None:
    while data:
        data = data[os.write(4, data) :]


def pong(echo: bytes) -> None:
    send(PONG, 0, len(echo).to_bytes(2, "big") + echo + b"\x81\xa7running\x00")


def start(mode: str) -> None:
    """Until the worker is ready; the modes that never are end here."""
    if mode == "exits":
        sys.exit(3)
    if mode == "garbage":
        os.write(4, b"HTTP/1.1 200 OK\r\n\r\n")
        time.sleep(60)
    if mode == "too_large":
        os.write(4, b"\xff\xff\xff\xff\x41")
        time.sleep(60)
    if mode == "silent":
        time.sleep(60)
    send(HELLO, 0, (99 if mode == "other_version" else 2).to_bytes(2, "big") + b"\x80")
    assert receive()[0] == BOOT
    if mode == "failed":
        send(FAILED, 0, b"\x05" + "für dich".encode())
        sys.exit(3)
    if mode == "failed_somehow":
        send(FAILED, 0, b"\x63why")
        time.sleep(60)
    if mode == "hello_only":
        time.sleep(60)
    if mode == "zero":
        # Its stacks are in a file without an end, and it never answers.
        signal.signal(35, signal.SIG_IGN)
        zero = os.open("/dev/zero", os.O_RDONLY)
        send(READY, 0, b"\x81\xa4dump\x92" + bytes([zero, 35]))
        time.sleep(60)
    send(READY, 0, b"\x80")


def serve(mode: str) -> None:
    """hold: answers a request when its body's last frame comes; the other modes do harm at once."""
    while True:
        kind, stream, payload = receive()
        if kind == STOP:
            sys.exit(0)
        elif kind == PING:
            pong(payload)
        elif (
            kind in (REQUEST, WS_OPEN, INVOKE, PERFORM)
            and mode == "script"
            and b"script=" in payload
        ):
            play(stream, payload)
        elif kind == REQUEST and mode == "flood":
            send(RESPONSE, stream, b"\x00" + (200).to_bytes(2, "big") + b"\0\0\0\1\x90")
            piece = (6).to_bytes(4, "big") + bytes([DATA]) + stream.to_bytes(4, "big") + b"\0"
            for _ in range(int(os.environ["FLOOD"]) // 1_000_000):
                write(piece * 100_000)
            send(DATA, stream, b"\x01")
        elif kind == REQUEST and mode in ("answer", "script"):
            respond(stream, str(os.getpid()).encode())
        elif kind == REQUEST and mode == "garbage_later":
            os.write(4, b"\0\0\0\1garbage")
        elif kind == REQUEST and mode == "empty_frame":
            send(DATA, stream)
        elif kind == REQUEST and mode == "empty_call":
            send(CALL, 1)
            send(CALL, 2, b"\xfa\x90")
            send(CALL, 3, b"\x01\xc1")
            respond(stream, b"still here")
        elif kind == REQUEST and mode == "nobodys_stream":
            send(DATA, 4_000_000, b"\x00lost")
            send(DATA, 4_000_000, b"\x01lost")
            respond(stream, b"still here")
        elif kind == BODY_END:
            respond(stream, payload)


start(os.environ["FAKE"])
serve(os.environ["FAKE"])
