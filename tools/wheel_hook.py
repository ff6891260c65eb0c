"""Puts the Erlang VM into a wheel: a build hook of hatchling, for `pip wheel .` and `make wheel`.

It makes the release of rebar3's profile `prod` and leaves out of it what a server never uses, so
that hornbeam/_vm in the wheel holds ERTS, the applications' compiled code and NIFs, and one boot
file (priv/python/hornbeam/vm.py starts it). Needs Erlang and rebar3 on the machine. The wheel is
for this platform and any Python 3; tools/wheel.py makes it one for others of the kind.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = ["VmHook"]

# Of ERTS: the emulator, what starts it, what starts and reaps ports, what looks up names of hosts.
PROGRAMS = ("beam.smp", "erlexec", "erl_child_setup", "inet_gethost")
# Only for people who look at a release from inside.
LEFT_OUT = ("sasl", "runtime_tools")
# Where rebar3 is asked to build; in an sdist that pip has unpacked there is nothing yet.
RELEASE = Path("_build", "prod", "rel", "hornbeam")


class VmHook(BuildHookInterface[Any]):
    """hatchling calls `initialize` before it collects a wheel's files."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds hornbeam/_vm, and the tag of this platform. Nothing for an editable installation."""
        if version == "editable":
            return
        root = Path(self.root)
        self._release(root)
        files = dict(self._files(root / RELEASE))
        build_data["force_include"].update({str(file): str(to) for file, to in files.items()})
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"

    def _release(self, root: Path) -> None:
        libraries = root / ".deps" / "erlang" / "lib"
        given = os.environ.get("ERL_LIBS")
        env = os.environ | {"ERL_LIBS": ":".join([str(libraries), *([given] if given else [])])}
        shutil.rmtree(root / RELEASE, ignore_errors=True)
        subprocess.run(["rebar3", "as", "prod", "release"], cwd=root, env=env, check=True)

    def _files(self, release: Path) -> Iterator[tuple[Path, Path]]:
        """Each file, and where it is in the wheel."""
        for file in self._chosen(release):
            yield file, Path("hornbeam", "_vm", file.relative_to(release))

    def _chosen(self, release: Path) -> Iterator[Path]:
        (erts,) = release.glob("erts-*")
        yield from (erts / "bin" / program for program in PROGRAMS)
        yield from release.glob("releases/*/no_dot_erlang.boot")
        for application in sorted((release / "lib").iterdir()):
            if application.name.rpartition("-")[0] not in LEFT_OUT:
                yield from application.glob("ebin/*")
                yield from (file for file in application.glob("priv/**/*.so") if file.is_file())
