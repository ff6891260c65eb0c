"""Channels: many topics over one WebSocket, with handlers for what clients send there.

    from hornbeam_erlang.channels import Channel, Refused, abroadcast

    room = Channel("room:*")

    @room.on_join
    def join(topic, params, socket):
        if not params.get("name"):
            raise Refused("a name is needed")
        return socket.assign("name", params["name"])

    @room.on("new_msg")
    async def new_msg(payload, socket):
        await abroadcast(socket.topic, "new_msg", {"name": socket.assigns["name"], **payload})

The option `channels` names it ("realtime:room"; or a list of them, or Channels(...)). A payload is
whatever JSON can say, or bytes: a binary message. The functions return when the message is on its
way; those with an `a` in front are the same to await. Reference: docs/channels.md.
"""

from __future__ import annotations

from typing import Any

from hornbeam_erlang import _channel_messages as messages
from hornbeam_erlang._channel import Channel, Channels, History, history_of
from hornbeam_erlang._channel_messages import Kept, Message
from hornbeam_erlang._channel_socket import Connected, Refused, Reply, Request, Socket, Stop
from hornbeam_erlang._channel_topics import check_name
from hornbeam_erlang._client import acall, call

__all__ = [
    "Channel", "Channels", "Connected", "History", "Kept", "Message", "Refused", "Reply", "Request",
    "Socket", "Stop", "abroadcast", "abroadcast_from", "adisconnect", "ahistory", "apush", "areply",
    "broadcast", "broadcast_from", "disconnect", "history", "push", "reply",
]  # fmt: skip


def broadcast(topic: str, event: str, payload: Any) -> None:
    """Sends an event to all clients that have joined the topic, on all connected nodes.

    TypeError and ValueError for what cannot be JSON, and for names without or with more than 255
    bytes.
    """
    call(*_broadcast(topic, event, payload, None))


def broadcast_from(socket: Socket, event: str, payload: Any) -> None:
    """Sends an event to all clients of the socket's topic but this one."""
    call(*_broadcast(socket.topic, event, payload, socket.token))


def push(socket: Socket, event: str, payload: Any) -> bool:
    """Sends an event to this client alone, from any worker of the node; whether it is still
    connected."""
    return bool(call(*messages.push(socket.token, socket.topic, socket.join_ref, event, payload)))


def reply(socket: Socket, payload: Any, status: str = "ok") -> bool:
    """Answers the message that the handler of this socket has got, later; whether the client is
    still connected. ValueError where its client waits for no answer (`socket.ref` is None)."""
    return bool(call(*_reply(socket, payload, status)))


def disconnect(id: str) -> None:
    """Closes the connections that `connect` has given this id, on all connected nodes."""
    call(*messages.disconnect(id))


def history(topic: str, last_id: str = "", limit: int = 1000) -> Kept:
    """What this node keeps of a topic: the last messages behind the one with this id, `limit` at
    most; "" for all that it keeps. `whole` is False where more is missing than is kept."""
    return messages.kept(call(*messages.history(topic, last_id, limit)))


async def abroadcast(topic: str, event: str, payload: Any) -> None:
    """As `broadcast`, without blocking the loop."""
    await acall(*_broadcast(topic, event, payload, None))


async def abroadcast_from(socket: Socket, event: str, payload: Any) -> None:
    """As `broadcast_from`, without blocking the loop."""
    await acall(*_broadcast(socket.topic, event, payload, socket.token))


async def apush(socket: Socket, event: str, payload: Any) -> bool:
    """As `push`, without blocking the loop."""
    request = messages.push(socket.token, socket.topic, socket.join_ref, event, payload)
    return bool(await acall(*request))


async def areply(socket: Socket, payload: Any, status: str = "ok") -> bool:
    """As `reply`, without blocking the loop."""
    return bool(await acall(*_reply(socket, payload, status)))


async def ahistory(topic: str, last_id: str = "", limit: int = 1000) -> Kept:
    """As `history`, without blocking the loop."""
    return messages.kept(await acall(*messages.history(topic, last_id, limit)))


async def adisconnect(id: str) -> None:
    """As `disconnect`, without blocking the loop."""
    await acall(*messages.disconnect(id))


def _broadcast(topic: str, event: str, payload: Any, token: bytes | None) -> messages.Request:
    return messages.broadcast(check_name("topic", topic), event, payload, token, history_of(topic))


def _reply(socket: Socket, payload: Any, status: str) -> messages.Request:
    if socket.ref is None:
        raise ValueError("the client waits for no answer: the socket has no ref")
    refs = (socket.join_ref, socket.ref)
    return messages.reply(socket.token, socket.topic, refs, status, payload)
