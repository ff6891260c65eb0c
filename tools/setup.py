"""Sets the project up: `python3 tools/setup.py GROUP...`, each group what one kind of work needs.

Owns the table of groups and the order of the steps: Erlang, its libraries, commands, Python. Every
step installs only what is missing, so a second run is quick. The steps are in `tools/provision`;
the Makefile is the caller. Standard library only, and Python 3.9 is enough to be told it is too
old.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

from provision import environment, erlang, javascript, libraries
from provision.machine import Apt, SetupError, Tool, lock, say


@dataclass(frozen=True)
class Group:
    """What one kind of work needs besides Erlang and its libraries."""

    purpose: str
    requirements: str = ""
    tools: tuple[Tool, ...] = ()
    needs: tuple[erlang.Need, ...] = ()
    optional: bool = False
    javascript: bool = False


CURL = Tool(("curl",), "curl")
NGHTTP = Tool(("h2load",), "nghttp2-client")
OPENSSL = Tool(("openssl",), "openssl")
WRK = Tool(("wrk",), "wrk")
REDIS = Tool(("redis-server",), "redis-server")
ETCD = (Tool(("etcd",), "etcd-server"), Tool(("etcdctl",), "etcd-client"))
# It may stand where only root looks for commands.
NGINX = Tool(("nginx", "/usr/sbin/nginx"), "nginx")
HAPROXY = Tool(("haproxy", "/usr/sbin/haproxy"), "haproxy")
# With the C library's headers, which gcc alone does not bring.
CC = Tool(("cc",), "build-essential")
# What scrapes a running server in a test, and promtool, which checks deploy/.
PROMETHEUS = Tool(("promtool",), "prometheus")
FAKETIME = Tool(("faketime",), "faketime")
CHROMIUM = Tool(("chromium", "chromium-browser", "google-chrome"), "chromium")
NODE = Tool(("node",), "nodejs")
NPM = Tool(("npm",), "npm")
CHROMEDRIVER = Tool(("chromedriver",), "chromium-driver")

GROUPS = {
    "run": Group("serve an application", "run.txt"),
    "test": Group(
        "run the test suites",
        "test.txt",
        # nginx and HAProxy read the configurations of docs/deployment.md.
        (CURL, NGHTTP, OPENSSL, CC, FAKETIME, NGINX, HAPROXY, PROMETHEUS),
        erlang.PROPER,
    ),
    "check": Group("run the static checks", "check.txt"),
    "wheel": Group("build the wheel", "wheel.txt", (OPENSSL,)),
    "bench": Group(
        "measure against other servers", "bench.txt", (WRK, REDIS, *ETCD, NGHTTP, NGINX, CC)
    ),
    # Without a browser its tests skip themselves, so its absence does not fail the set-up.
    "browser": Group("test in a real browser", tools=(CHROMIUM, CHROMEDRIVER), optional=True),
    # So it is without Node.
    "javascript": Group(
        "test with JavaScript clients", tools=(NODE, NPM), optional=True, javascript=True
    ),
}


def main(arguments: list[str]) -> int:
    """Run the steps; the process's exit status."""
    names = _parse(arguments)
    try:
        with lock():
            _set_up([GROUPS[name] for name in names])
    except SetupError as error:
        for line in error.tail():
            print(f"    {line}", file=sys.stderr)
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


def _parse(arguments: list[str]) -> list[str]:
    parser = argparse.ArgumentParser(
        prog="tools/setup.py",
        description="Install what is missing, and nothing else.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="groups:\n"
        + "\n".join(f"  {name:10} {group.purpose}" for name, group in GROUPS.items()),
    )
    parser.add_argument(
        "groups", nargs="+", metavar="GROUP", choices=[*GROUPS, "all"], help="or 'all'"
    )
    chosen: list[str] = parser.parse_args(arguments).groups
    return list(GROUPS) if "all" in chosen else list(dict.fromkeys(chosen))


def _set_up(groups: list[Group]) -> None:
    apt = Apt()
    extras = [need for group in groups for need in group.needs]
    found = erlang.ensure(apt, extras, list(libraries.VERSIONS))
    libraries.ensure(found.apps)
    apt.ensure(tool for group in groups if not group.optional for tool in group.tools)
    for group in groups:
        if group.optional:
            _try_tools(apt, group)
    environment.ensure(apt, [group.requirements for group in groups if group.requirements])


def _try_tools(apt: Apt, group: Group) -> None:
    try:
        apt.ensure(group.tools)
        if group.javascript:
            javascript.ensure()
    except SetupError as error:
        say(f"cannot {group.purpose}: {error}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
