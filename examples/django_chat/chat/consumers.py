"""One consumer for each socket: its room is a group of the channel layer."""

import os
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer


class Room(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        self.room = "room." + self.scope["url_route"]["kwargs"]["name"]
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()
        await self.send_json({"worker": os.getpid()})

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.room, self.channel_name)

    async def receive_json(self, content: dict[str, Any], **_: Any) -> None:
        message = {"type": "room.said", "text": str(content.get("text", ""))[:1000]}
        await self.channel_layer.group_send(self.room, message)

    async def room_said(self, event: dict[str, Any]) -> None:
        await self.send_json({"text": event["text"]})
