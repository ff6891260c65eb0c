"""The names of the module `hornbeam_channels`, for applications that import them:

    from hornbeam_channels import channel, broadcast, broadcast_from
    room = channel("room:*")

They are `hornbeam_erlang.channels`'s, whose handlers take and return the forms of this module, too.
The option `channels` names the object that `channel` returns. New code imports from
`hornbeam_erlang.channels`.
"""

from __future__ import annotations

from hornbeam_erlang.channels import (
    Channel,
    Socket,
    broadcast,
    broadcast_from,
    push,
)
from hornbeam_erlang.channels import Channel as channel

__all__ = ["Channel", "Socket", "broadcast", "broadcast_from", "channel", "push"]
