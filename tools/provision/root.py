"""Owns the roots of other Debian releases, in which ``tools/platforms.py`` runs the project and
``tools/wheel_check.py`` the wheel.

A root is a folder below ``ROOTS``, outside the tree, made by debootstrap from the machine's own
mirror. A stamp in it, written last, says of what it was made; while that holds it is used again.

Commands run in mount and PID namespaces of their own. `/proc`, `/dev` and `/sys` of a root are
mounted in there alone, so they are gone with the last process, however that ended, and nothing that
a test left behind goes on. Seen from the machine a root is plain files, which `rm -r` may remove.

A root takes from the machine, each time: name resolution, certificates, what pip and apt are told.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provision import debian_source
from provision.machine import ROOT, Apt, SetupError, Tool, lock, output, run, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOTS = Path(os.environ.get("HORNBEAM_ROOTS", "/var/cache/hornbeam-platforms"))
TOOLS = (Tool(("debootstrap",), "debootstrap"), Tool(("unshare",), "util-linux"))
# What a root takes on the disk once it is set up, and some to spare.
FREE_BYTES = 3 * 1024**3
# How long a step of its making may take before the mirror counts as out of reach; quiet: 1 minute.
STEP_SECONDS = 1200
# The script for each release since 2003; debootstrap need not have heard of the release's name.
SCRIPT = "/usr/share/debootstrap/scripts/sid"
# What `tools/setup.py` needs in order to install the rest, and what tests expect of any machine.
BASE = ("make", "procps", "python3", "python3-venv")

# Where the tree stands in a root, and what is kept there from one run to the next.
TREE = "src/hornbeam"
KEPT = {".deps", ".venv", "_build"}

STAMP = "etc/hornbeam-root.json"
HOST_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt")
CERTIFICATES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
PIP_SETTINGS = ("/etc/pip.conf", "/etc/xdg/pip", "/root/.pip", "/root/.config/pip")
APT_SETTING = re.compile(r'Acquire::(Check-|Retries|ForceIP|https?::).* "[^"]+";')
PASSED_ON = re.compile(r"(PIP|SSL|REQUESTS|CURL)_|(https?|no)_proxy$", re.IGNORECASE)

# Whatever ends this process ends all in there, too.
ENDED_WITH_US = ("setpriv", "--pdeathsig", "KILL")
NAMESPACES = (*ENDED_WITH_US, "unshare", "--mount", "--pid", "--fork", "--kill-child")
# "$0" is the root. Not exec: the shell stays as process 1 and reaps what loses its parent.
ENTER = """
mount -t proc proc "$0/proc" || exit 125
mount --rbind /dev "$0/dev" && mount --rbind /sys "$0/sys" || exit 125
chroot "$0" "$@"
"""


@dataclass(frozen=True)
class Root:
    """The root ``name`` of the Debian release ``suite``, with ``packages`` beyond ``base``."""

    name: str
    suite: str
    packages: tuple[str, ...] = ()
    base: tuple[str, ...] = BASE

    @property
    def path(self) -> Path:
        """Where it stands."""
        return ROOTS / self.name

    @contextlib.contextmanager
    def made(self, apt: Apt, *, fresh: bool = False) -> Iterator[None]:
        """It stands and can be entered, by nobody else meanwhile; else SetupError says why not."""
        if os.geteuid() != 0:
            raise SetupError("only root can make and enter the roots of other releases")
        try:
            ROOTS.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(f"no place for roots: {error}") from error
        with lock(ROOTS / f"{self.name}.lock"):
            apt.ensure(TOOLS)
            if fresh or self._stamp() != self._recipe():
                self._make()
            self._run("enter", f"cannot enter {self.path}", "true")
            yield

    def take_tree(self) -> None:
        """Put the files of this checkout, committed or not, where the root has its tree."""
        tree = self.path / TREE
        tree.mkdir(parents=True, exist_ok=True)
        for old in tree.iterdir():
            if old.name not in KEPT:
                shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
        for name in _tracked():
            source, target = ROOT / name, tree / name
            if source.exists():  # git lists also what was removed and not yet committed
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)

    def put(self, source: Path, name: str) -> None:
        """A copy of a file where the root has its tree."""
        shutil.copy(source, self.path / TREE / name)

    def call(self, *argv: str) -> int:
        """Run a command in the root's tree, its output on this terminal; the exit status."""
        return subprocess.run(self._entered(argv), stdin=subprocess.DEVNULL, check=False).returncode

    def output(self, *argv: str) -> str:
        """What a command in the root's tree prints; ``""`` if it fails."""
        return output(self._entered(argv)).strip()

    def _entered(self, argv: tuple[str, ...]) -> list[str]:
        self._take_settings()
        inside = ["env", "-i", *_environment(), "sh", "-c", 'cd "$0" && exec "$@"', f"/{TREE}"]
        return [*NAMESPACES, "sh", "-c", ENTER, str(self.path), *inside, *argv]

    def _make(self) -> None:
        say(f"{self.name}: making a root of Debian {self.suite} in {self.path} (once)")
        if self.path.exists():
            shutil.rmtree(self.path)
        if (free := shutil.disk_usage(ROOTS).free) < FREE_BYTES:
            raise SetupError(f"{free >> 20} MiB are free in {ROOTS}, of {FREE_BYTES >> 20} needed")
        self._debootstrap()
        (self.path / TREE).mkdir(parents=True)
        # Daemons that packages bring must not start in there.
        policy = self.path / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        if self.packages:
            get = ("apt-get", "-y", "--no-install-recommends")
            failure = f"cannot install {' '.join(self.packages)} in {self.path}"
            self._run("update", failure, *get, "update")
            self._run("install", failure, *get, "install", *self.packages)
        (self.path / STAMP).write_text(json.dumps(self._recipe(), indent=2) + "\n")

    def _debootstrap(self) -> None:
        signer = f"--keyring={debian_source.keyring()}"
        options = ("--variant=minbase", f"--include={','.join(self.base)}", signer)
        mirror = debian_source.mirrors()[0]
        run(
            (*NAMESPACES, "debootstrap", *options, self.suite, self.path, mirror, SCRIPT),
            log=f"root-{self.name}",
            failure=f"debootstrap cannot make a root of {self.suite}",
            timeout=STEP_SECONDS,
        )

    def _run(self, step: str, failure: str, *argv: str) -> None:
        log = f"root-{self.name}-{step}"
        run(self._entered(argv), log=log, failure=failure, timeout=STEP_SECONDS)

    def _stamp(self) -> object:
        try:
            return json.loads((self.path / STAMP).read_text())
        except (OSError, ValueError):
            return None  # none yet, or one whose making was interrupted

    def _recipe(self) -> object:
        return {"suite": self.suite, "packages": [*self.base, *self.packages]}

    def _take_settings(self) -> None:
        bundles = (os.environ[name] for name in CERTIFICATES if name in os.environ)
        for name in dict.fromkeys((*HOST_FILES, *bundles, *PIP_SETTINGS)):
            source, target = Path(name), self.path / name.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            elif source.exists():
                target.unlink(missing_ok=True)
                shutil.copyfile(source, target)
        told = output(("apt-config", "dump")).splitlines()
        lines = [line for line in told if APT_SETTING.fullmatch(line)]
        (self.path / "etc/apt/apt.conf.d/90machine").write_text("\n".join([*lines, ""]))


def choose(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Which roots a tool goes through: arguments for `chosen`."""
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--or-skip", action="store_true", help="pass where a root cannot be had")


def chosen(
    parser: argparse.ArgumentParser, arguments: list[str], names: Iterable[str]
) -> argparse.Namespace:
    """The arguments, with each name once, all where none is given."""
    found = parser.parse_args(arguments)
    found.names = list(dict.fromkeys(found.names)) or list(names)
    if unknown := [name for name in found.names if name not in names]:
        parser.error(f"there is no {', '.join(unknown)}")
    return found


def not_made(tool: str, name: str, error: SetupError, or_skip: bool) -> bool:
    """Says that a root cannot be had, and whether that passes."""
    print(*(f"    {line}" for line in error.tail()), sep="\n", file=sys.stderr)
    print(f"{tool}: {'SKIPPED' if or_skip else 'no root'}: {name}: {error}")
    return or_skip


def _environment() -> Iterator[str]:
    yield from ("HOME=/root", "TERM=dumb", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")
    yield "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    yield from (f"{name}={value}" for name, value in os.environ.items() if PASSED_ON.match(name))


def _tracked() -> list[str]:
    argv = ("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = output(argv).split("\0")
    if not names[0]:
        raise SetupError(f"{ROOT} is no git checkout: there is nothing to copy into a root")
    return [name for name in names if name]
