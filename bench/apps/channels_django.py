"""What bench/realtime.py loads in Django Channels: the same on its consumers and groups."""

from __future__ import annotations

import json
import os
from typing import Any

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="bench",
    ALLOWED_HOSTS=["*"],
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {
                # Their defaults refuse what many clients that connect at once need of Redis.
                "hosts": [
                    {
                        "address": f"unix://{os.environ['BENCH_REDIS']}",
                        "max_connections": 5000,
                        "socket_timeout": None,
                        "socket_connect_timeout": None,
                    }
                ],
                # A group that is full loses messages, which would be taken for a hang.
                "capacity": 100_000,
            },
        }
    },
)
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402  (needs the settings)
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402


class Room(AsyncWebsocketConsumer):  # type: ignore[misc]
    """A client of a room."""

    async def connect(self) -> None:
        self.room = self.scope["url_route"]["kwargs"]["room"]
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()
        await self.send(text_data="joined")

    async def disconnect(self, _code: int) -> None:
        await self.channel_layer.group_discard(self.room, self.channel_name)

    async def receive(self, text_data: str = "", bytes_data: bytes | None = None) -> None:
        message = json.loads(text_data)
        if message["event"] == "echo":
            await self.send(text_data=json.dumps(message))
        else:
            event = {"type": "shout", "message": message}
            await self.channel_layer.group_send(message["room"], event)

    async def shout(self, event: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(event["message"]))


app = ProtocolTypeRouter({"websocket": URLRouter([path("<str:room>", Room.as_asgi())])})
