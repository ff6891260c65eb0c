"""One server of two workers for the tests that do not end one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness import Hornbeam


@pytest.fixture(scope="session")
def channels_server() -> Iterator[Hornbeam]:
    """channel_protocol with the options that there are."""
    with Hornbeam(
        "channel_protocol:app", channels="channel_protocol:channels", workers=2, channel_rate="infinity"
    ) as running:
        yield running
