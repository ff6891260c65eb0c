"""A module that raises when it is imported, a few calls deep."""

from __future__ import annotations


def connect(address: str) -> None:
    raise ConnectionError(f"nobody answers at {address}")


def settings() -> None:
    connect("db.example:5432")


settings()
