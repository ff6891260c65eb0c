"""The options, generated."""

from __future__ import annotations

from typing import TypedDict

__all__ = ["FLAGS", "Options"]


class Options(TypedDict, total=False):
    """docs/options.md."""

    bind: str | None


FLAGS = {"bind": "bind"}
