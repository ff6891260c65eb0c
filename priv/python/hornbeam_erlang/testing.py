"""For the unit tests of applications: `hornbeam_erlang` without Hornbeam.

    with standalone() as erlang:
        erlang.register_function("add", lambda a, b: a + b)
        assert call("add", 1, 2) == 3

Channels have clients without a server:

    with channels(room) as clients:
        lobby = clients.connect().join("room:lobby", {"name": "Ann"})
        assert lobby.push("new_msg", {"body": "hi"}).status == "ok"
        assert lobby.received == [("new_msg", {"name": "Ann", "body": "hi"})]

In pytest the fixture `hornbeam_standalone` does the same for one test; `conftest.py` says

    pytest_plugins = ["hornbeam_erlang.pytest_plugin"]

The package is in Hornbeam's `priv/python`, which must be on the path (PYTHONPATH or pytest's
`pythonpath`), and needs `msgpack`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from hornbeam_erlang import _channel, _client
from hornbeam_erlang._standalone import Standalone
from hornbeam_erlang._standalone_channels import Answer, ChannelClient, Joined, Rooms

__all__ = ["Answer", "ChannelClient", "Joined", "Rooms", "Standalone", "channels", "standalone"]


@contextlib.contextmanager
def standalone() -> Iterator[Standalone]:
    """Gives the public functions an empty stand-in of their own until the block is left.

    It keeps state, publishes within this process, and runs functions registered with
    `register_function`, services registered with `register_service` and hooks; `remote` is what
    `rpc_call` reaches.
    """
    made = Standalone()
    before = _client.connect(made)
    try:
        yield made
    finally:
        _client.connect(before)


@contextlib.contextmanager
def channels(
    served: _channel.Channels | _channel.Channel | Sequence[_channel.Channel],
) -> Iterator[Rooms]:
    """Gives what the option `channels` would name clients to connect, in the stand-in that is
    entered or in one of its own; they leave at the end of the block.

    What a handler raises is raised to the test, and a refusal is Refused, with its `response`.
    Handlers run in a loop of the stand-in's, or in threads; topics keep no history.
    """
    here = _client.backend()
    with contextlib.ExitStack() as stack:
        if not isinstance(here, Standalone):
            here = stack.enter_context(standalone())
        made = _channel.channels_of(served)
        stack.callback(_channel.serve, _channel.serve(made))
        rooms = here.serve(made)
        stack.callback(rooms.stop)
        yield rooms
