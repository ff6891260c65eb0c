"""Owns what the project needs of Erlang: OTP 25 or newer with its applications, and rebar3.

Asks for capabilities (an application that the `erl` on PATH can load, a header file), never for
package names, so that an Erlang from kerl, asdf or a source build is as good as Debian's. Called by
`tools/setup.py`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provision.machine import DEPS, Apt, SetupError, Tool, output

if TYPE_CHECKING:
    from collections.abc import Sequence

OLDEST_OTP = 25
# What the set-up builds itself; the Makefile puts it on ERL_LIBS.
LIBRARIES = DEPS / "erlang" / "lib"
DEBIAN_ROOT = Path("/usr/lib/erlang")

ERL = Tool(("erl",), "erlang-base")
COMMANDS = (ERL, Tool(("erlc",), "erlang-base"), Tool(("rebar3",), "rebar3"))


@dataclass(frozen=True)
class Need:
    """An application, with ``header`` a file below its folder, and its Debian package."""

    app: str
    package: str
    header: str = ""

    def __str__(self) -> str:
        return f"{self.app}/{self.header}" if self.header else self.app


OTP = (
    Need("asn1", "erlang-asn1"),
    Need("crypto", "erlang-crypto"),
    Need("public_key", "erlang-public-key"),
    Need("public_key", "erlang-dev", "include/public_key.hrl"),
    Need("ssl", "erlang-ssl"),
    Need("inets", "erlang-inets"),
    Need("tools", "erlang-tools"),
    Need("parsetools", "erlang-parsetools"),
    Need("syntax_tools", "erlang-syntax-tools"),
    Need("xmerl", "erlang-xmerl"),
    Need("runtime_tools", "erlang-runtime-tools"),
    Need("os_mon", "erlang-os-mon"),
    Need("eunit", "erlang-eunit"),
    Need("eunit", "erlang-dev", "include/eunit.hrl"),
    Need("common_test", "erlang-common-test"),
    Need("dialyzer", "erlang-dialyzer"),
)

# No part of OTP: where Erlang is not Debian's, rebar3 takes it from Hex (profile test).
PROPER = (
    Need("proper", "erlang-proper"),
    Need("proper", "erlang-proper-dev", "include/proper.hrl"),
)


@dataclass(frozen=True)
class App:
    folder: Path
    version: str


@dataclass(frozen=True)
class Probe:
    """What the `erl` on PATH is and what it can load."""

    release: int
    root: Path
    apps: dict[str, App]

    def lacks(self, needs: Sequence[Need]) -> list[Need]:
        """Those of ``needs`` that are not there."""
        return [
            need
            for need in needs
            if need.app not in self.apps or not (self.apps[need.app].folder / need.header).exists()
        ]


_PROBE = """
io:format("~s ~ts~n", [erlang:system_info(otp_release), code:root_dir()]),
[io:format("~s ~s ~ts~n", [App, element(2, application:get_key(App, vsn)), code:lib_dir(App)])
 || App <- [{apps}], application:load(App) =:= ok],
halt().
"""


def ensure(apt: Apt, extras: Sequence[Need], libraries: Sequence[str]) -> Probe:
    """Make sure of Erlang and of ``extras``, installing only what is missing.

    What comes back says also which of ``libraries`` are on the code path; they need not be.
    """
    asked = list(dict.fromkeys([*(need.app for need in (*OTP, *extras)), *libraries]))
    commands = [tool for tool in COMMANDS if not tool.present()]
    found = _probe(asked) if ERL.present() else None
    from_debian = found is None or found.root == DEBIAN_ROOT
    wanted = [*OTP, *extras] if from_debian else OTP
    needs = found.lacks(wanted) if found else wanted
    if commands or needs:
        missing = ", ".join(
            [*(tool.names[0] for tool in commands), *(map(str, needs) if found else ())]
        )
        if found is not None and not from_debian:
            # Debian's packages would bring a second Erlang, which this one would not see.
            raise SetupError(f"missing beside the Erlang in {found.root}: {missing}")
        apt.install([item.package for item in (*commands, *needs)], missing=missing)
        found = _probe(asked)
    assert found is not None
    return _checked(found, wanted)


def _probe(apps: Sequence[str]) -> Probe:
    """Start `erl` once, with ERL_LIBS as the Makefile sets it, and ask."""
    libraries = [str(LIBRARIES), os.environ.get("ERL_LIBS", "")]
    question = _PROBE.replace("{apps}", ",".join(apps))
    env = {"ERL_LIBS": os.pathsep.join(filter(None, libraries))}
    text = output(("erl", "-noinput", "-boot", "start_clean", "-eval", question), env=env)
    if not text:
        raise SetupError("the erl on PATH does not start")
    first, *lines = text.splitlines()
    release, root = first.split(" ", 1)
    found = {}
    for line in lines:
        name, version, folder = line.split(" ", 2)
        found[name] = App(Path(folder), version)
    return Probe(int(release), Path(root), found)


def _checked(found: Probe, wanted: Sequence[Need]) -> Probe:
    absent = ", ".join(map(str, found.lacks(wanted)))
    if absent:
        raise SetupError(f"still missing of the Erlang in {found.root}: {absent}")
    if found.release < OLDEST_OTP:
        have = f"Erlang/OTP {found.release} in {found.root}"
        raise SetupError(f"{have} is too old: {OLDEST_OTP} is the oldest that works")
    return found
