"""Brings priv/dashboard/uplot in: `python3 tools/vendor.py [VERSION]`.

uPlot draws the charts of the dashboard. npm downloads the package; its files are committed as they
are, with its licence and, in VERSION, its version and the hash of each file, which a test compares.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "priv" / "dashboard" / "uplot"
NEWEST = "1.6.32"
FILES = ("LICENSE", "dist/uPlot.iife.min.js", "dist/uPlot.min.css")


def main(arguments: list[str]) -> int:
    """The exit status."""
    version = arguments[0] if arguments else NEWEST
    PLACE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", f"uplot@{version}"], cwd=folder, check=True)
        (package,) = Path(folder).glob("uplot-*.tgz")
        with tarfile.open(package) as archive:
            archive.extractall(folder)
        for file in FILES:
            source = Path(folder, "package", file)
            shutil.copyfile(source, PLACE / source.name)
    lines = [
        f"uplot {version}",
        *(f"{digest(Path(file).name)}  {Path(file).name}" for file in FILES),
    ]
    (PLACE / "VERSION").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0


def digest(name: str) -> str:
    """SHA-256 of a file that is there."""
    return hashlib.sha256((PLACE / name).read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
