"""A channel layer for Django Channels whose messages wait in Erlang (`hornbeam_layer`).

A message is taken by one call that answers at once, without an `await` between, so a `receive` that
is cancelled has taken nothing. Where there is none it waits to be told that there is. Messages are
MessagePack, as those of channels_redis; never a pickle. Reference: docs/django.md.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import re
import uuid
from collections.abc import Mapping
from typing import Any, Final

import msgpack
from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer

from hornbeam_erlang._backend import ABSENT
from hornbeam_erlang._client import acall, call, post
from hornbeam_erlang._operations import OPERATIONS

__all__ = ["ChannelLayer"]

logger = logging.getLogger(__name__)

_TOKENS: Final = itertools.count(1)
# Seconds after which one who waits asks again: if what it waits in has failed, it is not told.
_ASK_AGAIN: Final = 60.0


class ChannelLayer(BaseChannelLayer):  # type: ignore[misc]
    """What CONFIG may hold:

    expiry            seconds for which a message waits (60)
    group_expiry      seconds after which a channel is no longer in a group (86400)
    capacity          messages that wait for one channel (100)
    channel_capacity  other capacities: {"http.request": 200, "http.response!*": 10}
    prefix            the layer's name: layers of one name are one, on all workers of the node
    """

    extensions: Final = ["groups", "flush"]

    def __init__(
        self,
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[str | re.Pattern[str], int] | None = None,
        prefix: str = "asgi",
    ) -> None:
        super().__init__(expiry=expiry, capacity=capacity)
        self.channel_capacity = self.compile_capacities(channel_capacity or {})
        self.group_expiry = group_expiry
        self.prefix = prefix
        for number in (capacity, *(capacity for _, capacity in self.channel_capacity)):
            if type(number) is not int or number < 1:
                raise ValueError(f"a capacity must be an int of at least 1, not {number!r}")
        _milliseconds("expiry", expiry)
        _milliseconds("group_expiry", group_expiry)
        self.client_prefix = uuid.uuid4().hex
        self._owns = False

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """ChannelFull where `capacity` messages wait already."""
        self.require_valid_channel_name(channel)
        expiry = _milliseconds("expiry", self.expiry)
        if not await self._ask("send", channel, _pack(message), self.get_capacity(channel), expiry):
            raise ChannelFull(channel)

    async def receive(self, channel: str) -> dict[str, Any]:
        """The next message; waits for one. AssertionError, as channels_redis has it, for a channel
        that another process has made."""
        self.require_valid_channel_name(channel)
        if "!" in channel and not channel.partition("!")[0].endswith(f".{self.client_prefix}"):
            raise AssertionError(f"{channel} is a channel of another process or layer")
        while (packed := call(OPERATIONS["layer_take"], [self.prefix, channel])) is ABSENT:
            await self._told(channel)
        message: dict[str, Any] = msgpack.unpackb(packed, strict_map_key=False)
        return message

    async def _told(self, channel: str) -> None:
        """Returns when there may be a message."""
        token = next(_TOKENS)
        try:
            await asyncio.wait_for(self._ask("wait", channel, token), _ASK_AGAIN)
        except asyncio.TimeoutError:
            post(OPERATIONS["layer_forget"], [self.prefix, channel, token])
        except BaseException:
            post(OPERATIONS["layer_forget"], [self.prefix, channel, token])
            raise

    async def new_channel(self, prefix: str = "specific") -> str:
        """A channel of this process alone; it ends with the process."""
        if not self._owns or prefix != "specific":
            await self._ask("own", f"{prefix}.{self.client_prefix}")
            self._owns = self._owns or prefix == "specific"
        return f"{prefix}.{self.client_prefix}!{uuid.uuid4().hex}"

    async def group_add(self, group: str, channel: str) -> None:
        """Puts the channel into the group, for `group_expiry` from now."""
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        expiry = _milliseconds("group_expiry", self.group_expiry)
        await self._ask("group_add", group, channel, expiry, self.get_capacity(channel))

    async def group_discard(self, group: str, channel: str) -> None:
        """Takes it out, if it is there."""
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        await self._ask("group_discard", group, channel)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """To each channel of the group that has room; the others do not get it."""
        self.require_valid_group_name(group)
        expiry = _milliseconds("expiry", self.expiry)
        members, full = await self._ask("group_send", group, _pack(message), expiry)
        if full:
            text = "%s of %s channels over capacity in group %s"
            logger.info(text, full, members, group)

    async def flush(self) -> None:
        """Forgets the layer's messages and groups, on all workers."""
        await self._ask("flush")

    async def close_pools(self) -> None:
        """As channels_redis has it: there are none."""

    async def close(self) -> None:
        """There is nothing to close: workers have their way to Erlang."""

    def _ask(self, operation: str, *arguments: Any) -> Any:
        return acall(OPERATIONS[f"layer_{operation}"], [self.prefix, *arguments])


def _pack(message: dict[str, Any]) -> bytes:
    if not isinstance(message, dict):
        raise TypeError(f"a message is a dict, not {type(message).__name__}")
    packed: bytes = msgpack.packb(message)
    return packed


def _milliseconds(name: str, seconds: float) -> int:
    if not 0 < seconds < 0x7FFFFFFF:
        raise ValueError(f"{name} must be more than 0 seconds, not {seconds!r}")
    return math.ceil(seconds * 1000)
