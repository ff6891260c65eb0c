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

_BRIDGES: Final = {
    "prometheus_client": "hornbeam_worker.metrics_prometheus",
    "opentelemetry.metrics": "hornbeam_worker.metrics_opentelemetry",
}


class Bridges:
    """Which libraries are watched already."""

    def __init__(self) -> None:
        self._left = dict(_BRIDGES)

    def look(self) -> None:
        """Begins to watch what has been imported meanwhile."""
        for library in [name for name in self._left if name in sys.modules]:
            self._watch(library, self._left.pop(library))

    def _watch(self, library: str, bridge: str) -> None:
        from hornbeam_erlang import _metrics

        try:
            source: Callable[[], Iterable[Any]] = importlib.import_module(bridge).Source()
        except ModuleNotFoundError:  # the API alone, which counts nothing
            return
        except Exception:
            logger.warning("the metrics of %s are not in /metrics", library, exc_info=True)
            return
        _metrics.watch(_Guarded(library, source))


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
