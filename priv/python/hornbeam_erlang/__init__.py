"""What an application served by Hornbeam can ask of Erlang.

    from hornbeam_erlang import state_incr
    views = state_incr("views")

The functions work in coroutines and in threads.
"""

from hornbeam_erlang._state import (
    state_decr,
    state_delete,
    state_get,
    state_get_multi,
    state_incr,
    state_keys,
    state_set,
)

# The short names.
get = state_get
set = state_set
delete = state_delete
incr = state_incr
decr = state_decr

__all__ = [
    "decr",
    "delete",
    "get",
    "incr",
    "set",
    "state_decr",
    "state_delete",
    "state_get",
    "state_get_multi",
    "state_incr",
    "state_keys",
    "state_set",
]
