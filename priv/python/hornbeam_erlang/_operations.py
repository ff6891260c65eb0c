"""The operations that Python can ask of Erlang, by name: the mirror of `hornbeam_services`."""

from __future__ import annotations

from typing import Final

__all__ = ["OPERATIONS"]

OPERATIONS: Final = {
    "state_get": 1,
    "state_set": 2,
    "state_delete": 3,
    "state_incr": 4,
    "state_get_multi": 5,
    "state_keys": 6,
}
