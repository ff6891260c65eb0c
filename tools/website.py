"""Makes the documentation's site: `make site`, or `python3 tools/website.py serve` to look at it.

Pages link to each other by their places in the repository, README among them. So the folder that
mkdocs reads, `.deps/site-pages`, is the part of the repository that the site has, in its own
layout: the pages, the results of the measurements, and the files that pages link to. mkdocs stands
in an environment of its own, `.deps/site`, made on the first call. Standard library only.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from provision.machine import DEPS, ROOT, SetupError, lock, run, say

REQUIREMENTS = ROOT / "requirements" / "site.txt"
ENVIRONMENT = DEPS / "site"
STAMP = ENVIRONMENT / "requirements.txt"
PAGES = DEPS / "site-pages"
SITE = ROOT / "site"
# Files, and folders with all that is in them.
SHOWN = (
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE",
    "docs", "examples", "deploy", "config", "bench/results", "clients/javascript/README.md",
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """The exit status."""
    if arguments not in ([], ["serve"]):
        print("usage: tools/website.py [serve]", file=sys.stderr)
        return 2
    try:
        with lock():
            ensure_mkdocs()
            gather()
    except SetupError as error:
        print(*(f"    {line}" for line in error.tail()), sep="\n", file=sys.stderr)
        print(f"site: {error}", file=sys.stderr)
        return 1
    command = arguments or ["build", "--clean"]
    status = subprocess.run(
        [ENVIRONMENT / "bin" / "python", "-m", "mkdocs", *command, "--strict"], cwd=ROOT
    ).returncode
    if status == 0:
        print(f"site: {SITE.relative_to(ROOT)}/index.html")
    return status


def ensure_mkdocs() -> None:
    """Installs what requirements/site.txt asks for, unless that is what is there."""
    wanted = REQUIREMENTS.read_text()
    if STAMP.is_file() and STAMP.read_text() == wanted:
        return
    say(f"site: installing mkdocs into {ENVIRONMENT.relative_to(ROOT)}")
    make = (sys.executable, "-m", "venv", "--clear", ENVIRONMENT)
    run(make, log="site-venv", failure=f"cannot make {ENVIRONMENT} (python3-venv is needed)")
    pip = (ENVIRONMENT / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-input")
    install = (*pip, "install", "--progress-bar=off", "-r", REQUIREMENTS)
    run(install, log="site-pip", failure="pip could not install mkdocs")
    STAMP.write_text(wanted)


def gather() -> None:
    """Makes the folder that mkdocs reads anew."""
    shutil.rmtree(PAGES, ignore_errors=True)
    for name in SHOWN:
        source, target = ROOT / name, PAGES / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
