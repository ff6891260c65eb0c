"""Builds and tests the tree on other platforms: `python3 tools/platforms.py [NAME...]`.

Owns the table of the platforms that the README names beside the machine's own, and the steps that
each goes through: a root of that Debian release (`provision.root`), in there the project's own
set-up, the compiler with warnings as errors, an answer of `make run`, and the suites
(`tools/suites.py`). Called by `make platforms`, and by `.ci/run` with `--or-skip`: a machine that
cannot have the root, by its rights or its mirror, says so in place of failing. What fails inside
a root has failed. Standard library only.
"""

from __future__ import annotations

import argparse
import sys
import time

from provision.machine import Apt, SetupError, say
from provision.root import ROOTS, Root, choose, chosen, not_made

PLATFORMS = {
    # Debian's own Cowboy, the newest of all three: Erlang, Cowboy and Python. Ra is built.
    "testing": Root("testing", "testing", ("erlang-cowboy",)),
    # Cowboy and Ra come as on Debian 12: from Hex, or built from Debian's sources.
    "trixie": Root("trixie", "trixie"),
}

# On a socket file: the ports of a root are the machine's. Its server ends with the command.
ANSWER = """
make run BIND=unix:/run/hornbeam.sock &
curl --silent --fail --retry 60 --retry-delay 1 --retry-all-errors \\
    --unix-socket /run/hornbeam.sock http://localhost/
"""
STEPS = (
    ("set-up", ("python3", "tools/setup.py", "run", "test")),
    # Anew: the beams of another checkout may be newer than this one's sources.
    ("compile", ("make", "clean", "compile")),
    ("make run", ("sh", "-c", ANSWER)),
)

VERSIONS = """
Of = fun(Library) -> application:load(Library), element(2, application:get_key(Library, vsn)) end,
Release = erlang:system_info(otp_release),
io:format("OTP ~s, Cowboy ~s, Ra ~s", [Release, Of(cowboy), Of(ra)]), halt().
"""
# Where the set-up or rebar3 put the libraries, if not beside OTP.
LIBRARIES = "ERL_LIBS=.deps/erlang/lib:_build/default/lib"


def main(arguments: list[str]) -> int:
    """Run the steps on each platform; the process's exit status."""
    asked = _parse(arguments)
    failed = [name for name in asked.names if not _passes(PLATFORMS[name], asked)]
    if failed:
        print(f"platforms: FAILED: {' '.join(failed)}")
    return 1 if failed else 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tools/platforms.py",
        description=f"Build and test the tree on other platforms, whose roots are in {ROOTS}.",
    )
    choose(parser, PLATFORMS)
    parser.add_argument("--suites", default="all", help="which suites: see tools/suites.py")
    parser.add_argument("--fresh", action="store_true", help="make the roots anew")
    return chosen(parser, arguments, PLATFORMS)


def _passes(root: Root, asked: argparse.Namespace) -> bool:
    began = time.monotonic()
    try:
        with root.made(Apt(), fresh=asked.fresh):
            root.take_tree()
            failed = _first_failure(root, asked.suites)
            versions = _versions(root)
    except SetupError as error:
        return not_made("platforms", root.name, error, asked.or_skip)
    verdict = f"FAILED: {failed}" if failed else "all passed"
    print(f"platforms: {root.name} ({versions}): {verdict}, {time.monotonic() - began:.0f} s")
    return not failed


def _first_failure(root: Root, suites: str) -> str:
    """The step that failed, ``""`` if none did."""
    for step, argv in (*STEPS, ("suites", ("python3", "tools/suites.py", suites))):
        say(f"{root.name}: {step}")
        if root.call(*argv) != 0:
            return step
    return ""


def _versions(root: Root) -> str:
    erlang = root.output("env", LIBRARIES, "erl", "-noinput", "-eval", VERSIONS)
    return f"{erlang or 'no Erlang'}, {root.output('python3', '--version')}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
