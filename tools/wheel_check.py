"""Installs the wheel where there is nothing but Python: `python3 tools/wheel_check.py [NAME...]`.

For each Debian release of the table: a bare root (`provision.root`), in there a virtual environment
that nobody may write to, in a folder with a space and an umlaut; pip installs the newest wheel of
`dist` and FastAPI; then `tools/wheel_visit.py` uses it, as a user who is not root. Called by
`make wheel-check`, and by `.ci/run` with `--or-skip`: a machine that cannot have the root says so
in place of failing. Standard library only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from provision.machine import ROOT, Apt, SetupError, say
from provision.root import Root, choose, chosen, not_made

BASE = ("python3", "python3-venv")
BARE = {
    "bookworm": Root("bare-bookworm", "bookworm", base=BASE),
    "trixie": Root("bare-trixie", "trixie", base=BASE),
    "testing": Root("bare-testing", "testing", base=BASE),
}
VENV = "/opt/mein Ordner für alles/venv"
# $0: the virtual environment; $1: the wheel.
INSTALL = """
set -eu
[ ! -e "$0" ] || { chmod -R u+w "$0" && rm -rf "$0"; }
python3 -m venv "$0"
"$0/bin/pip" install --quiet --no-input --disable-pip-version-check "$1" fastapi
chmod -R a-w "$0"
"""
# As the user 1000, who owns nothing but a home that is made anew.
VISIT = """
set -eu
rm -rf /home/visitor
mkdir -p "/home/visitor/mein Projekt"
cp cert.pem key.pem /home/visitor
chmod a+r /home/visitor/*.pem
chown -R 1000:1000 /home/visitor
cp wheel_visit.py /opt
cd "/home/visitor/mein Projekt"
exec setpriv --reuid=1000 --regid=1000 --clear-groups env HOME=/home/visitor \\
    "$0/bin/python" /opt/wheel_visit.py
"""


def main(arguments: list[str]) -> int:
    """The exit status."""
    asked = _parse(arguments)
    wheels = sorted((ROOT / "dist").glob("hornbeam-*.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        print("wheel_check: there is no wheel in dist; run: make wheel", file=sys.stderr)
        return 1
    failed = [name for name in asked.names if not _passes(name, wheels[-1], asked.or_skip)]
    if failed:
        print(f"wheel_check: FAILED: {' '.join(failed)}")
    return 1 if failed else 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/wheel_check.py", description="Try the wheel.")
    choose(parser, BARE)
    return chosen(parser, arguments, BARE)


def _passes(name: str, wheel: Path, or_skip: bool) -> bool:
    root, began = BARE[name], time.monotonic()
    try:
        with root.made(Apt()):
            say(f"{name}: {wheel.name}")
            _bring(root, wheel)
            passed = (
                root.call("sh", "-c", INSTALL, VENV, wheel.name) == 0
                and root.call("sh", "-c", VISIT, VENV) == 0
            )
            version = root.output("python3", "--version")
    except SetupError as error:
        return not_made("wheel_check", name, error, or_skip)
    verdict = "all passed" if passed else "FAILED"
    print(f"wheel_check: {name} ({version}): {verdict}, {time.monotonic() - began:.0f} s")
    return passed


def _bring(root: Root, wheel: Path) -> None:
    """The wheel, who uses it, and a certificate: in there nothing could make one."""
    root.put(wheel, wheel.name)
    root.put(ROOT / "tools" / "wheel_visit.py", "wheel_visit.py")
    with tempfile.TemporaryDirectory() as folder:
        cert, key = Path(folder, "cert.pem"), Path(folder, "key.pem")
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ]
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        files = ["-nodes", "-days", "2", "-out", str(cert), "-keyout", str(key)]
        subprocess.run([*command, *names, *files], check=True, capture_output=True)
        root.put(cert, "cert.pem")
        root.put(key, "key.pem")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
