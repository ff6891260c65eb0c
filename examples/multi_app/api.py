"""FastAPI below /api: it sees its own paths, and `root_path` says where it is."""

from __future__ import annotations

from fastapi import FastAPI

app = FastAPI(title="One of six")


@app.get("/items/{item_id}")
async def item(item_id: int) -> dict[str, int]:
    return {"id": item_id}
