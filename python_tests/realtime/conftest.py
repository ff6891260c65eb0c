"""One server of two workers for the tests that do not end one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from channel_client import started
from harness import Hornbeam


@pytest.fixture(scope="session")
def channels_server() -> Iterator[Hornbeam]:
    """One that all may use, without a limit of messages."""
    with started(channel_rate="infinity") as running:
        yield running
