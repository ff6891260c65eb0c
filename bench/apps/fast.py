"""A FastAPI route that returns JSON, for the benchmarks."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def root() -> dict[str, object]:
    """A small document, as an API would return it."""
    return {"id": 1, "name": "hornbeam", "tags": ["a", "b", "c"], "price": 12.5}
