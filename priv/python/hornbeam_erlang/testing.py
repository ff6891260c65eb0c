"""For the unit tests of applications: `hornbeam_erlang` without Hornbeam.

    with standalone() as erlang:
        erlang.register_function("add", lambda a, b: a + b)
        assert call("add", 1, 2) == 3

In pytest the fixture `hornbeam_standalone` does the same for one test; `conftest.py` says

    pytest_plugins = ["hornbeam_erlang.pytest_plugin"]

The package is in Hornbeam's `priv/python`, which must be on the path (PYTHONPATH or pytest's
`pythonpath`), and needs `msgpack`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hornbeam_erlang import _client
from hornbeam_erlang._standalone import Standalone

__all__ = ["Standalone", "standalone"]


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
