"""Owns `node_modules` of the folders whose JavaScript the tests run: what their lock files say, and
no script of a package is run.

npm writes a lock file of its own among what it installs; where that is newer nothing is done.
Called by `tools/setup.py`.
"""

from __future__ import annotations

import shutil

from provision.machine import ROOT, SetupError, run, say

FOLDERS = ("python_tests/javascript", "clients/javascript")


def ensure() -> None:
    """Make sure that each folder has its packages; SetupError."""
    for name in FOLDERS:
        folder = ROOT / name
        made = folder / "node_modules" / ".package-lock.json"
        lock = folder / "package-lock.json"
        if made.exists() and made.stat().st_mtime >= lock.stat().st_mtime:
            continue
        npm = shutil.which("npm")
        if npm is None:
            raise SetupError("npm is not there")
        say(f"JavaScript: installing what {name} needs")
        failure = f"npm could not install what {name} needs"
        flags = ("--ignore-scripts", "--no-audit", "--no-fund")
        run((npm, "ci", *flags), log="npm", failure=failure, cwd=folder)
