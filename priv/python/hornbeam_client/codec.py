"""The wire format, Phoenix's V2: a JSON array in text, a short header before the bytes in binary.

    text:       [join_ref, ref, topic, event, payload]
    push:       0, lengths of join_ref, ref, topic, event, these, the payload  (to the server)
    push:       0, lengths of join_ref, topic, event, ...                 (from the server)
    reply:      1, lengths of join_ref, ref, topic, status, ...
    broadcast:  2, lengths of topic, event, ...

Pure. Called by Socket.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

# Names in a header have their length in one byte.
MAX_NAME = 255
_NAMES = {0: 3, 1: 4, 2: 2}


@dataclass(frozen=True)
class Message:
    """One message, in either direction; `payload` is bytes or what JSON has."""

    join_ref: str | None
    ref: str | None
    topic: str
    event: str
    payload: Any


def encode(message: Message) -> str | bytes:
    """The frame of a message; `ValueError` for a payload or a name that it cannot hold."""
    if not isinstance(message.payload, (bytes, bytearray, memoryview)):
        parts = [message.join_ref, message.ref, message.topic, message.event, message.payload]
        return json.dumps(parts, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    texts = (message.join_ref or "", message.ref or "", message.topic, message.event)
    names = [text.encode() for text in texts]
    longest = max(map(len, names))
    if longest > MAX_NAME:
        raise ValueError(f"a name in a binary message has at most {MAX_NAME} bytes, not {longest}")
    return bytes([0, *map(len, names)]) + b"".join(names) + bytes(message.payload)


def decode(frame: str | bytes) -> Message:
    """The message of a frame; `ValueError` for what is none."""
    if isinstance(frame, str):
        join_ref, ref, topic, event, payload = json.loads(frame)
        return Message(join_ref, ref, topic, event, payload)
    count = _NAMES.get(frame[0]) if frame else None
    if count is None or len(frame) < 1 + count:
        raise ValueError(f"no message: {bytes(frame[:16])!r}")
    names, at = [], 1 + count
    for size in frame[1:at]:
        names.append(frame[at : at + size].decode())
        at += size
    payload = frame[at:]
    if frame[0] == 2:
        return Message(None, None, names[0], names[1], payload)
    if frame[0] == 0:
        return Message(names[0] or None, None, names[1], names[2], payload)
    answer = {"status": names[3], "response": payload}
    return Message(names[0] or None, names[1] or None, names[2], "hb_reply", answer)
