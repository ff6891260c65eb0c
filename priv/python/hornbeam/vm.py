"""Where the Erlang VM is and how it is started: the wheel's own, or the machine's for a checkout.

A wheel holds a release in the folder `_vm` beside this file: ERTS, the applications, a boot file
(tools/wheel_hook.py). Its workers run in the interpreter that it is installed in, and find
hornbeam_worker where pip has put it, beside this package. In a checkout the code is what
`make compile` has left in _build and .deps.
"""
# ruff: noqa: PTH110, PTH112, PTH113, PTH118, PTH119, PTH120, PTH208  (pathlib: see launcher.py)

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # see launcher.py
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CannotStart", "allocator", "command", "links", "tables"]

# Python and the VM share the cores, so the schedulers do not spin while they wait for work, and
# once it serves one is online for every two cores: on two, one scheduler took 19 us of CPU for a
# small request where two took 25 (waking each other). All are while it boots, which takes a
# seventh less, and while many WebSockets are open (hornbeam_cores).
# A first heap of 1024 words spares most requests a collection. Binaries are placed by good fit:
# what was freed last is taken first and still in the processor's cache, a tenth of a request's
# CPU. Heaps are in carriers of 1 MiB at most, not 5: 9 s after 2,048 connections have gone, the VM
# has 55 MiB and not 75, since more of them are empty. In load none comes or goes, so that a request
# costs the same. When the machine's clock is set, durations must not be bent to follow it. A write
# to standard output or standard error that its reader does not take blocks one of the async threads
# and whatever else is written by the same (hornbeam_output): with one thread alone, the log would
# stand still with the access log. The VM ignores Ctrl-C. File names, arguments and output are
# Unicode whatever the locale says.
CORES = os.cpu_count() or 1
FLAGS = (
    *("+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"),
    *("+hms", "1024", "+MBas", "gf", "+MHlmbcs", "1024"),
    *("+C", "multi_time_warp", "+A", "32", "+Bi", "+fnu", "+pc", "unicode"),
)
# -launcher: a second SIGTERM is a repetition of the first, not impatience (hornbeam_signals).
START = ("-launcher", "-noinput", "-s", "hornbeam_cli", "main")
# The links of a cluster, whose carrier must be named when the VM boots; nothing of it is loaded
# before the options say that there is one (hornbeam_cluster_distribution). No cookie from
# ~/.erlang.cookie, no epmd; and a node that cannot see one of the others must not be cut off
# from all of them, as OTP's `global` would: a majority is enough.
LINKS = (
    *("-proto_dist", "hornbeam_cluster", "-epmd_module", "hornbeam_cluster_epmd"),
    *("-nocookie", "-start_epmd", "false", "-kernel", "prevent_overlapping_partitions", "false"),
)
# What the C library allocates in the VM is what the compiler of its machine code works with. One
# arena, and large pieces given back at once: 5 MB less after a start. Erlang's own memory has
# other allocators; OpenSSL's is among it.
ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "16384"}
# The least number of processes that a VM has room for, and the most (which is OTP's default).
PROCESSES = (65536, 262144)
FLAGS_FROM_OUTSIDE = ("ERL_AFLAGS", "ERL_FLAGS", "ERL_ZFLAGS", "HORNBEAM_ERL_FLAGS")

FOR_A_CLUSTER = ("ra", "aten", "gen_batch_server", "seshat")

HERE = os.path.dirname(os.path.realpath(__file__))


class CannotStart(Exception):
    """There is no VM, or nothing for it to run; the text says what to do."""


def command() -> tuple[list[str], dict[str, str]]:
    """The program with its arguments, and what goes into its environment."""
    release = os.path.join(HERE, "_vm")
    return of_release(release) if os.path.isdir(release) else of_checkout(_parent(HERE, 3))


def of_release(root: str) -> tuple[list[str], dict[str, str]]:
    """What is below `lib` is on the code path by itself, what is below `cluster` is put behind it:
    each module that is loaded is looked for in one folder after the other. The interpreter is the
    workers' unless an option says otherwise (hornbeam_cli)."""
    erts = os.path.join(root, _only(root, "erts-"), "bin")
    releases = os.path.join(root, "releases")
    version = next(name for name in sorted(os.listdir(releases)) if name[0].isdigit())
    boot = os.path.join(releases, version, "no_dot_erlang")
    env = {"ROOTDIR": root, "BINDIR": erts, "EMU": "beam", "PROGNAME": "hornbeam"}
    env |= {"HORNBEAM_INTERPRETER": sys.executable, "HORNBEAM_PACKAGES": _parent(HERE, 1)}
    program = os.path.join(erts, "erlexec")
    paths = [part for folder in _ebins(os.path.join(root, "cluster")) for part in ("-pz", folder)]
    boot_flags = ("-boot", boot, "-mode", "interactive")
    return [program, *FLAGS, *_cores(), *paths, *boot_flags, *START], env


def of_checkout(root: str) -> tuple[list[str], dict[str, str]]:
    erl = _find_erl()
    if erl is None:
        raise CannotStart("there is no erl in PATH; `make setup` installs Erlang")
    folders = _code_path(root)
    if not folders:
        raise CannotStart(f"not compiled yet; run: make -C {root} compile")
    paths = [part for folder in folders for part in (_end_of_path(folder), folder)]
    return [erl, *FLAGS, *_cores(), *paths, "-boot", "no_dot_erlang", *START], {}


def allocator(env: Mapping[str, str]) -> dict[str, str]:
    """The variables of ALLOCATOR, unless somebody has chosen any; and their names, so that none of
    what the VM starts inherits them (hornbeam_vm)."""
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in env):
        return {}
    return {**ALLOCATOR, "HORNBEAM_MALLOC": " ".join(ALLOCATOR)}


def tables(files: int) -> list[str]:
    """The sizes of the VM's tables of processes and ports, for so many open files. It writes to all
    of them when it starts, 12 bytes for each place: 12 MB for the million of ports that it takes
    by default where so many files may be open, and no more connections than processes anyway."""
    least, most = PROCESSES
    ports = ["+Q", str(most)] if files > most else []
    return ["+P", str(max(least, min(2 * files, most))), *ports]


def links(env: dict[str, str]) -> list[str]:
    """The flags for a VM with that environment: those of a cluster where a flag, a variable or the
    configuration file asks for one (as hornbeam_cli gets them), unless somebody has said how the
    VM's links are to be."""
    if not any(_asks_for_cluster(name, value) for name, value in env.items()):
        return []
    if {"-name", "-sname", "-proto_dist", "-epmd_module"} & set(_flags_from_outside(env)):
        return []
    return [*LINKS, "-ssl_dist_optfile", os.path.join(HERE, "cluster.options")]


def _asks_for_cluster(name: str, value: str) -> bool:
    if name.startswith("HORNBEAM_ARGUMENT_"):
        return value.partition("=")[0] == "--cluster"
    if name.startswith("HORNBEAM_SETTING_"):
        return value.startswith('{<<"cluster"/utf8>>,')
    return name == "HORNBEAM_CLUSTER" and value != ""


def _flags_from_outside(env: Mapping[str, str]) -> list[str]:
    return " ".join(env.get(name, "") for name in FLAGS_FROM_OUTSIDE).split()


def _cores() -> list[str]:
    """A scheduler for each core, of which hornbeam_cores uses half; unless somebody has chosen."""
    words = _flags_from_outside(os.environ)
    chosen = any(word[:2] == "+S" and (not word[2:] or word[2] in "0123456789P") for word in words)
    return [] if chosen else ["+S", f"{CORES}:{CORES}", "-half_of_the_cores"]


def _code_path(root: str) -> list[str]:
    """The ebin folders of the compiled project and of its dependencies; empty before `make`."""
    for profile in ("default", "prod"):
        lib = os.path.join(root, "_build", profile, "lib")
        if os.path.exists(os.path.join(lib, "hornbeam", "ebin", "hornbeam_cli.beam")):
            return _ebins(lib) + _ebins(os.path.join(root, ".deps", "erlang", "lib"))
    return []


def _end_of_path(folder: str) -> str:
    """What only a cluster needs stands behind OTP's own: before it, it took 25 ms of CPU of each
    start."""
    return "-pz" if os.path.basename(os.path.dirname(folder)) in FOR_A_CLUSTER else "-pa"


def _ebins(lib: str) -> list[str]:
    if not os.path.isdir(lib):
        return []
    found = (os.path.join(lib, name, "ebin") for name in sorted(os.listdir(lib)))
    return [ebin for ebin in found if os.path.isdir(ebin)]


def _find_erl() -> str | None:
    for folder in os.get_exec_path():
        candidate = os.path.join(folder, "erl")
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    return None


def _only(folder: str, prefix: str) -> str:
    (found,) = [name for name in os.listdir(folder) if name.startswith(prefix)]
    return found


def _parent(path: str, levels: int) -> str:
    for _ in range(levels):
        path = os.path.dirname(path)
    return path
