"""Owns where the Erlang libraries come from: Cowboy with Cowlib and Ranch, Ra with what it needs.

Ra is for clusters. It is always had, because the modules that call it are compiled with the others;
a server loads it when a cluster is asked for.

First of these, for each of the two groups: the code path (ERL_LIBS) or `_build`, and no network is
asked; Hex, where it answers; the sources of Debian's `rabbitmq-server`, which carries them
unmodified, built with their own makefiles into `.deps/erlang/lib`. What is there already stays as
it is. Called by `tools/setup.py` after the Erlang step.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from provision import debian_source
from provision.erlang import LIBRARIES
from provision.machine import DEPS, ROOT, SetupError, run, say

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from provision.erlang import App

# In the order in which they must be built: each reads the headers of those before it in its group.
GROUPS = {
    "Cowboy": {"ranch": "2.1.0", "cowlib": "2.13.0", "cowboy": "2.12.0"},
    "Ra": {"gen_batch_server": "0.8.8", "aten": "0.6.0", "seshat": "0.6.1", "ra": "2.14.0"},
}
VERSIONS = {name: version for group in GROUPS.values() for name, version in group.items()}
KEPT = ("ebin", "include", "src", "LICENSE*")

SOURCE = "rabbitmq-server"
SUITE = "trixie"
# Of this one all are built; Ra and its libraries come without.
MAKEFILE = "ranch/erlang.mk"

# How long Hex may take to give seven small packages before it counts as out of reach.
HEX_SECONDS = 30


def ensure(on_path: Mapping[str, App]) -> None:
    """Make sure of both groups; ``on_path`` is what `erl` found, `.deps` included."""
    missing = [
        group
        for group, names in GROUPS.items()
        if not all(_suits(name, on_path) for name in names) and not _fetched_from_hex(group)
    ]
    if not missing:
        return
    what = " and ".join(missing)
    say(f"{what}: asking Hex")
    try:
        get_deps = ("rebar3", "get-deps")
        run(get_deps, log="hex", failure="Hex does not answer", timeout=HEX_SECONDS)
    except SetupError:
        say(f"{what}: Hex does not answer; from Debian's sources instead (about 30 s, once)")
    missing = [group for group in missing if not _fetched_from_hex(group)]
    if not missing:
        return
    try:
        _from_debian([name for group in missing for name in GROUPS[group]])
    except SetupError as error:
        raise SetupError(f"no {what}: Hex does not answer, and {error}", error.log) from error


def _suits(name: str, on_path: Mapping[str, App]) -> bool:
    """The version that this project is built against, or a later one of the same major version."""
    if name not in on_path:
        return False
    there, wanted = _numbers(on_path[name].version), _numbers(VERSIONS[name])
    return there[:1] == wanted[:1] and there >= wanted


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())


def _fetched_from_hex(group: str) -> bool:
    libraries = ROOT / "_build" / "default" / "lib"
    return all((libraries / name / "src").is_dir() for name in GROUPS[group])


def _from_debian(names: Collection[str]) -> None:
    """Build in a folder of its own and rename at the end: there is a whole tree or none."""
    DEPS.mkdir(exist_ok=True)
    for killed in DEPS.glob("building-*"):
        # Errors do not matter: what a killed set-up started may still be writing there.
        shutil.rmtree(killed, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="building-", dir=DEPS) as folder:
        work = Path(folder)
        sources, built = work / "sources", work / "lib"
        _unpack(debian_source.fetch(SOURCE, SUITE, work), sources)
        for name in names:
            say(f"building {name} {VERSIONS[name]}")
            _build(sources, name)
        for name in names:
            _keep(sources / name, built / name)
            _verify(built / name, name, VERSIONS[name])
        _take_over(built, names)
        LIBRARIES.parent.mkdir(parents=True, exist_ok=True)
        if LIBRARIES.exists():
            LIBRARIES.rename(work / "replaced")
        built.rename(LIBRARIES)


def _take_over(built: Path, names: Collection[str]) -> None:
    """What was built earlier and is not built anew."""
    for name in VERSIONS:
        if name not in names and (LIBRARIES / name).is_dir():
            shutil.copytree(LIBRARIES / name, built / name)


def _unpack(tarball: Path, into: Path) -> None:
    """Only the regular files of the libraries below `deps/NAME/`, as `NAME/…`."""
    with tarfile.open(tarball) as archive:
        for member in archive:
            top, path = PurePosixPath(member.name).parts[:2], PurePosixPath(member.name).parts[2:]
            if top[1:] != ("deps",) or path[0:1] == () or path[0] not in VERSIONS:
                continue
            content = archive.extractfile(member)
            if content is not None and ".." not in path:
                target = into.joinpath(*path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())


def _build(sources: Path, name: str) -> None:
    make = ("make", "-C", sources / name, "app")
    # IS_DEP: the new warnings of a later OTP are no errors in a library. NO_MAKEDEP: a first build
    # needs no list of who includes what, and the code that makes it calls what OTP 27 has not.
    settings = ("SKIP_DEPS=1", "IS_DEP=1", "NO_MAKEDEP=1", f"DEPS_DIR={sources}")
    (sources / name / f"{name}.d").touch()
    if not (sources / name / "erlang.mk").exists():
        shutil.copy(sources / MAKEFILE, sources / name)
    # Emptied: a `make -n` or `make -j` that runs the set-up is not meant for theirs.
    env = {"MAKEFLAGS": "", "MAKELEVEL": "", "ERL_LIBS": ""}
    run((*make, *settings), log=f"build-{name}", failure=f"{name} does not build", env=env)


def _keep(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for pattern in KEPT:
        for part in source.glob(pattern):
            part.rename(target / part.name)


def _verify(library: Path, name: str, version: str) -> None:
    description = library / "ebin" / f"{name}.app"
    if f'{{vsn,"{version}"}}' not in description.read_text().replace(" ", ""):
        raise SetupError(f"{SUITE}'s {SOURCE} does not carry {name} {version}")
