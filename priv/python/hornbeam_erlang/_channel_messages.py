"""Payloads of channels to JSON text and back, and what each public function asks of Erlang.

A payload is whatever JSON can say, an object as a rule, or bytes: a binary message.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

from hornbeam_erlang._channel_topics import check_name
from hornbeam_erlang._operations import OPERATIONS

__all__ = [
    "Kept", "Message", "Payload", "Request", "broadcast", "decode", "disconnect", "encode",
    "history", "kept", "presence_get", "presence_list", "presence_push", "presence_set",
    "presence_untrack", "push", "reply",
]  # fmt: skip

Payload: TypeAlias = Any
Request: TypeAlias = tuple[int, list[Any]]


class Message(NamedTuple):
    """One that a topic keeps."""

    id: str
    event: str
    payload: Payload


class Kept(NamedTuple):
    """What a topic keeps behind the last one that was seen; `whole`: nothing between is missing."""

    whole: bool
    messages: list[Message]


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


# Made once: json.dumps and json.loads make one for each call.
_SEPARATORS: Final = (",", ":")
_text: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=_SEPARATORS).encode
_escaped: Final = json.JSONEncoder(allow_nan=False, separators=_SEPARATORS).encode
_value: Final = json.JSONDecoder(parse_constant=_refuse).decode


def encode(what: str, payload: Payload) -> str | bytes:
    """JSON text, or the bytes that they are. TypeError and ValueError name `what`."""
    if type(payload) is bytes:
        return payload
    try:
        text = _text(payload)
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can say as an escape
        return _escaped(payload)
    except (TypeError, ValueError, RecursionError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        text = f"{what} cannot be JSON: {error or type(error).__name__}"
        raise kind(text) from None
    return text


def decode(payload: str | bytes) -> Payload:
    """What a client has sent; ValueError where it is no JSON."""
    if isinstance(payload, bytes):
        return payload
    try:
        return _value(payload)
    except RecursionError:
        raise ValueError("nested too deep") from None


def broadcast(
    topic: str,
    event: str,
    payload: Payload,
    token: bytes | None,
    history: list[int | None] | None,
) -> Request:
    """`token`: of the connection that does not get it; `history`: what the topic keeps, where this
    process knows."""
    packed = encode(f'the payload of "{event}"', payload)
    arguments = [_topic(topic), check_name("event", event), packed, token, history]
    return OPERATIONS["channel_broadcast"], arguments


def push(token: bytes, topic: str, join_ref: str | None, event: str, payload: Payload) -> Request:
    packed = encode(f'the payload of "{event}"', payload)
    arguments = [token, topic, join_ref, check_name("event", event), packed]
    return OPERATIONS["channel_push"], arguments


def reply(
    token: bytes, topic: str, refs: tuple[str | None, str], status: str, payload: Payload
) -> Request:
    """`refs`: of the join and of the message."""
    packed = encode("the reply", payload)
    arguments = [token, topic, *refs, check_name("status", status), packed]
    return OPERATIONS["channel_reply"], arguments


def history(topic: str, last_id: str, limit: int) -> Request:
    if type(last_id) is not str:
        raise TypeError(f"last_id: a str, not {last_id!r}")
    if type(limit) is not int or limit < 1:
        raise ValueError(f"limit: an int of at least 1, not {limit!r}")
    return OPERATIONS["channel_history"], [_topic(topic), last_id, limit]


def kept(answer: Any) -> Kept:
    whole, messages = answer
    return Kept(whole, [Message(id, event, decode(packed)) for id, event, packed in messages])


def disconnect(id: str) -> Request:
    return OPERATIONS["channel_disconnect"], [check_name("id", id)]


def presence_set(
    how: str, topic: str, key: str, meta: Mapping[str, Any] | None, token: bytes | None
) -> Request:
    """`how`: presence_track or presence_update."""
    if meta is not None and not isinstance(meta, Mapping):
        raise TypeError(f"meta must be a dict, not {meta!r}")
    packed = encode("meta", dict(meta or {}))
    return OPERATIONS[how], [_topic(topic), check_name("key", key), packed, token]


def presence_untrack(topic: str, key: str, token: bytes | None) -> Request:
    return OPERATIONS["presence_untrack"], [_topic(topic), check_name("key", key), token]


def presence_list(topic: str) -> Request:
    return OPERATIONS["presence_list"], [_topic(topic)]


def presence_get(topic: str, key: str) -> Request:
    return OPERATIONS["presence_get"], [_topic(topic), check_name("key", key)]


def presence_push(token: bytes, topic: str, join_ref: str | None) -> Request:
    return OPERATIONS["presence_push"], [token, topic, join_ref]


def _topic(topic: str) -> str:
    if check_name("topic", topic).endswith("*"):
        raise ValueError(f"{topic!r} is a pattern, and no topic")
    return topic
