"""What is said of keys of the replicated state: changes, revisions, and the topics of a node by
which its watchers are told (hornbeam_cluster_watch)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

__all__ = ["KEYS", "MISSED", "Change", "Versioned", "change_of"]

KEYS: Final = "hornbeam:cluster:key:"
MISSED: Final = "hornbeam:cluster:missed"


class Change(NamedTuple):
    """A change of a key that is watched.

    kind      "put", "delete" (expired ones are deleted), or "missed": changes were missed, and what
              is watched must be read again
    key       the key; None if missed
    value     the value; None if there is none
    revision  which only grows, from change to change of any key; 0 if missed
    """

    kind: str
    key: str | None
    value: Any
    revision: int


class Versioned(NamedTuple):
    """A value and the revision it has had since it was written; 0 and None where there is none."""

    value: Any
    revision: int


def change_of(message: list[Any]) -> Change:
    if message[0] == "missed":
        return Change("missed", None, None, 0)
    return Change(*message)
