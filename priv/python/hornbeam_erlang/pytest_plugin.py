"""The pytest fixture `hornbeam_standalone`; see `hornbeam_erlang.testing`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hornbeam_erlang.testing import Standalone, standalone

__all__ = ["hornbeam_standalone"]


@pytest.fixture
def hornbeam_standalone() -> Iterator[Standalone]:
    """An empty stand-in for Erlang, for one test."""
    with standalone() as made:
        yield made
