"""A Flask route that returns JSON, for the benchmarks."""

from flask import Flask

app = Flask(__name__)


@app.get("/")
def root() -> dict[str, object]:
    """The same document as that of fast.py."""
    return {"id": 1, "name": "hornbeam", "tags": ["a", "b", "c"], "price": 12.5}
