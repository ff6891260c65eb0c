"""A small model of texts: made here, in a second, from nothing.

A text's letter trigrams are hashed into rows of a random matrix, whose sum, normalised, is its
vector: texts that share word parts are near each other. What matters for the example is what a real
model has too: it is large, takes a while to make, and does many texts at once much faster than one.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from hornbeam_erlang import batched

ROWS = 50_000
SIZE = 256

Vectors = NDArray[np.float32]


class Embeddings:
    """The service: made once in its process."""

    def __init__(self) -> None:
        generator = np.random.default_rng(1)
        self._matrix = generator.standard_normal((ROWS, SIZE), dtype=np.float32)
        self._runs = self._texts = 0

    @batched(max_size=64, max_wait_ms=5)
    def encode(self, texts: list[str]) -> Vectors:
        """The vector of a text; one run for all that are asked for at the same time."""
        self._runs += 1
        self._texts += len(texts)
        return self.encode_all(texts)

    def encode_all(self, texts: list[str]) -> Vectors:
        """The vectors of many texts that somebody has together already."""
        sums = np.stack([self._matrix[_rows(text)].sum(axis=0) for text in texts])
        lengths: Vectors = np.linalg.norm(sums, axis=1, keepdims=True)
        return sums / np.maximum(lengths, 1e-9)

    def nearest(self, query: Vectors, vectors: Vectors, count: int) -> list[tuple[int, float]]:
        """The rows of `vectors` that are most like the query, and how like."""
        likeness = vectors @ query
        best = np.argsort(-likeness)[:count]
        return [(int(row), float(likeness[row])) for row in best]

    def figures(self) -> dict[str, int]:
        """How many runs there were for how many texts."""
        return {"runs": self._runs, "texts": self._texts}


def _rows(text: str) -> list[int]:
    padded = f"  {text.lower()} "
    trigrams = (padded[at : at + 3] for at in range(len(padded) - 2))
    return [zlib.crc32(trigram.encode()) % ROWS for trigram in trigrams]
