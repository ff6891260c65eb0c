"""Search by likeness: every worker asks one process that has the model.

    bin/hornbeam run app:app --pythonpath examples/embedding_service --workers 4 \
        --service "embeddings=models:Embeddings;concurrency=64"

Open /search?q=trees. The model is in memory once, whatever the number of workers, and texts that
are asked for at the same time are one run of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import FastAPI, HTTPException

from hornbeam_erlang import ServiceOverloadedError, service

SENTENCES = [
    "The hornbeam is a tree with very hard wood.",
    "Oaks and beeches grow in the same forests as hornbeams.",
    "A server answers many requests at the same time.",
    "Workers are processes that a supervisor starts again.",
    "Bread is baked from flour, water and salt.",
    "The baker sells bread and cakes in the morning.",
    "A model turns a text into a vector of numbers.",
    "Vectors that point the same way belong to texts that are alike.",
]

app = FastAPI()
embeddings = service("embeddings", timeout=5)


class Index:
    """The vectors of the sentences, as soon as somebody asks."""

    vectors: Any = None

    @classmethod
    async def get(cls) -> Any:
        if cls.vectors is None:
            cls.vectors = await embeddings.encode_all(SENTENCES)
        return cls.vectors


@app.get("/search")
async def search(q: str, count: int = 3) -> list[dict[str, Any]]:
    """The sentences that are most like the question."""
    vectors = await Index.get()
    try:
        query = await embeddings.encode(q)
    except ServiceOverloadedError:
        raise HTTPException(503, "too many ask at the same time") from None
    found = await embeddings.nearest(query, vectors, count)
    return [{"text": SENTENCES[row], "likeness": round(like, 3)} for row, like in found]


@app.get("/vector")
async def vector(q: str) -> dict[str, Any]:
    """What an array looks like that has come from another process."""
    made = await embeddings.encode(q)
    return {
        "type": type(made).__name__,
        "dtype": str(made.dtype),
        "norm": float(np.dot(made, made)),
    }


@app.get("/figures")
async def figures() -> dict[str, int]:
    """How many runs of the model there were for how many texts."""
    found: dict[str, int] = await embeddings.figures()
    return found
