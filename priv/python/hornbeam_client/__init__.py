"""A client of Hornbeam's channels for tests and scripts, on the package `websockets`:

    from hornbeam_client import connect

    async with connect("ws://127.0.0.1:8000/socket", {"token": "..."}) as socket:
        room = socket.channel("room:1", {"as": "Ada"})
        await room.join()
        await room.push("new_msg", {"text": "hello"})
        async for event, payload in room:
            print(event, payload)

A connection that is lost is opened again, its topics are joined again, and on a topic with history
what was missed arrives in order. `pip install 'hornbeam[client]'` brings what it needs.
"""

from __future__ import annotations

from hornbeam_client.channel import Channel
from hornbeam_client.errors import ChannelError, ConnectError, PushError
from hornbeam_client.presence import Presence
from hornbeam_client.socket import Socket, connect

__all__ = ["Channel", "ChannelError", "ConnectError", "Presence", "PushError", "Socket", "connect"]
