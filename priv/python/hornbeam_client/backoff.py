"""Later each time. Owned by Socket (its connection) and by each Channel (its join)."""

from __future__ import annotations

import random
from collections.abc import Sequence

# Seconds before the first, second, ... attempt; the last one stands for all that follow.
DELAYS: tuple[float, ...] = (1, 2, 5, 10)


class Backoff:
    def __init__(self, delays: Sequence[float]) -> None:
        self._delays = delays
        self._tries = 0

    def next(self) -> float:
        """A quarter more or less, so that the clients of a server that has restarted do not come
        all at once."""
        delay = self._delays[min(self._tries, len(self._delays) - 1)]
        self._tries += 1
        return delay * random.uniform(0.75, 1.25)

    def reset(self) -> None:
        self._tries = 0
