"""Watches folders for changed Python files, for the option `reload`; run by its path.

Called by `hornbeam_watch`, which reads stdout: first `watching NAME` (how), then for each burst of
changes a line `changed PATH` for each file and a line `.`. Ends when stdin does, so it does not
outlive the BEAM. watchfiles does the work where it can be imported, else modification times are
compared every `INTERVAL`, or less often where that takes more than a fifth of the time.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["changes_by_polling", "main"]

INTERVAL: Final = 0.25
# Beyond this many files polling would be too dear; the rest are not watched.
MOST_FILES: Final = 20_000


def main(folders: list[str]) -> None:
    """Never returns by itself."""
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        import watchfiles
    except ImportError:
        print("watching polling", flush=True)
        for changed in changes_by_polling(folders):
            _report(changed)
    else:
        print("watching watchfiles", flush=True)
        for batch in watchfiles.watch(*folders, watch_filter=watchfiles.PythonFilter()):
            _report({path for _change, path in batch})


def changes_by_polling(folders: list[str], interval: float = INTERVAL) -> Iterator[set[str]]:
    """Yields the files that were made, changed or removed since the last look."""
    before = _times(folders)
    took = 0.0
    while True:
        time.sleep(max(interval, 4 * took))
        began = time.monotonic()
        now = _times(folders)
        took = time.monotonic() - began
        changed = {path for path in before.keys() | now.keys() if before.get(path) != now.get(path)}
        before = now
        if changed:
            yield changed


def _times(folders: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for folder in folders:
        for here, below, files in os.walk(folder):
            below[:] = [name for name in below if _is_source(Path(here, name))]
            for name in files:
                if name.endswith((".py", ".pyi")) and len(found) < MOST_FILES:
                    path = Path(here, name)
                    try:
                        found[str(path)] = path.stat().st_mtime_ns
                    except OSError:
                        continue  # gone meanwhile: it shows as removed
    return found


def _is_source(folder: Path) -> bool:
    hidden = folder.name.startswith(".") or folder.name in ("__pycache__", "node_modules")
    return not hidden and not (folder / "pyvenv.cfg").exists()


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
