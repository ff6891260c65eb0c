"""What Django's settings name: a channel layer, a cache, a back end for tasks.

    CHANNEL_LAYERS = {"default": {"BACKEND": "hornbeam_erlang.django.ChannelLayer"}}
    CACHES = {"default": {"BACKEND": "hornbeam_erlang.django.Cache"}}
    TASKS = {"default": {"BACKEND": "hornbeam_erlang.django.TaskBackend"}}

Each is imported when it is asked for, so that neither needs the others' packages. TaskBackend is
`hornbeam_erlang.django_tasks.HornbeamBackend`. Reference: docs/django.md.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

__all__ = ["Cache", "ChannelLayer", "TaskBackend"]  # noqa: F822: __getattr__ has them

_WHERE: Final = {
    "Cache": ("hornbeam_erlang.django._cache", "Cache"),
    "ChannelLayer": ("hornbeam_erlang.django._layer", "ChannelLayer"),
    "TaskBackend": ("hornbeam_erlang.django_tasks", "HornbeamBackend"),
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _WHERE[name]
    return getattr(importlib.import_module(module), attribute)
