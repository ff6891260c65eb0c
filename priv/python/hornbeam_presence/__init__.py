"""The name of the module `hornbeam_presence`, for applications that import it:

    from hornbeam_presence import Presence

New code imports from `hornbeam_erlang.presence`.
"""

from __future__ import annotations

from hornbeam_erlang.presence import Presence

__all__ = ["Presence"]
