"""A model that talks: a chain of words learned from a few sentences, one word at a time.

It knows nothing, but it behaves like a large one: it takes its time for each token, and it goes on
until it is done or nobody listens any more.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterator

from hornbeam_erlang import state_decr, state_incr

TEXT = """
A hornbeam is a tree whose wood is so hard that it was used for the teeth of wheels . A server is a
machine that waits for you so that you do not have to wait for it . A tree grows slowly and stands
for a long time , and a server that stands for a long time has grown slowly , too . The wood of a
wheel does not know where the cart is going , and a worker does not know who has asked . What is
asked is answered , and what is not asked is left alone . A process that ends is started again , as
a tree that is cut grows again from its roots .
"""

# What a real model computes for each token, in seconds.
THINKING = 0.03
LONGEST = 2000


class Model:
    """The service: the words that may follow two words."""

    def __init__(self) -> None:
        self._following: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        words = TEXT.split()
        for first, second, third in zip(words, words[1:], words[2:], strict=False):
            self._following[first, second].append(third)
        self._starts = [pair for pair in self._following if pair[0][0].isupper()]

    def generate(self, prompt: str) -> Iterator[str]:
        """Tokens, until nobody takes them any more. How many do so is in the shared state."""
        chance = random.Random(prompt)
        state_incr("llm:generating")
        try:
            pair = chance.choice(self._starts)
            yield from pair
            for _ in range(LONGEST):
                time.sleep(THINKING)
                found = self._following.get(pair)
                if found is None:
                    pair = chance.choice(self._starts)
                    yield from pair
                    continue
                pair = (pair[1], chance.choice(found))
                yield pair[1]
        finally:
            # Here, too, when the tab was closed.
            state_decr("llm:generating")
