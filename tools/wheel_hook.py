"""Puts the Erlang VM into a wheel, and links into its metadata: hooks of hatchling, for
`pip wheel .` and `make wheel`.

It makes the release of rebar3's profile `prod` and leaves out of it what a server never uses, so
that hornbeam/_vm in the wheel holds ERTS, the applications' compiled code and NIFs, and one boot
file (priv/python/hornbeam/vm.py starts it). Needs Erlang and rebar3 on the machine. The wheel is
for this platform and any Python 3; tools/wheel.py makes it one for others of the kind.

The licences of what it brings along go to hornbeam/_vm/licenses: those that stand in the folders of
the applications, and on Debian the copyright files of the packages that the rest is of.

The links begin with the address in HORNBEAM_HOME_PAGE, of whoever publishes the package: a copy of
the project has none of its own. An sdist keeps them for the wheel that is made of it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

__all__ = ["Links", "VmHook"]

# Of ERTS: the emulator, what starts it, what starts and reaps ports, what looks up names of hosts.
PROGRAMS = ("beam.smp", "erlexec", "erl_child_setup", "inet_gethost")
# Only for people who look at a release from inside. Ra needs sasl.
LEFT_OUT = ("runtime_tools",)
# What only a cluster needs, in a folder of its own: on the code path behind the others (vm.py).
FOR_A_CLUSTER = ("ra", "aten", "gen_batch_server", "seshat", "sasl")
# Shared libraries that a Linux has, and that stay there (tools/wheel.py).
THE_MACHINES = ("libc.so", "libm.so", "libgcc_s.so", "libstdc++.so", "libz.so")
# Where rebar3 is asked to build; in an sdist that pip has unpacked there is nothing yet.
RELEASE = Path("_build", "prod", "rel", "hornbeam")


PAGES = {
    "Homepage": "",
    "Documentation": "/tree/main/docs",
    "Changelog": "/blob/main/CHANGELOG.md",
    "Source": "",
    "Issues": "/issues",
}


class Links(MetadataHookInterface):
    """Project-URL, by the paths that code hosts have in common."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Those of an sdist stand in its PKG-INFO."""
        if home := os.environ.get("HORNBEAM_HOME_PAGE", "").rstrip("/"):
            metadata["urls"] = {name: f"{home}{path}" for name, path in PAGES.items()}
        elif (known := Path(self.root, "PKG-INFO")).exists():
            metadata["urls"] = dict(
                re.findall(r"^Project-URL: (.+?), (.+)$", known.read_text(), re.M)
            )


class VmHook(BuildHookInterface[Any]):
    """hatchling calls `initialize` before it collects a wheel's files."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds hornbeam/_vm, and the tag of this platform. Nothing for an editable installation."""
        if version == "editable":
            return
        root = Path(self.root)
        self._release(root)
        files = {**dict(self._files(root / RELEASE)), **dict(self._licences(root))}
        build_data["force_include"].update({str(file): str(to) for file, to in files.items()})
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"

    def _release(self, root: Path) -> None:
        libraries = ":".join(map(str, _libraries(root)))
        shutil.rmtree(root / RELEASE, ignore_errors=True)
        command = ["rebar3", "as", "prod", "release"]
        subprocess.run(command, cwd=root, env=os.environ | {"ERL_LIBS": libraries}, check=True)

    def _licences(self, root: Path) -> Iterator[tuple[Path, Path]]:
        folder = Path("hornbeam", "_vm", "licenses")
        for libraries in (root / "_build" / "default" / "lib", *_libraries(root)):
            for text in libraries.glob("*/LICENSE*"):
                yield text, folder / text.parent.name / text.name
        for package in sorted(set(self._packages(root / RELEASE))):
            text = Path("/usr/share/doc", package, "copyright")
            if text.exists():
                yield text, folder / package

    def _packages(self, release: Path) -> Iterator[str]:
        """Debian's names of those that the machine's part of the wheel is of."""
        if shutil.which("dpkg-query") is None:
            return
        show = "io:put_chars(code:root_dir()), halt()."
        erlang = Path(_output("erl", "-noshell", "-eval", show))
        brought = [next(erlang.glob("erts-*/bin/beam.smp"))]
        for file in self._chosen(release):
            if file.suffix == ".so" or file.name in PROGRAMS:
                needed = re.findall(r"=> (/\S+)", _output("ldd", str(file)))
                brought += map(Path, needed)
        for path in brought:
            if not path.name.startswith(THE_MACHINES):
                # The file system may know it by the name before /lib became a link to /usr/lib.
                owner = _output("dpkg-query", "-S", f"*/{path.name}").splitlines()[0]
                yield owner.split(":")[0].split(",")[0]

    def _files(self, release: Path) -> Iterator[tuple[Path, Path]]:
        """Each file, and where it is in the wheel."""
        for file in self._chosen(release):
            place = file.relative_to(release)
            if place.parts[0] == "lib" and place.parts[1].rpartition("-")[0] in FOR_A_CLUSTER:
                place = Path("cluster", *place.parts[1:])
            yield file, Path("hornbeam", "_vm", place)

    def _chosen(self, release: Path) -> Iterator[Path]:
        (erts,) = release.glob("erts-*")
        yield from (erts / "bin" / program for program in PROGRAMS)
        yield from release.glob("releases/*/no_dot_erlang.boot")
        for application in sorted((release / "lib").iterdir()):
            if application.name.rpartition("-")[0] not in LEFT_OUT:
                yield from application.glob("ebin/*")
                nifs = (file for file in application.glob("priv/**/*.so") if file.is_file())
                yield from (file for file in nifs if "test" not in file.name)
                pages = application.glob("priv/dashboard/**/*")
                yield from (file for file in pages if file.is_file())


def _libraries(root: Path) -> list[Path]:
    """Where Cowboy and Ra and what they need may be, if rebar3 is not to fetch them."""
    given = filter(None, os.environ.get("ERL_LIBS", "").split(":"))
    return [root / ".deps" / "erlang" / "lib", *map(Path, given)]


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
