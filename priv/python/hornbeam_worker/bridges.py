"""Metrics that an application counts with other libraries: prometheus_client, OpenTelemetry.

Called by `server`, as a worker becomes ready and with each ping, where there is a /metrics. A
library that the application has not imported is not imported here. A failure in a bridge is logged
once and costs the metrics of that library.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

__all__ = ["Bridges"]

logger = logging.getLogger("hornbeam.metrics")

# The bridge of each library, by what is imported where it is in use.
_BRIDGES: Final = {
    "prometheus_client": "hornbeam_worker.metrics_prometheus",
    "opentelemetry.sdk.metrics": "hornbeam_worker.metrics_opentelemetry",
}
_API: Final = "opentelemetry.metrics"


class Bridges:
    """Which libraries are watched already; `opentelemetry`: whether that is to count where the
    application has set no provider."""

    def __init__(self, opentelemetry: bool) -> None:
        self._wanted = opentelemetry
        self._left = dict(_BRIDGES)
        if opentelemetry:
            self._left[_API] = self._left.pop("opentelemetry.sdk.metrics")

    def look(self) -> None:
        """Begins to watch what has come into use meanwhile."""
        for library in [name for name in self._left if name in sys.modules]:
            if self._watch(library, self._left[library]):
                del self._left[library]

    def _watch(self, library: str, bridge: str) -> bool:
        """Whether there is nothing more to look for."""
        from hornbeam_erlang import _metrics

        try:
            source: Callable[[], Iterable[Any]] | None
            source = importlib.import_module(bridge).attach(self._wanted)
        except ModuleNotFoundError:  # the API alone, which counts nothing
            return True
        except Exception:
            logger.warning("the metrics of %s are not in /metrics", library, exc_info=True)
            return True
        if source is None:
            return False
        _metrics.watch(_Guarded(library, source))
        return True


class _Guarded:
    """A source whose failure is its own."""

    def __init__(self, library: str, source: Callable[[], Iterable[Any]]) -> None:
        self._library = library
        self._source = source
        self._failed = False

    def __call__(self) -> list[Any]:
        try:
            return list(self._source())
        except Exception:
            if not self._failed:
                self._failed = True
                logger.warning("the metrics of %s were not read", self._library, exc_info=True)
            return []
