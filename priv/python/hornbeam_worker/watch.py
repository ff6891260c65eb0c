"""Watches folders for changed files, for the option `reload`; run by its path.

Called by `hornbeam_watch`, which reads stdout: first `watching NAME` (how), then for each burst of
changes a line `changed PATH` for each file and a line `.`. Ends when stdin does, so it does not
outlive the BEAM. watchfiles does the work where it can be imported, else modification times are
compared every `INTERVAL`, or less often where that takes more than a fifth of the time. Both ask
the same `Filter` which files count.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

__all__ = ["Filter", "changes_by_polling", "main"]

INTERVAL: Final = 0.25
# Beyond this many files polling would be too dear; the rest are not watched.
MOST_FILES: Final = 20_000
INCLUDED: Final = ("*.py", "*.pyi", "*.pyx")
EXCLUDED: Final = (".*", "*.py[cod]", ".sw.*", "~*")
NEVER: Final = ("__pycache__", "node_modules")


class Filter:
    """Which files below `folders` count.

    A file counts when its name, or the end of its path, fits an include pattern, and neither it nor
    a folder above it (below the watched one) fits an exclude pattern. One that an include names
    without a wildcard counts in any case. A default that the other option names is none.
    A pattern that is a directory stands for all below it.
    """

    def __init__(
        self, folders: Iterable[str], includes: Iterable[str] = (), excludes: Iterable[str] = ()
    ) -> None:
        includes, excludes = list(filter(None, includes)), list(filter(None, excludes))
        self.roots = [Path(folder).absolute() for folder in folders]
        self.roots += [Path(name).absolute() for name in includes if Path(name).is_dir()]
        self.includes = [name for name in INCLUDED if name not in excludes]
        self.includes += [name for name in includes if not Path(name).is_dir()]
        self.excludes = [name for name in EXCLUDED if name not in includes]
        self.excludes += [name for name in excludes if not Path(name).is_dir()]
        self.closed = {Path(name).absolute() for name in excludes if Path(name).is_dir()}

    def counts(self, path: Path) -> bool:
        """Whether a file does."""
        return self.fits(path) and all(map(self.enters, self._folders_of(path)))

    def fits(self, path: Path) -> bool:
        """Whether a file counts if its folder does."""
        fitting = [name for name in self.includes if path.match(name)]
        named = any(str(path).endswith(name) for name in fitting)
        return named or (bool(fitting) and not self._is_excluded(path))

    def enters(self, folder: Path) -> bool:
        """Whether files in a folder may count."""
        return not (
            folder.name in NEVER
            or folder in self.closed
            or self._is_excluded(folder)
            or (folder / "pyvenv.cfg").exists()
        )

    def _is_excluded(self, path: Path) -> bool:
        return any(path.match(pattern) for pattern in self.excludes)

    def _folders_of(self, path: Path) -> list[Path]:
        """Those between it and the watched folder next above it."""
        above = list(path.parents)
        depths = [depth for depth, folder in enumerate(above) if folder in self.roots]
        return above[: depths[0]] if depths else []


def main(arguments: list[str]) -> None:
    """Never returns by itself."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--include", action="append", default=[])
    parser.add_argument("--exclude", action="append", default=[])
    parser.add_argument("folders", nargs="*")
    given = parser.parse_args(arguments)
    wanted = Filter(given.folders, given.include, given.exclude)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        import watchfiles
    except ImportError:
        _follow("polling", changes_by_polling(wanted))
    else:
        batches = watchfiles.watch(
            *wanted.roots,
            watch_filter=lambda _change, path: wanted.counts(Path(path)),
            rust_timeout=round(INTERVAL * 1000),
            yield_on_timeout=True,
        )
        _follow("watchfiles", ({path for _change, path in batch} for batch in batches))


def _follow(how: str, looks: Iterator[set[str]]) -> None:
    """Says that it watches when it does: from the first look on, which may find nothing yet."""
    first = next(looks)
    print(f"watching {how}", flush=True)
    for changed in itertools.chain([first], looks):
        if changed:
            _report(changed)


def changes_by_polling(wanted: Filter, interval: float = INTERVAL) -> Iterator[set[str]]:
    """Yields nothing at once, when it has looked; then the files that were made, changed or removed
    since the last look."""
    before = _times(wanted)
    yield set()
    took = 0.0
    while True:
        time.sleep(max(interval, 4 * took))
        began = time.monotonic()
        now = _times(wanted)
        took = time.monotonic() - began
        changed = {path for path in before.keys() | now.keys() if before.get(path) != now.get(path)}
        before = now
        if changed:
            yield changed


def _times(wanted: Filter) -> dict[str, int]:
    found: dict[str, int] = {}
    for root in wanted.roots:
        for here, below, files in os.walk(root):
            below[:] = [name for name in below if wanted.enters(Path(here, name))]
            for name in files:
                path = Path(here, name)
                if len(found) < MOST_FILES and wanted.fits(path):
                    try:
                        found[str(path)] = path.stat().st_mtime_ns
                    except OSError:
                        continue  # gone meanwhile: it shows as removed
    return found


def _report(paths: set[str]) -> None:
    lines = [f"changed {path}" for path in sorted(paths)[:20]]
    print("\n".join([*lines, "."]), flush=True)


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    # Nothing beside this file may hide a module of the standard library or of watchfiles.
    sys.path.pop(0)
    main(sys.argv[1:])
