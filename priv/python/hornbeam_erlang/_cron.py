"""Cron lines: when they come, in their time zone.

Needs the package cronsim, which is imported when there is a cron line, and only then. Its rules for
the hours that a change of the clocks skips or repeats are those of Debian's cron: a job at a fixed
hour runs once, one every hour or minute runs whenever the clock shows that it should.
"""

from __future__ import annotations

import itertools
from datetime import datetime, timezone, tzinfo

__all__ = ["check", "fires"]


def fires(line: str, zone: str, after: int, count: int) -> list[int]:
    """The next `count` times after `after`; times are milliseconds since 1970.

    ValueError for a wrong line or zone, RuntimeError without cronsim.
    """
    try:
        from cronsim import CronSim, CronSimError
    except ModuleNotFoundError:
        raise RuntimeError("a cron line needs the package cronsim: pip install cronsim") from None
    try:
        start = datetime.fromtimestamp(after / 1000, timezone.utc).astimezone(_zone(zone))
        times = itertools.islice(CronSim(line, start), count)
        return [round(time.timestamp() * 1000) for time in times]
    except CronSimError as error:
        raise ValueError(f"the cron line {line!r} is wrong: {error}") from None


def check(line: str, zone: str) -> None:
    """Raises as `fires` does."""
    fires(line, zone, 0, 1)


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # of no use to most who import the package

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"there is no time zone {name!r}") from None
