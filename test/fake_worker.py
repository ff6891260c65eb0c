#!/usr/bin/env python3
"""Stands for Python in the tests of hornbeam_worker: speaks frames as the variable FAKE says.

The option `python` names this file, which ignores its arguments and needs no package.
"""

from __future__ import annotations

import os
import sys
import time

BOOT, STOP, PING, REQUEST, BODY = 0x01, 0x03, 0x04, 0x10, 0x11
HELLO, READY, FAILED, PONG, CALL, RESPONSE, DATA = 0x41, 0x42, 0x43, 0x45, 0x47, 0x50, 0x51


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


def receive() -> tuple[int, int, bytes]:
    size = int.from_bytes(read(4), "big")
    frame = read(size)
    return frame[0], int.from_bytes(frame[1:5], "big"), frame[5:]


def respond(stream: int, text: bytes) -> None:
    send(
        RESPONSE,
        stream,
        b"\x01" + (200).to_bytes(2, "big") + (1).to_bytes(4, "big") + b"\x90" + text,
    )


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
    send(HELLO, 0, (99 if mode == "other_version" else 1).to_bytes(2, "big") + b"\x80")
    assert receive()[0] == BOOT
    if mode == "failed":
        send(FAILED, 0, b"\x05" + "für dich".encode())
        sys.exit(3)
    if mode == "failed_somehow":
        send(FAILED, 0, b"\x63why")
        time.sleep(60)
    if mode == "hello_only":
        time.sleep(60)
    send(READY, 0, b"\x80")


def serve(mode: str) -> None:
    """hold: answers a request when its body's last frame comes; the other modes do harm at once."""
    while True:
        kind, stream, payload = receive()
        if kind == STOP:
            sys.exit(0)
        elif kind == PING:
            send(PONG, 0, len(payload).to_bytes(2, "big") + payload + b"\x81\xa7running\x00")
        elif kind == REQUEST and mode == "answer":
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
        elif kind == BODY and payload[0] & 1:
            respond(stream, payload[1:])


start(os.environ["FAKE"])
serve(os.environ["FAKE"])
